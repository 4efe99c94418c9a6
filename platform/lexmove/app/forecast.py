"""How much training is still ahead, in epochs and in seconds."""

from collections.abc import Sequence

from lexmove.job.spec import JobSpec
from lexmove.study.allowance import epochs_ahead
from lexmove.study.study import Study
from lexmove.study.trial import Measured

_MAX_EVENTS = 1000
"""Events that a rate is made of: more would say nothing new, and are read at every event."""

_MIN_MEASUREMENTS = 2
"""Measurements before a rate is worth a sentence."""


def repetition_epochs(job: JobSpec) -> int:
    """Epochs of the repetitions after the search: finalists, default and compared configs."""
    return job.repetitions.num_trainings * job.fidelity.max_epochs


def epochs_left(study: Study) -> int:
    """Epochs that a study still needs, from its budget, its rungs and what was measured."""
    asked = sum(trial.until - trial.fidelity for trial in study.running)
    if not study.num_trials_left and not study.running:
        return 0
    return max(asked, epochs_ahead(study))


def seconds_left(
    study: Study, *, since_s: float, now_s: float, epochs_after: int = 0
) -> float | None:
    """Seconds until a study is done, at the rate of what was measured since `since_s`, or of late.

    Where time is the limit, the search is done when its `wall_clock_s` has passed since its first
    event, or if it goes on after that, since `since_s`.

    Args:
        study: as it stands.
        since_s: Unix time at which the running process began with its trials.
        now_s: Unix time now.
        epochs_after: epochs that follow when the study is done.

    Returns:
        None before there is a rate to go by.
    """
    latest = study.events_since(max(0, study.num_events - _MAX_EVENTS))
    measured = [event for event in latest if isinstance(event, Measured) and event.at_s > since_s]
    if len(measured) < _MIN_MEASUREMENTS:
        return None
    # From the first training on: starting the workers is paid once.
    begun_s = max(since_s, measured[0].at_s - measured[0].measurement.duration_s)
    last_s = measured[-1].at_s
    epoch_s = (last_s - begun_s) / _epochs_of(study, measured)
    left_s = epochs_left(study) * epoch_s - (now_s - last_s)
    if study.spec.wall_clock_s is not None:
        first_s = study.trials[0].started.at_s
        is_first = now_s <= first_s + study.spec.wall_clock_s
        ends_s = (first_s if is_first else since_s) + study.spec.wall_clock_s
        left_s = min(left_s, max(0.0, ends_s - now_s))
    return max(0.0, left_s + epochs_after * epoch_s)


def _epochs_of(study: Study, measured: Sequence[Measured]) -> int:
    """How many epochs lie behind some measurements: not every epoch is measured."""
    num_epochs = 0
    for event in measured:
        own = study.trials[event.trial_id].measurements
        before = [item.fidelity for item in own if item.fidelity < event.measurement.fidelity]
        num_epochs += event.measurement.fidelity - max(before, default=0)
    return num_epochs
