"""What won on the test split, and whether the lead is more than the seeds' noise."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lexmove.results.judgement import Judgement
from lexmove.results.summary import DEFAULT_ARM, Arm, Repeated
from lexmove.results.wording import say_arm, say_gain, say_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A classifier with its score on the test split.

    `ci95` is the half-width of the interval over the seeds: 0 where nothing is random, NaN where
    one seed says nothing about noise.
    """

    name: str
    test: float
    ci95: float

    def overlaps(self, other: "Contender") -> bool:
        """Whether the intervals meet, or one of them is unknown."""
        reach = self.ci95 + other.ci95
        return math.isnan(reach) or abs(self.test - other.test) <= reach


def contenders(
    arms: Sequence[Arm], reference: Mapping[str, Any] | None, *, sign: float
) -> tuple[Contender, ...]:
    """Everything that was scored on the test split, best first.

    Args:
        arms: the repeated configs.
        reference: name and test score of the classifier that needs no tuning.
        sign: +1 where more is better, −1 where less is.
    """
    found = [_of_arm(arm.name, arm.test) for arm in arms if arm.test is not None]
    if reference is not None and reference.get("test") is not None:
        found.append(Contender(name=reference["name"], test=reference["test"], ci95=0.0))
    return tuple(sorted(found, key=lambda item: -sign * item.test))


def _of_arm(name: str, test: Repeated) -> Contender:
    return Contender(name=name, test=test.mean, ci95=test.ci95)


def verdict(ranked: Sequence[Contender], *, best: str | None, judgement: Judgement | None) -> str:
    """What won on the test split, in plain words; empty where there is nothing to compare.

    Args:
        ranked: all that was scored there, best first.
        best: the arm of the winner.
        judgement: the differences between them, where they are known.
    """
    if best is None or len(ranked) < 2:
        return ""
    own = next((item for item in ranked if item.name == best), None)
    default = next((item for item in ranked if item.name == DEFAULT_ARM), None)
    first, second = ranked[:2]
    if own is not None and own is not first:
        second = own  # of pairs with the winner the split's noise is known, too
    told = [item for item in ranked if math.isclose(item.test, first.test)]
    if len(told) > 1:
        sentences = [_level(told, own, best)]
    else:
        told = [first, second]
        sentences = [_lead(first, second, best, judgement)]
    if own and default and own is not default and not (own in told and default in told):
        sentences.append(
            f"Tuning changed the default config's score by {say_gain(own.test - default.test)}, "
            f"{_against_noise(own, default, judgement)}."
        )
    return " ".join(sentences)


def _named(item: Contender, best: str) -> str:
    return ("the " if item.name in (best, DEFAULT_ARM) else "") + say_arm(item.name, best=best)


def _level(level: Sequence[Contender], own: Contender | None, best: str) -> str:
    """That several share the first place; the winner's score, too, where it is not among them."""
    *names, last = (_named(item, best) for item in level)
    behind = ""
    if own is not None and own not in level:
        behind = f", ahead of {say_number(own.test)} for {_named(own, best)}"
    return (
        f"On the test split {', '.join(names)} and {last} are level at"
        f" {say_number(level[0].test)}{behind}."
    )


def _lead(first: Contender, second: Contender, best: str, judgement: Judgement | None) -> str:
    return (
        f"On the test split {_named(first, best)} won, {say_number(first.test)} against "
        f"{say_number(second.test)} for {_named(second, best)}: a lead of "
        f"{say_number(abs(first.test - second.test))}, {_against_noise(first, second, judgement)}."
    )


def _against_noise(one: Contender, other: Contender, judgement: Judgement | None) -> str:
    """By the paired interval of the winner's, which knows the split's noise, too."""
    names = {one.name, other.name}
    if judgement is not None and judgement.winner.arm in names:
        (loser,) = names - {judgement.winner.arm}
        known = judgement.difference(loser, "test")
        if known is not None and known.num_seeds > 1:
            return "beyond noise" if known.is_certain else "within noise"
    unknown = [item for item in (one, other) if math.isnan(item.ci95)]
    if unknown:
        seeds = "one seed each" if len(unknown) > 1 else "one seed of one of them"
        return f"on {seeds}: how far seeds differ is not known"
    return "within noise" if one.overlaps(other) else "beyond the seeds' noise"
