"""lexmove's arm: a job through `lexmove.app.running.tune`, as the command line runs it."""

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed.played import Played, played_of
from benchmarks.speed.setting import PARALLEL, Setting
from benchmarks.speed.spaces import SHIPPED, Head, space_with
from lexmove.app.running import tune
from lexmove.job.spec import JobSpec
from lexmove.study.study import Study
from lexmove.trials.tasks.task import load_task

ETA = 2
"""As in the job that `lexmove init` writes and in the demo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedStudy:
    """A study, what it did when, and when it was called (Unix time)."""

    study: Study
    played: Played
    called_at_s: float


def play(
    setting: Setting,
    *,
    folder: Path,
    address: str,
    num_trials: int,
    seed: int,
    eta: int | None = ETA,
    proposer: str = "policy",
    head: Head = "stock",
) -> PlayedStudy:
    """Runs a study on the Ray at `address`, timed from the call to the result.

    Within that time are the checks before a study, the reference classifier and the connection; the
    licence texts were parsed before, as for the other arm. Without `eta` every trial trains all
    epochs. The store is empty, so that memory is what the package ships, which was learned on other
    tasks; nothing is repeated. A trial that fails (one may diverge) has
    no score and counts nowhere.

    Raises:
        LexmoveError: what a user would be told.
    """
    folder.mkdir(parents=True)
    job = JobSpec.model_validate(
        {
            "name": "speed",
            "task": setting.task,
            "model": setting.model,
            "space": str(SHIPPED),
            "budget": {"trials": num_trials, "parallel": PARALLEL},
            "fidelity": {"max_epochs": setting.max_epochs, "eta": eta},
            "agent": {"proposer": proposer},
            "finalists": {"top": 0},
            "store": f"sqlite:///{folder}/studies.db",
            "storage": str(folder / "studies"),
            "seed": seed,
        }
    )
    space = space_with(head)
    load_task(setting.task)
    called_at_s = time.time()
    study = tune(job, space, address=address, progress=lambda phase, study: None).study
    ended_at_s = time.time()
    played = played_of(study, called_at_s=called_at_s, ended_at_s=ended_at_s)
    return PlayedStudy(study=study, played=played, called_at_s=called_at_s)
