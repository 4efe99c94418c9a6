"""The verdict: leads with the right sign, what is published beside it, what is missing said."""

import math
from dataclasses import replace

import pytest

from lexmove.report.blocks import Table
from lexmove.report.page import render
from lexmove.report.study_page import study_page
from lexmove.report.subject import Subject
from lexmove.report.verdict_part import forest, tiles, verdict_section
from lexmove.results.judgement import (
    Calibration,
    Difference,
    Ensemble,
    Judgement,
    Winner,
)
from lexmove.results.summary import DEFAULT_ARM, Arm, Repeated
from report.parsed import parsed
from report.studies import SPACE, simulated_study, subject_of

SEEDS = ("seeds",)
REFERENCE = {"name": "TF-IDF + logistic regression", "validation": 0.6, "test": 0.6}


def repeated_subject(*, goal: str = "maximize", own: float, default: float) -> Subject:
    study = simulated_study(30, goal=goal)
    assert study.incumbent is not None
    config = study.trials[study.incumbent.trial_id].config
    winner = Winner(arm="trial 7", config=config, until=8, trial_id=study.incumbent.trial_id)
    judgement = Judgement(
        key="",
        winner=winner,
        differences=(
            Difference(
                other=DEFAULT_ARM, split="test", mean=0.1, low=-0.02, high=0.22, num_seeds=3
            ),
        ),
        sizes={"validation": 100, "test": 100},
    )
    arms = (arm("trial 7", own), arm(DEFAULT_ARM, default))
    return subject_of(study, arms=arms, winner=winner, judgement=judgement, reference=REFERENCE)


def arm(name: str, score: float) -> Arm:
    scored = Repeated(mean=score, ci95=0.01, num_seeds=3)
    return Arm(name=name, config=SPACE.default, validation=scored, test=scored)


@pytest.mark.parametrize(
    ("goal", "own", "default"), [("maximize", 0.8, 0.7), ("minimize", 0.2, 0.3)]
)
def test_a_lead_is_above_zero_whichever_way_is_better(
    goal: str, own: float, default: float
) -> None:
    found = {
        tile.label: tile for tile in tiles(repeated_subject(goal=goal, own=own, default=default))
    }
    assert found["lead over the default"].value == "+0.1000"
    assert "between -0.020 and +0.220" in found["lead over the default"].note
    assert found["winner"].value == "trial 7"
    assert found["test f1_macro"].value == f"{own:.4f} ± 0.0100"
    assert "30 trials" in found["compute spent"].note
    assert "repetitions" not in found["compute spent"].note


def test_the_time_of_repetitions_is_told_apart_from_what_the_search_did() -> None:
    (found,) = (
        tile.note
        for tile in tiles(replace(repeated_subject(own=0.8, default=0.7), repeated_s=120.0))
        if tile.label == "compute spent"
    )
    assert found.startswith("30 trials, ")
    assert found.endswith("epochs in the search; 2 min for repetitions are included")


def test_all_that_was_scored_on_test_stands_in_one_picture() -> None:
    subject = replace(
        repeated_subject(own=0.8, default=0.7), published={"Legal-BERT": 0.83, "BERT": 0.5}
    )
    section = verdict_section(subject)
    (chart,) = section.charts
    labels = list(chart.figure.layout.yaxis.ticktext)
    assert list(chart.figure.data[0].x) == [0.5, 0.6, 0.7, 0.8, 0.83]
    assert labels[-1].replace("<br>", "").startswith("Legal-BERT (publ")
    warned = [block.text for block in section.blocks if getattr(block, "is_warning", False)]
    assert any("within noise on test" in text for text in warned)


def test_bars_of_a_share_end_at_zero_and_one() -> None:
    rows = [("a", 0.7761, 1.6848, "red"), ("b", 0.5, 0.1, "red"), ("c", 0.6, math.nan, "red")]
    bars = forest(rows, metric="test f1_macro", is_in_unit=True).data[0]
    assert list(bars.error_x.array) == pytest.approx([0.2239, 0.1, 0.0])
    assert list(bars.error_x.arrayminus) == pytest.approx([0.7761, 0.1, 0.0])
    assert list(bars.customdata) == [
        "0.7761, 95 % between 0.0000 and 1.0000",
        "0.5000, 95 % between 0.4000 and 0.6000",
        "0.6000",
    ]
    free = forest(rows, metric="loss").data[0]
    assert list(free.error_x.array) == list(free.error_x.arrayminus) == [1.6848, 0.1, 0.0]


