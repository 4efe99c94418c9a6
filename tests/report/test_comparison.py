"""The page about several studies: curves by trials and compute, final scores, configs."""

from collections.abc import Sequence

import pytest

from lexmove.report.comparison import Curve, comparison_page, curves_chart, unlike
from lexmove.report.page import render
from lexmove.report.subject import Subject
from lexmove.results.judgement import Winner
from lexmove.results.summary import DEFAULT_ARM, Arm, Repeated
from lexmove.study.fidelity import FidelityPlan
from report.parsed import Parsed, assert_drawn, parsed, values_of
from report.studies import SPACE, simulated_study, subject_of

SECTIONS = ["verdict", "progress", "finals", "configs", "choosers"]


def compared(subjects: Sequence[Subject]) -> Parsed:
    page = parsed(render(comparison_page(subjects)))
    assert page.sections == SECTIONS
    assert_drawn(page)
    return page


def repeated(mean: float) -> Repeated:
    return Repeated(mean=mean, ci95=0.01, num_seeds=3)


def subject(name: str, *, seed: int, num_trials: int = 40) -> Subject:
    study = simulated_study(num_trials, name=name, seed=seed)
    assert study.incumbent is not None
    best = study.incumbent.trial_id
    config = study.trials[best].config
    arms = (
        Arm(name="best", config=config, validation=repeated(0.8), test=repeated(0.78)),
        Arm(name=DEFAULT_ARM, config=SPACE.default, validation=repeated(0.7), test=repeated(0.69)),
    )
    winner = Winner(arm="best", config=config, until=8, trial_id=best)
    return subject_of(study, arms=arms, winner=winner)


def test_curves_end_where_the_studies_do() -> None:
    subjects = [subject("first", seed=0), subject("second", seed=1, num_trials=25)]
    page = compared(subjects)
    for name, total in (
        ("by-trials-data", lambda s: len(s.chronicle.rows)),
        ("by-epochs-data", lambda s: s.chronicle.num_epochs),
        ("by-time-data", lambda s: s.chronicle.trained_s / 60),
    ):
        traces = page.figures[name]["data"]
        assert [trace["name"] for trace in traces] == ["first", "second"]
        for trace, one in zip(traces, subjects, strict=True):
            assert values_of(trace["x"])[-1] == pytest.approx(total(one))
            assert values_of(trace["y"])[-1] == one.chronicle.incumbent.value


def test_a_study_with_one_improvement_at_its_end_is_a_dot() -> None:
    """Its line has no length, so that nothing would be seen of it."""
    once = FidelityPlan(maximum=1, eta=2, first=1)
    short = subject_of(simulated_study(1, name="short", failing=0.0, fidelity=once))
    page = compared([short, subject("first", seed=0)])
    for name in ("by-trials-data", "by-epochs-data"):
        dot, steps = page.figures[name]["data"]
        assert values_of(dot["x"]) == [1]
        for drawn in (dot, steps):
            assert "markers" in drawn["mode"]
            assert drawn["marker"]["size"] > drawn["line"]["width"]


def test_final_scores_have_their_intervals_and_configs_stand_side_by_side() -> None:
    page = compared([subject("first", seed=0), subject("second", seed=1)])
    (trace,) = page.figures["finals-test-data"]["data"]
    assert values_of(trace["error_x"]["array"]) == [0.01] * 4
    assert values_of(trace["error_x"]["arrayminus"]) == [0.01] * 4
    assert page.figures["finals-test-data"]["layout"]["yaxis"]["ticktext"][-1] == "first"
    for name in SPACE.names:
        assert name in page.text
    assert "0.7800 ± 0.0100" in page.text


def test_studies_that_are_not_alike_are_said_to_be() -> None:
    first = subject("first", seed=0)
    assert unlike([first, subject("second", seed=1)]) == []
    other = subject_of(simulated_study(20, name="low", goal="minimize"))
    text = compared([first, other]).text
    assert "The studies have different objectives" in text


def test_studies_without_results_are_compared_as_far_as_they_go() -> None:
    empty, failed = simulated_study(0, name="empty"), simulated_study(5, name="bad", failing=1.0)
    page = compared([subject_of(empty), subject_of(failed)])
    assert "No study has a score yet" in page.text
    page = compared([subject_of(empty), subject("first", seed=0)])
    assert [trace["name"] for trace in page.figures["by-trials-data"]["data"]] == ["first"]


def test_many_studies_stay_apart() -> None:
    subjects = [subject_of(simulated_study(8, name=f"study-{i}", seed=i)) for i in range(12)]
    traces = compared(subjects).figures["by-trials-data"]["data"]
    assert len({(t["line"]["color"], t["line"]["dash"]) for t in traces}) == 12


def test_curves_may_have_bands() -> None:
    curve = Curve(name="<arm>", x=[1, 2], y=[0.5, 0.25], low=[0.4, 0.2], high=[0.6, 0.3])
    chart = curves_chart(
        [curve], name="regret", title="Regret", caption="", x_title="trials", y_title="regret",
        is_log=True,
    )  # fmt: skip
    band, line = chart.figure.data
    assert list(band.y) == [0.6, 0.3, 0.2, 0.4]
    assert line.name == "&lt;arm&gt;"
    assert chart.figure.layout.yaxis.type == "log"
