"""What must hold of a study whatever befell it: read from its store and its folder afterwards."""

import math
from collections import Counter
from collections.abc import Collection, Iterator

from benchmarks.chaos.setting import KEPT_BEST, Setting
from lexmove.study.protocols import UNMEASURED
from lexmove.study.study import Study
from lexmove.study.trial import Event, Measured, Started, TrialStatus

_WITHOUT_SCORE = (TrialStatus.FAILED, TrialStatus.INFEASIBLE)


def violations(
    setting: Setting,
    study: Study,
    *,
    before: Collection[Event] = (),
    failed: Collection[int] = (),
    keeps_all: bool = False,
) -> list[str]:
    """What does not hold, in words.

    Args:
        setting: how the study was run.
        study: as its store has it at the end.
        before: events that a reader saw in the store at some time, in order.
        failed: the trials that must have failed; all others must not.
        keeps_all: whether checkpoints stay, as in process.
    """
    return [
        *_of_events(study, before),
        *_of_results(setting, study, failed),
        *_of_trials(setting, study, failed),
        *_of_incumbent(study),
        *([] if keeps_all else _of_disk(setting)),
    ]


def _of_events(study: Study, before: Collection[Event]) -> Iterator[str]:
    events = study.events
    if [event.seq for event in events] != list(range(study.num_events)):
        yield "the events are not numbered without a gap"
    if events[: len(before)] != tuple(before):
        yield f"of {len(before)} events that were in the store, some are gone or changed"


def _of_results(setting: Setting, study: Study, failed: Collection[int]) -> Iterator[str]:
    measured = [event for event in study.events if isinstance(event, Measured)]
    times = Counter((event.trial_id, event.measurement.fidelity) for event in measured)
    for (trial_id, fidelity), number in times.items():
        if number > 1:
            yield f"trial {trial_id} has {number} results of epoch {fidelity}"
    objective = setting.objective
    for event in measured:
        trial, found = study.trials[event.trial_id], event.measurement
        due = objective.measure(trial.config, found.fidelity, seed=trial.started.seed)
        if found.metrics["value"] != due and event.trial_id not in failed:
            yield f"trial {event.trial_id} has {found.metrics} at {found.fidelity}, not {due}"
    for trial in study.trials:
        fidelities = [item.fidelity for item in trial.measurements]
        if trial.trial_id not in failed and fidelities != list(range(1, trial.until + 1)):
            yield f"trial {trial.trial_id} was sent to {trial.until} and has only {fidelities}"


def _of_trials(setting: Setting, study: Study, failed: Collection[int]) -> Iterator[str]:
    num_started = sum(isinstance(event, Started) for event in study.events)
    if num_started != setting.num_trials:
        yield f"{num_started} trials were started, not {setting.num_trials}"
    for trial in study.trials:
        if not trial.status.is_final:
            yield f"trial {trial.trial_id} is left {trial.status}"
        if (trial.status in _WITHOUT_SCORE) != (trial.trial_id in failed):
            yield f"trial {trial.trial_id} is {trial.status}: {trial.reason}"


def _of_incumbent(study: Study) -> Iterator[str]:
    """The rule once more, from the events alone."""
    best: tuple[float, int, int] | None = None
    for event in study.events:
        if not isinstance(event, Measured):
            continue
        value = event.measurement.metrics["value"]
        if math.isnan(value) or study.trials[event.trial_id].status in _WITHOUT_SCORE:
            continue
        key = (-value, event.trial_id, event.measurement.fidelity)
        best = key if best is None else min(best, key)
    found = study.incumbent
    known = None if found is None else (-found.value, found.trial_id, found.fidelity)
    if known != best:
        yield f"the incumbent is {known}, by the events {best}"


def _of_disk(setting: Setting) -> Iterator[str]:
    trials = setting.study_dir.trials
    checkpoints = sorted(path for path in trials.glob("*/epoch_*"))
    if len(checkpoints) > KEPT_BEST:
        yield f"{len(checkpoints)} checkpoints are left, not {KEPT_BEST}: {checkpoints}"
    if list(trials.glob(f"*/{UNMEASURED}")):
        yield "folders of what was not measured are left"