def test_the_chart_of_a_share_is_cut_and_two_seeds_are_both_told() -> None:
    scored = Repeated.of([0.909, 0.6432])
    assert scored is not None
    arms = [
        Arm(name=name, config=SPACE.default, validation=scored, test=scored)
        for name in ("trial 7", DEFAULT_ARM)
    ]
    section = verdict_section(replace(repeated_subject(own=0.8, default=0.7), arms=arms))
    assert max(section.charts[0].figure.data[0].error_x.array) < 0.4
    (table,) = [block for block in section.blocks if getattr(block, "headers", ())[-1:] == SEEDS]
    assert table.rows[0][1:] == ["0.7761 (0.643, 0.909)"] * 2 + ["2"]
    assert table.caption == "Mean f1_macro (and both scores) over fresh seeds."


def test_intervals_of_seeds_are_set_apart_from_those_of_the_verdict() -> None:
    section = verdict_section(repeated_subject(own=0.8, default=0.7))
    (table,) = [block for block in section.blocks if getattr(block, "headers", ())[-1:] == SEEDS]
    assert "± is of the seeds alone; the verdict compares the same texts" in table.caption


def test_of_a_default_that_won_there_is_no_lead_over_itself() -> None:
    subject = repeated_subject(own=0.8, default=0.7)
    assert subject.winner is not None
    won = replace(subject, winner=replace(subject.winner, arm=DEFAULT_ARM, trial_id=None))
    labels = [tile.label for tile in tiles(won)]
    assert "lead over the default" not in labels
    assert tiles(won)[0].value == "the default config"


def differences_table(subject: Subject) -> Table:
    (table,) = (
        block
        for block in verdict_section(subject).blocks
        if isinstance(block, Table) and block.headers[0] == "winner against"
    )
    return table


def test_a_difference_of_one_seed_is_not_certain_and_the_caption_says_why() -> None:
    subject = repeated_subject(own=0.8, default=0.7)
    assert subject.judgement is not None
    (known,) = subject.judgement.differences
    assert "seed it is of the split alone" not in differences_table(subject).caption
    one = replace(known, low=0.05, high=0.15, num_seeds=1)
    alone = replace(subject, judgement=replace(subject.judgement, differences=(one,)))
    table = differences_table(alone)
    assert table.rows[0][-2:] == ["1", "no"]
    assert "leaves out zero, and more than one seed is behind it." in table.caption
    assert "Of one seed it is of the split alone" in table.caption
    (note,) = (tile.note for tile in tiles(alone) if tile.label == "lead over the default")
    assert note.endswith("and +0.150, one seed, not counting how far seeds differ")


def test_the_classifier_is_told_in_the_words_of_best() -> None:
    subject = repeated_subject(own=0.8, default=0.7)
    assert subject.judgement is not None
    full = replace(
        subject.judgement,
        ensemble=Ensemble(num_models=2, validation=0.71, test=0.72, threshold=0.31),
        calibration=Calibration(temperature=1.7, error_before=0.11, error_after=0.03),
        threshold=0.27,
        model="studies/s/model",
        model_scores={"validation": 0.74, "test": 0.69},
    )
    page = parsed(render(study_page(replace(subject, judgement=full))))
    for line in (
        "2 seeds of the winner together: validation 0.7100, test 0.7200; a label is given above the"
        " mean probability 0.31",
        "probabilities are calibrated at temperature 1.7: expected calibration error 0.110 → 0.030",
        "a label is given above the probability 0.27",
        "the fine-tuned classifier is in studies/s/model",
        "it is the seed that was best on validation: validation 0.7400, test 0.6900",
    ):
        assert line in page.text
    bare = verdict_section(subject).blocks
    assert not any(getattr(block, "headers", ()) == ("the classifier",) for block in bare)


@pytest.mark.parametrize(
    ("state", "said"),
    [("finished", "Nothing was repeated"), ("interrupted", "The study is interrupted; its last")],
)
def test_without_repetitions_the_score_is_said_to_flatter(state: str, said: str) -> None:
    blocks = verdict_section(subject_of(simulated_study(12), state=state)).blocks
    texts = [getattr(block, "text", "") for block in blocks]
    assert any(said in text and "flatters it" in text for text in texts)
