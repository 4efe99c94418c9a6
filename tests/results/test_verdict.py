"""The verdict's sentences: who won, what the winner is behind, and whether that is noise."""

import pytest

from lexmove.results.judgement import Difference, Judgement, Winner
from lexmove.results.summary import Repeated
from lexmove.results.verdict import Contender, contenders, verdict
from lexmove.space.search_space import Config

BEST = "trial 3"
REFERENCE = "TF-IDF"


def ranked(*, reference: float | None = None, **scores: list[float]) -> tuple[Contender, ...]:
    """By test score, of `best`, `default` and other arms."""
    found = []
    for name, values in scores.items():
        repeated = Repeated.of(values)
        assert repeated is not None
        arm = BEST if name == "best" else name
        found.append(Contender(name=arm, test=repeated.mean, ci95=repeated.ci95))
    known = None if reference is None else {"name": REFERENCE, "test": reference}
    found += contenders((), known, sign=1.0)
    return tuple(sorted(found, key=lambda item: -item.test))


def judgement(**differences: tuple[float, float]) -> Judgement:
    """Mean and half-width on test, by the other's name."""
    return Judgement(
        key="",
        winner=Winner(arm=BEST, config=Config({"lr": 0.1}), until=4, trial_id=3),
        differences=tuple(
            Difference(
                other=REFERENCE if name == "reference" else name,
                split="test",
                mean=mean,
                low=mean - half,
                high=mean + half,
                num_seeds=2,
            )
            for name, (mean, half) in differences.items()
        ),
        sizes={"validation": 32, "test": 32},
    )


def test_where_the_default_beats_the_winner_too_the_lead_is_the_one_over_the_winner() -> None:
    """Of reference against default only the t of two seeds is known, which says noise of all."""
    found = verdict(
        ranked(best=[0.156, 0.25], default=[0.094, 0.344], reference=0.6562),
        best=BEST,
        judgement=judgement(default=(-0.016, 0.33), reference=(-0.453, 0.235)),
    )
    assert found == (
        "On the test split TF-IDF won, 0.6562 against 0.2030 for the best config (trial 3): a lead"
        " of 0.4532, beyond noise. Tuning changed the default config's score by -0.0160, within"
        " noise."
    )


def test_a_default_that_beats_the_winner_is_told_once() -> None:
    found = verdict(
        ranked(best=[0.5, 0.5], default=[0.6, 0.6], other=[0.55, 0.55]),
        best=BEST,
        judgement=judgement(default=(-0.1, 0.05)),
    )
    assert found == (
        "On the test split the default config won, 0.6000 against 0.5000 for the best config"
        " (trial 3): a lead of 0.1000, beyond noise."
    )


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (
            {"best": [0.5], "default": [0.5], "reference": 0.5},
            "the best config (trial 3), the default config and TF-IDF are level at 0.5000.",
        ),
        (
            {"best": [0.4, 0.6], "default": [0.3, 0.7], "reference": 0.4},
            "the best config (trial 3) and the default config are level at 0.5000.",
        ),
        (
            {"best": [0.5], "other": [0.7], "reference": 0.7},
            "other and TF-IDF are level at 0.7000, ahead of 0.5000 for the best config (trial 3).",
        ),
    ],
)
def test_all_that_are_level_are_named(scores: dict, said: str) -> None:
    assert verdict(ranked(**scores), best=BEST, judgement=None) == f"On the test split {said}"
