"""The judgement after the repetitions: which config won, by how much, and what cannot be told."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from lexmove.space.search_space import Config
from lexmove.study.fidelity import Fidelity

_NEGLIGIBLE = 0.05
"""A difference that is this share of its interval's half-width is none."""

ONE_SEED = ", one seed, not counting how far seeds differ"
"""Said of an interval of one seed: how far they differ is known from two on."""

_MAX_NAMES = 5
"""Class names that a warning lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Winner:
    """The config that repeated best on validation: its arm, and how far it is trained.

    `trial_id` is the trial of the search that had it; None for a default that was never tried.
    """

    arm: str
    config: Mapping[str, bool | int | float | str]
    until: Fidelity
    trial_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much better the winner does than another, on one split, with its 95 % interval.

    Above 0 the winner is better, also where a metric is to be minimised. The interval speaks of
    both noises, that of the split and that of the `num_seeds` seeds; of one seed it is that of the
    split alone.
    """

    other: str
    split: str
    mean: float
    low: float
    high: float
    num_seeds: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    @property
    def half_width(self) -> float:
        """Half of the interval's width."""
        return (self.high - self.low) / 2

    @property
    def is_certain(self) -> bool:
        """Whether it does, with more than one seed behind it."""
        return self.num_seeds > 1 and self.excludes_zero


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """The mean of the winner's seeds: how many, its scores, and the threshold of several labels."""

    num_models: int
    validation: float
    test: float
    threshold: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScore:
    """How the winner tells one class on the test split, as the mean of its seeds.

    `examples` have it. `precision` is None where no seed ever says it, `recall` where nothing has
    it, `f1` where both. Most of what is missed of it, `num_taken`, is `taken_for` another class;
    None where nothing is, or where a text may have several.
    """

    name: str
    examples: int
    precision: float | None
    recall: float | None
    f1: float | None
    taken_for: str | None = None
    num_taken: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The temperature fitted on validation, and the calibration error on test without and with.

    It `does_harm` where the job's metric is worse with it on validation: it is then left at 1.
    """

    temperature: float
    error_before: float
    error_after: float
    does_harm: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is known once the repetitions are done.

    `key` tells which repetitions it is of. `threshold` is that of a multi-label task, on the saved
    model's probabilities; `model` the folder of its checkpoint, and `model_scores` those of this
    one seed as it is saved, by split. `sizes` are examples by split. `gaps` says in sentences what
    could not be judged, and why. `leaks` counts, by split, examples with a near-duplicate in train,
    where there are enough to matter. `absent` names, by split, the classes that macro-F1 counts and
    that have no example there. `only_class` is what the winner says of every validation text,
    whatever it reads; None for one that tells classes apart. `classes` tell how it does one by one.
    """

    key: str
    winner: Winner
    differences: tuple[Difference, ...]
    sizes: Mapping[str, int]
    ensemble: Ensemble | None = None
    calibration: Calibration | None = None
    threshold: float | None = None
    model: str | None = None
    model_scores: Mapping[str, float] = field(default_factory=dict)
    gaps: tuple[str, ...] = ()
    leaks: Mapping[str, int] = field(default_factory=dict)
    absent: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    only_class: str | None = None
    classes: tuple[ClassScore, ...] = ()

    def difference(self, other: str, split: str) -> Difference | None:
        """The one to another arm on a split."""
        found = (item for item in self.differences if (item.other, item.split) == (other, split))
        return next(found, None)

    @property
    def raw_threshold(self) -> float | None:
        """The threshold on the probabilities of a model that is not calibrated."""
        if self.threshold is None or self.calibration is None:
            return self.threshold
        odds = self.threshold / (1 - self.threshold)
        return 1 / (1 + float(odds**-self.calibration.temperature))

    def to_json(self) -> dict[str, Any]:
        """Absent values are null."""
        winner = asdict(self.winner) | {"config": dict(self.winner.config)}
        of_splits = {
            "sizes": dict(self.sizes),
            "leaks": dict(self.leaks),
            "model_scores": dict(self.model_scores),
            "absent": {split: list(names) for split, names in self.absent.items()},
        }
        return asdict(self) | {"winner": winner, **of_splits}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        ensemble, calibration = data["ensemble"], data["calibration"]
        winner = data["winner"]
        return cls(
            key=data["key"],
            winner=Winner(**(winner | {"config": Config(winner["config"])})),
            differences=tuple(Difference(**item) for item in data["differences"]),
            sizes=dict(data["sizes"]),
            ensemble=None if ensemble is None else Ensemble(**ensemble),
            calibration=None if calibration is None else Calibration(**calibration),
            threshold=data["threshold"],
            model=data["model"],
            gaps=tuple(data["gaps"]),
            # Older ones have not looked.
            model_scores=dict(data.get("model_scores", {})),
            leaks=dict(data.get("leaks", {})),
            absent={split: tuple(names) for split, names in data.get("absent", {}).items()},
            only_class=data.get("only_class"),
            classes=tuple(ClassScore(**item) for item in data.get("classes", ())),
        )


