"""How scores, differences, times and repeated configs read, on a console and on a page."""

from pathlib import Path

from lexmove.job.own_code import with_own_file
from lexmove.results.summary import DEFAULT_ARM, Repeated
from lexmove.space.declaration import declared_prior
from lexmove.space.domain import Categorical, Ordinal
from lexmove.space.move import say_value
from lexmove.space.search_space import Hyperparameter

NOTHING = "–"
"""Stands for what is not there."""


def say_number(value: float | None) -> str:
    """A score: three significant digits at least, at most four decimals."""
    if value is None:
        return NOTHING
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.4g}"


def say_gain(value: float | None) -> str:
    """A difference of scores, with its sign."""
    return NOTHING if value is None else f"{value:+.4f}"


def say_metric(name: str) -> str:
    """A metric's name for people: of a function in a file, without the folder."""
    return with_own_file(name, lambda path: Path(path).name)


def say_prior(item: Hyperparameter) -> str:
    """Where the user believes good values to lie, in words; empty without a belief."""
    domain, prior = item.domain, declared_prior(item.domain, item.prior)
    if isinstance(prior, dict):
        factor = "a factor of " if getattr(domain, "log", False) else ""
        return f"near {say_value(prior['near'])}, within {factor}{say_value(prior['within'])}"
    if isinstance(prior, list) and isinstance(domain, Ordinal | Categorical):
        pairs = zip(domain.values, prior, strict=True)
        return ", ".join(f"{say_value(value)}: {weight:g}" for value, weight in pairs)
    return ""


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


def say_count(number: float, singular: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number:g} {singular}" + ("" if number == 1 else "s")


def say_move(text: str, *, num: int = 2) -> str:
    """A move's first changes, and how many more it has."""
    changes = text.split(", ")
    if len(changes) <= num + 1:
        return text
    return f"{', '.join(changes[:num])} and {len(changes) - num} more"


def say_probability(probability: float) -> str:
    """`.83`, `1.00`, `<.01`."""
    return "<.01" if probability < 0.005 else f"{probability:.2f}".removeprefix("0")


def say_arm(name: str, *, best: str | None = None) -> str:
    """The name of a repeated config as people know it; `best` is the incumbent's."""
    if name == best:
        return f"best config ({name})"
    return "default config" if name == DEFAULT_ARM else name


def say_repeated(repeated: Repeated | None) -> str:
    """Mean ± half-width of the 95 % interval, of several seeds."""
    if repeated is None:
        return NOTHING
    has_interval = repeated.num_seeds > 1
    return say_number(repeated.mean) + (f" ± {say_number(repeated.ci95)}" if has_interval else "")
