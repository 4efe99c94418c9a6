"""The judgement after the repetitions: which config won, by how much, and what cannot be told."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The winner's score less another's, on one split, with its 95 % interval.

    The interval speaks of both noises: the split's finite size and the seeds of the training.
    """

    other: str
    split: str
    mean: float
    low: float
    high: float

    @property
    def is_certain(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """The mean of the winner's seeds: how many, and its scores."""

    num_models: int
    validation: float
    test: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The temperature fitted on validation, and the calibration error on test without and with."""

    temperature: float
    error_before: float
    error_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is known once the repetitions are done.

    `winner` is an arm: the finalist with the best repeated mean on validation, or the default where
    no finalist beats it. `threshold` is that
    of a multi-label task, on the saved model's probabilities; `model` the folder of its checkpoint.
    `sizes` are examples by split.
    """

    winner: str
    differences: tuple[Difference, ...]
    sizes: Mapping[str, int]
    ensemble: Ensemble | None = None
    calibration: Calibration | None = None
    threshold: float | None = None
    model: str | None = None

    def difference(self, other: str, split: str) -> Difference | None:
        """The one to another arm on a split."""
        found = (item for item in self.differences if (item.other, item.split) == (other, split))
        return next(found, None)

    def to_json(self) -> dict[str, Any]:
        """Absent values are null."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        ensemble, calibration = data["ensemble"], data["calibration"]
        return cls(
            winner=data["winner"],
            differences=tuple(Difference(**item) for item in data["differences"]),
            sizes=dict(data["sizes"]),
            ensemble=None if ensemble is None else Ensemble(**ensemble),
            calibration=None if calibration is None else Calibration(**calibration),
            threshold=data["threshold"],
            model=data["model"],
        )


def warnings_of(
    judgement: Judgement, *, finalists: Sequence[str], default: str, reference: str | None
) -> tuple[str, ...]:
    """What a user should hear before trusting the winner, in sentences.

    Args:
        judgement: with differences in the sense that more is better.
        finalists: the arms that the search chose, by name.
        default: the arm of the space's default.
        reference: the name of the classifier that needs no tuning, where there is one.
    """
    found = []
    if judgement.winner == default:
        found.append("no tuned config is better than the default when both are repeated")
    for other in finalists:
        lead = judgement.difference(other, "validation")
        if lead is not None and not lead.is_certain:
            found.append(
                f"{judgement.winner} and {other} cannot be told apart on validation "
                f"({_interval(lead)}): take either"
            )
    against_default = judgement.difference(default, "test")
    if against_default is not None and not against_default.is_certain:
        found.append(
            "the lead over the default config is within noise on test "
            f"({_interval(against_default)})"
        )
    against = None if reference is None else judgement.difference(reference, "test")
    if against is not None and against.mean < 0:
        sure = "" if against.is_certain else ", within noise"
        found.append(
            f"{reference} scores higher on test than the tuned transformer "
            f"({_interval(against)}{sure}): it is cheaper, too"
        )
    return (*found, *_too_small(judgement, default))


def _too_small(judgement: Judgement, default: str) -> tuple[str, ...]:
    """Whether validation could not have shown the differences that the choice was made by."""
    claimed = judgement.difference(default, "validation")
    if claimed is None or claimed.is_certain:
        return ()
    half = (claimed.high - claimed.low) / 2
    return (
        f"validation has {judgement.sizes['validation']} examples, too few for a difference of "
        f"{abs(claimed.mean):.3f}: below about {half:.3f} it is noise; give more of them, or more "
        "seeds",
    )


def _interval(difference: Difference) -> str:
    return f"{difference.mean:+.3f}, 95 % between {difference.low:+.3f} and {difference.high:+.3f}"
