"""How numbers, times and decisions read on the command line."""

from collections.abc import Mapping
from itertools import pairwise

from lexmove.results.wording import (
    NOTHING,
    say_arm,
    say_count,
    say_duration,
    say_gain,
    say_metric,
    say_move,
    say_number,
    say_prior,
    say_probability,
)
from lexmove.space.domain import (
    Categorical,
    Constant,
    Domain,
    Float,
    Integer,
    Ordinal,
    Value,
)
from lexmove.space.move import say_value
from lexmove.study.study import Study
from lexmove.study.trial import Decision, Trial, TrialStatus

__all__ = [
    "NOTHING",
    "gain_over_parent",
    "incumbent_curve",
    "say_arm",
    "say_clock",
    "say_config",
    "say_count",
    "say_domain",
    "say_duration",
    "say_epoch",
    "say_gain",
    "say_metric",
    "say_move",
    "say_number",
    "say_prior",
    "say_probability",
    "say_value_of",
    "say_when",
    "say_why",
    "sparkline",
]

_CERTAIN = 0.995
"""From here on there was nothing to choose: the probability goes unsaid."""

_BARS = "▁▂▃▄▅▆▇█"
_EXPERTS = {
    "start:default": "the default",
    "start:asked": "asked for",
    "start:memory": "memory",
    "start:sobol": "first look",
    "floor:EI_per_second": "EI per second",
}


def say_clock(seconds: float) -> str:
    """`3:07`, `1:02:45`: time since a start."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def say_config(config: Mapping[str, Value]) -> str:
    """A config on one line."""
    return ", ".join(f"{name} {say_value(value)}" for name, value in config.items())


def say_domain(domain: Domain) -> str:
    """What a hyperparameter may be, in words."""
    match domain:
        case Constant():
            return f"always {say_value(domain.value)}"
        case Categorical():
            return f"one of {_listed(domain.values)}"
        case Ordinal():
            return f"one of {_listed(domain.values)}, in order"
        case Float() | Integer():
            kind = "whole numbers " if isinstance(domain, Integer) else ""
            scale = ", by factors" if domain.log else ""
            return f"{kind}{say_value(domain.low)} to {say_value(domain.high)}{scale}"
        case _:
            raise AssertionError(f"a domain without words: {domain}")


def _listed(values: tuple[Value, ...]) -> str:
    return ", ".join(map(say_value, values))


def say_when(when: Mapping[str, tuple[Value, ...]]) -> str:
    """The condition of a hyperparameter, in words."""
    return " and ".join(f"{name} is {_listed(values)}" for name, values in when.items())


def say_why(decision: Decision) -> str:
    """Which expert chose, and how sure the policy was: `ei p .83`."""
    expert = _EXPERTS.get(decision.expert, decision.expert.removeprefix("floor:"))
    words = expert or decision.proposer
    probability = decision.probability
    is_choice = probability is not None and probability < _CERTAIN
    return f"{words} p {say_probability(probability)}" if is_choice and probability else words


def say_epoch(trial: Trial) -> str:
    """Where a trial's training stands: `2` reached, `2→4` on the way."""
    is_on_its_way = trial.status in (TrialStatus.RUNNING, TrialStatus.PREEMPTED)
    return f"{trial.fidelity}→{trial.until}" if is_on_its_way else str(trial.fidelity)


def gain_over_parent(study: Study, trial: Trial) -> float | None:
    """How much better a trial is than the one that it was moved from; None where unknown."""
    move = trial.decision.move
    own = study.best_score(trial)
    if move is None or move.origin is None or not move.changes or own is None:
        return None
    parent = study.best_score(study.trials[move.origin])
    return None if parent is None else own - parent


def say_value_of(study: Study, trial: Trial) -> str:
    """A trial's best objective so far."""
    best = study.best_of(trial)
    return say_number(None if best is None else best.value)


def sparkline(values: list[float], *, width: int = 24) -> str:
    """A curve as one line of bars."""
    if len(values) < 2:
        return ""
    values = values[-width:]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(_BARS[int((value - low) / span * (len(_BARS) - 1))] for value in values)


def incumbent_curve(study: Study) -> list[float]:
    """The incumbent's value after each trial that was started, from the first value on."""
    points = study.trajectory
    curve: list[float] = []
    for (started, value), (following, _) in pairwise([*points, (len(study.trials) + 1, 0.0)]):
        curve += [value] * max(1, following - started)
    return curve
