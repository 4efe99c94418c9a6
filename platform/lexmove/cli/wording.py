"""How numbers, times and decisions read on the command line."""

from collections.abc import Mapping
from itertools import pairwise

from lexmove.results.summary import DEFAULT_ARM
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

NOTHING = "–"
"""Stands for what is not there."""

_CERTAIN = 0.995
"""From here on there was nothing to choose: the probability goes unsaid."""

_BARS = "▁▂▃▄▅▆▇█"
_EXPERTS = {"start:default": "the default", "start:sobol": "first look", "start:memory": "memory"}


def say_number(value: float | None) -> str:
    """A score: three significant digits at least, at most four decimals."""
    if value is None:
        return NOTHING
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.4g}"


def say_gain(value: float | None) -> str:
    """A difference of scores, with its sign."""
    return NOTHING if value is None else f"{value:+.4f}"


def say_duration(seconds: float) -> str:
    """`under 1 s`, `12 s`, `3 min`, `2 h 10 min`: what one reads at a glance."""
    if 0 < seconds < 0.5:
        return "under 1 s"
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours / 24:.3g} days"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def say_clock(seconds: float) -> str:
    """`3:07`, `1:02:45`: time since a start."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def say_count(number: float, singular: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number:g} {singular}" + ("" if number == 1 else "s")


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


def say_move(text: str, *, num: int = 2) -> str:
    """A move's first changes, and how many more it has."""
    changes = text.split(", ")
    if len(changes) <= num + 1:
        return text
    return f"{', '.join(changes[:num])} and {len(changes) - num} more"


def say_why(decision: Decision) -> str:
    """Which expert chose, and how sure the policy was: `ei p .83`."""
    expert = _EXPERTS.get(decision.expert, decision.expert.removeprefix("floor:"))
    words = expert or decision.proposer
    probability = decision.probability
    is_choice = probability is not None and probability < _CERTAIN
    return f"{words} p {say_probability(probability)}" if is_choice and probability else words


def say_probability(probability: float) -> str:
    """`.83`, `1.00`, `<.01`."""
    return "<.01" if probability < 0.005 else f"{probability:.2f}".removeprefix("0")


def say_arm(name: str, *, best: str | None = None) -> str:
    """The name of a repeated config as people know it; `best` is the incumbent's."""
    if name == best:
        return f"best config ({name})"
    return "default config" if name == DEFAULT_ARM else name


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