def warnings_of(
    judgement: Judgement,
    *,
    finalists: Sequence[str],
    comparisons: Sequence[str] = (),
    default: str,
    reference: str | None,
) -> tuple[str, ...]:
    """What a user should hear before trusting the winner, in sentences.

    Args:
        judgement: what is known.
        finalists: the arms that the search chose, by name.
        comparisons: the arms that the job names beside them.
        default: the arm of the space's default.
        reference: the name of the classifier that needs no tuning, where there is one.
    """
    found = [
        *judgement.gaps,
        *_blind(judgement),
        *_leaking(judgement),
        *_without_class(judgement),
    ]
    if judgement.winner.arm == default and finalists:
        found.append("no tuned config is better than the default when both are repeated")
    for other in finalists:
        lead = judgement.difference(other, "validation")
        if lead is not None and not lead.excludes_zero:
            found.append(
                f"{judgement.winner.arm} and {other} cannot be told apart on validation "
                f"({_interval(lead)}): take either"
            )
    found += _better_beside(judgement, comparisons)
    found += _against_default(judgement.difference(default, "test"))
    against = None if reference is None else judgement.difference(reference, "test")
    is_level = against is not None and abs(against.mean) <= _NEGLIGIBLE * against.half_width
    if is_level:
        found.append(f"{reference} does as well on test as the tuned transformer, and is cheaper")
    if against is not None and against.mean < 0 and not is_level:
        sure = "" if against.excludes_zero else ", within noise"
        found.append(
            f"{reference} does better on test than the tuned transformer "
            f"({_interval(against)}{sure}): it is cheaper, too"
        )
    return (*found, *_worse_calibrated(judgement.calibration), *_too_small(judgement, default))


def _better_beside(judgement: Judgement, comparisons: Sequence[str]) -> list[str]:
    leads = ((name, judgement.difference(name, "validation")) for name in comparisons)
    return [
        f"the comparison {name} does better on validation than {judgement.winner.arm} "
        f"({_interval(lead)}{'' if lead.excludes_zero else ', within noise'}), and cannot win: only"
        " what the search tried can; give it to the search (agent.starts, or `lexmove enqueue`)"
        for name, lead in leads
        if lead is not None and lead.mean < 0
    ]


def _leaking(judgement: Judgement) -> list[str]:
    if not judgement.leaks:
        return []
    counts = (
        f"{number} of {judgement.sizes[split]} {split} texts"
        for split, number in judgement.leaks.items()
    )
    return [
        f"{' and '.join(counts)} are near-duplicates of training texts: all scores on them, the"
        " reference's too, are higher than on texts that nobody has seen"
    ]


def _blind(judgement: Judgement) -> list[str]:
    if judgement.only_class is None:
        return []
    return [
        f"{judgement.winner.arm} says {judgement.only_class!r} of every validation text: nothing"
        " was learned; train longer (fidelity.max_epochs), on more texts or at other rates"
    ]


def _without_class(judgement: Judgement) -> list[str]:
    return [
        f"{split} has no example of {_listed(names)}: one text that is taken for such a class costs"
        " macro-F1 all of it, so that scores there say little of the other classes"
        for split, names in judgement.absent.items()
    ]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_MAX_NAMES])
    left = len(names) - _MAX_NAMES
    more = f" and {left} more" if left > 0 else ""
    return f"class {shown}" if len(names) == 1 else f"{len(names)} classes {shown}{more}"


def _against_default(lead: Difference | None) -> list[str]:
    if lead is None or (lead.is_certain and lead.mean > 0):
        return []
    if lead.excludes_zero and lead.mean > 0:
        return [
            f"the lead over the default config rests on one seed ({_interval(lead)}): more would"
            " tell (finalists.seeds)"
        ]
    if lead.excludes_zero:
        return [f"the default config does better on test ({_interval(lead)})"]
    return [f"the lead over the default config is within noise on test ({_interval(lead)})"]


def _worse_calibrated(calibration: Calibration | None) -> list[str]:
    if calibration is None:
        return []
    before, after = (
        f"{error:.3f}" for error in (calibration.error_before, calibration.error_after)
    )
    if float(after) <= float(before):
        return []
    return [
        "calibrated on validation, probabilities fit the test split less well"
        f" ({before} → {after}): leave them as they are with `decide: {{calibrate: false}}`, or"
        " give more validation examples"
    ]


def _too_small(judgement: Judgement, default: str) -> tuple[str, ...]:
    """Whether validation could not have shown the differences that the choice was made by."""
    claimed = judgement.difference(default, "validation")
    if claimed is None or claimed.excludes_zero or not claimed.mean:
        return ()
    num = _decimals(claimed.half_width)
    too_few = (
        f"too few for a difference of {abs(claimed.mean):.{num}f}: below about"
        f" {claimed.half_width:.{num}f} it is noise; give more"
    )
    size = judgement.sizes["validation"]
    if claimed.num_seeds == 1:
        return (f"validation has {size} examples, {too_few} of them",)
    return (
        f"{size} validation examples and {claimed.num_seeds} seeds are {too_few} seeds"
        " (finalists.seeds), or more examples",
    )


def _interval(difference: Difference) -> str:
    seeds = ONE_SEED if difference.num_seeds == 1 else ""
    mean, low, high = (
        f"{value:+.{_decimals(difference.half_width)}f}"
        for value in (difference.mean, difference.low, difference.high)
    )
    return f"{mean}, 95 % between {low} and {high}{seeds}"


def _decimals(half_width: float) -> int:
    """So many that an interval shows, whatever the metric's scale; three where that does."""
    if not 0.0 < half_width < math.inf or 1e-3 <= half_width < 10:
        return 3
    return min(12, max(0, 1 - math.floor(math.log10(half_width))))
