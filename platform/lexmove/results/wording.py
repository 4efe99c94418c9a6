"""How scores, differences, times and repeated configs read, on a console and on a page."""

from collections.abc import Callable, Mapping, Sequence

from lexmove.results.judgement import Calibration, ClassScore, Judgement
from lexmove.results.summary import DEFAULT_ARM, Arm, Repeated, metric_name
from lexmove.space.declaration import declared_prior
from lexmove.space.domain import Categorical, Ordinal
from lexmove.space.move import say_value
from lexmove.space.search_space import Hyperparameter
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Decision, Trial, TrialStatus

NOTHING = "–"
"""Stands for what is not there."""

_MIN_SEEDS = 3
"""From here on there is an interval to tell: Student's t of two seeds is 9 standard deviations to
each side, which leaves the range of most metrics."""

_SHARES = ("f1_macro", "f1_micro", "accuracy", "auprc")
"""Metrics that lie between 0 and 1."""

_CERTAIN = 0.995
"""From here on there was nothing to choose: the probability goes unsaid."""

_EXPERTS = {
    "start:default": "the default",
    "start:asked": "asked for",
    "start:memory": "memory",
    "start:sobol": "first look",
    "floor:EI_per_second": "EI per second",
}


def say_number(value: float | None) -> str:
    """A score: four decimals, three digits where these would hide it, whole beside thousands."""
    if value is None:
        return NOTHING
    if 0 < abs(value) < 1e-3:
        return f"{value:.3g}"
    if abs(value) < 10:
        return f"{value:.4f}"
    return f"{value:.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"


def say_scores(scores: Mapping[str, float]) -> str:
    """`validation 0.8123, test 0.7990`."""
    return ", ".join(f"{split} {say_number(value)}" for split, value in scores.items())


def say_calibration(fitted: Calibration, metric: str) -> str:
    """What was made of a classifier's probabilities; `metric` as people know it."""
    if fitted.does_harm:
        return f"probabilities are as trained: calibrated, {metric} is worse on validation"
    return (
        f"probabilities are calibrated at temperature {fitted.temperature:.3g}: expected"
        f" calibration error {fitted.error_before:.3f} → {fitted.error_after:.3f} on test"
    )


def classifier_lines(judgement: Judgement, metric: str) -> list[str]:
    """What was made of the winner: an ensemble, calibrated probabilities, a threshold, a folder."""
    lines, ensemble = [], judgement.ensemble
    if ensemble is not None:
        scores = say_scores({"validation": ensemble.validation, "test": ensemble.test})
        line = f"{ensemble.num_models} seeds of the winner together: {scores}"
        if ensemble.threshold is not None:
            line += f"; a label is given above the mean probability {ensemble.threshold:.3g}"
        lines.append(line)
    if judgement.calibration is not None:
        lines.append(say_calibration(judgement.calibration, metric))
    if judgement.threshold is not None:
        lines.append(f"a label is given above the probability {judgement.threshold:.3g}")
    if judgement.model is not None:
        lines.append(f"the fine-tuned classifier is in {judgement.model} (loads in transformers)")
    if judgement.model_scores:
        lines.append(
            f"it is the seed that was best on validation: {say_scores(judgement.model_scores)}"
        )
    return lines


CLASS_HEADERS = ("class", "examples", "precision", "recall", "F1", "mostly taken for")


def class_rows(
    classes: Sequence[ClassScore], *, most: int, say: Callable[[str], str] = str
) -> list[list[str]]:
    """Classes by how many examples they have, a row each; of more than `most` the lowest F1.

    `say` makes a class's name fit to print.
    """
    shown = sorted(classes, key=lambda item: -1.0 if item.f1 is None else item.f1)[:most]
    return [
        [
            say(item.name),
            str(item.examples),
            *(say_number(value) for value in (item.precision, item.recall, item.f1)),
            _say_taken(item, say),
        ]
        for item in sorted(shown, key=lambda item: -item.examples)
    ]


def _say_taken(item: ClassScore, say: Callable[[str], str]) -> str:
    if item.taken_for is None:
        return NOTHING
    return f"{say(item.taken_for)} ({100 * item.num_taken / item.examples:.0f} %)"


def say_gain(value: float | None) -> str:
    """A difference of scores, with its sign."""
    if value is None:
        return NOTHING
    said = say_number(value)
    return said if said.startswith("-") else f"+{said}"


def say_metric(name: str) -> str:
    """A metric's name for people."""
    return metric_name(name)


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


def say_clock(seconds: float) -> str:
    """`3:07`, `1:02:45`: time since a start."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


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
    """Mean ± half-width of the 95 % interval; of two seeds the mean and both scores."""
    if repeated is None:
        return NOTHING
    mean = say_number(repeated.mean)
    if repeated.num_seeds >= _MIN_SEEDS:
        return f"{mean} ± {say_number(repeated.ci95)}"
    if len(repeated.values) < 2:
        return mean
    return f"{mean} ({', '.join(map(_say_briefly, sorted(repeated.values)))})"


def _say_briefly(value: float) -> str:
    return f"{value:.3f}" if 1e-2 <= abs(value) < 10 or not value else say_number(value)


def say_spread(arms: Sequence[Arm]) -> str:
    """What stands beside the means of `say_repeated`, for the title of a table that has them."""
    num_seeds = _most_seeds(arms)
    if num_seeds >= _MIN_SEEDS:
        return " ± 95 % interval"
    return " (and both scores)" if num_seeds > 1 else ""


def spread_note(arms: Sequence[Arm], *, is_paired: bool) -> str:
    """How the intervals of a table go together with the verdict on it; empty without any.

    `is_paired` says whether the verdict is by differences on the same texts and seeds.
    """
    if not is_paired or _most_seeds(arms) < _MIN_SEEDS:
        return ""
    return (
        "± is of the seeds alone; the verdict compares the same texts and seeds of both, so that a"
        " lead may be beyond noise where these intervals overlap, and within noise where they do"
        " not."
    )


def _most_seeds(arms: Sequence[Arm]) -> int:
    splits = (split for arm in arms for split in (arm.validation, arm.test))
    return max((split.num_seeds for split in splits if split is not None), default=0)


def is_share(metric: str) -> bool:
    """Whether a metric is known to lie between 0 and 1."""
    return metric in _SHARES


def say_started(spec: StudySpec, num_trials: int) -> str:
    """How many trials were started, `17 of 60`; without a budget of trials `17`."""
    of = f" of {spec.num_trials:,}" if spec.wall_clock_s is None else ""
    return f"{num_trials:,}{of}"


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
