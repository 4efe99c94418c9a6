"""The digest: what a study comes to in a few lines, kept beside it by whoever writes it.

With it a study can be looked at without being read.
"""

import json
from collections.abc import Sequence
from typing import Any

from lexmove.study.scoring import Incumbent
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Trial, TrialStatus


def digest_of(study: Study) -> str:
    """One line of JSON."""
    best = study.incumbent
    return json.dumps(
        {
            "num_events": study.num_events,
            "num_trials": len(study.trials),
            "counts": study.counts,
            "incumbent": None if best is None else [best.trial_id, best.fidelity, best.value],
            "trajectory": study.trajectory,
            "top_moves": study.top_moves,
        },
        separators=(",", ":"),
    )


def study_of(spec: StudySpec, digest: dict[str, Any], trials: Sequence[Trial]) -> Study:
    """The study of a digest that was read from JSON; its trials may come when they are asked for.

    What the digest does not say is read from the trials.
    """
    study = Study(spec=spec, trials=trials, num_events=digest["num_events"])
    known: dict[str, object] = {
        "counts": {TrialStatus(status): num for status, num in digest["counts"].items()},
        "incumbent": _incumbent(digest["incumbent"]),
        "trajectory": tuple((started, value) for started, value in digest["trajectory"]),
        "top_moves": tuple((trial_id, gain) for trial_id, gain in digest["top_moves"]),
    }
    study.__dict__.update(known)
    return study


def _incumbent(found: list[Any] | None) -> Incumbent | None:
    if found is None:
        return None
    trial_id, fidelity, value = found
    return Incumbent(trial_id=trial_id, fidelity=fidelity, value=value)
