"""The page about a study: its parts, its figures, and that any study makes one."""

import base64
import hashlib
import statistics
import time
from dataclasses import replace

import pytest

from lexmove.report.blocks import Table
from lexmove.report.page import render
from lexmove.report.progress import curves
from lexmove.report.study_page import study_page
from lexmove.results.wording import say_number
from lexmove.space.domain import Categorical, Float, Ordinal
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.study import Study
from lexmove.study.trial import Decision, Measured, Measurement, Started, TrialStatus
from report.parsed import Parsed, assert_drawn, parsed, values_of
from report.studies import METRIC, simulated_study, subject_of

SECTIONS = [
    "verdict",
    "history",
    "curves",
    "path",
    "configs",
    "slices",
    "importance",
    "failures",
    "timeline",
    "environment",
    "reproduce",
]
LIMIT_BYTES = 8_000_000
LIMIT_S = 20.0
STRANGE = (
    """</script><script>alert(1)</script><img src=x onerror=alert(2)> & "'`{{7*7}} <b>bold</b>"""
)
ONE = SearchSpace(
    hyperparameters=(Hyperparameter(name="rate", domain=Float(low=1e-5, high=1e-1, log=True)),)
)


def page_of(study: Study, **fields: object) -> Parsed:
    html = render(study_page(subject_of(study, **fields)))
    assert len(html.encode()) < LIMIT_BYTES
    page = parsed(html)
    assert page.sections == SECTIONS
    assert_drawn(page)
    return page


def test_a_page_has_its_parts_in_order_and_every_figure_its_data(hundred_html: str) -> None:
    page = parsed(hundred_html)
    assert page.sections == SECTIONS
    assert_drawn(page)
    names = {name.removesuffix("-data") for name in page.charts}
    assert names == {
        *("history", "curves", "way", "turns", "directions", "predictions", "parallel"),
        *(f"slice-{index}" for index in range(7)),
        *("importance", "failures", "slots", "at-once", "phases"),
    }


def test_a_page_loads_nothing_and_runs_only_its_own_scripts(hundred_html: str) -> None:
    page = parsed(hundred_html)
    assert page.loads == []
    assert page.handlers == []
    assert page.policy.startswith("default-src 'none'; script-src 'sha256-")
    assert len(page.scripts) == 2
    for script in page.scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in page.policy
    assert "connect-src" not in page.policy  # default-src: none of it
    assert "http" not in page.policy


def test_the_history_holds_every_trial_and_the_best_so_far(hundred: Study) -> None:
    figure = page_of(hundred).figures["history-data"]
    traces = {trace["name"]: trace for trace in figure["data"]}
    best = values_of(traces["best so far"]["y"])
    assert best == sorted(best)
    assert hundred.incumbent is not None
    assert best[-1] == hundred.incumbent.value
    dots = sum(
        len(values_of(traces[name]["x"]))
        for name in ("stopped or waiting at a rung", "trained to the end")
    )
    assert dots == sum(hundred.best_of(trial) is not None for trial in hundred.trials)


def test_a_step_of_the_best_so_far_is_at_the_dot_of_its_trial() -> None:
    spec = replace(simulated_study(0).spec, num_trials=3)
    study = Study(spec=spec)
    decision = Decision(proposer="policy")
    for trial_id in range(3):
        study = study.with_event(
            Started(
                seq=study.num_events, at_s=0.0, trial_id=trial_id, config=spec.space.default,
                until=2, seed=0, decision=decision,
            )
        )  # fmt: skip
    for trial_id, epoch, value in ((1, 1, 0.6), (0, 1, 0.5), (2, 1, 0.8), (1, 2, 0.7)):
        measured = Measurement(fidelity=epoch, metrics={METRIC: value})
        study = study.with_event(
            Measured(seq=study.num_events, at_s=1.0, trial_id=trial_id, measurement=measured)
        )
    traces = {trace["name"]: trace for trace in page_of(study).figures["history-data"]["data"]}
    line = traces["best so far"]
    assert values_of(line["x"]) == [0, 1, 2, 2]
    assert values_of(line["y"]) == [0.5, 0.7, 0.8, 0.8]
    dots = traces["stopped or waiting at a rung"]
    assert values_of(dots["y"]) == [0.5, 0.7, 0.8]


def test_of_a_best_config_that_none_led_to_no_way_is_drawn() -> None:
    page = page_of(simulated_study(1, failing=0.0))
    assert "way-data" not in page.figures
    assert "The best config, trial 0, was made of no other one (" in page.text


def test_the_path_leads_to_the_incumbent(hundred: Study) -> None:
    page = page_of(hundred)
    incumbent = hundred.incumbent
    assert incumbent is not None
    line = values_of(page.figures["way-data"]["data"][0]["y"])
    assert line[-1] == incumbent.value
    assert "mixing desk" in page.text
    assert "learned policy" in page.text
    assert "classical rule" in page.text
    assert hundred.trials[incumbent.trial_id].decision.text.split(", ")[0] in page.text


def test_words_of_strangers_stay_words() -> None:
    study = simulated_study(30, name=STRANGE, failing=0.3, reason=STRANGE.replace("{{7*7}}", "{}"))
    html = render(study_page(subject_of(study)))
    page = parsed(html)
    assert "img" not in page.tags
    assert "b" not in page.tags
    assert page.handlers == []
    assert len(page.scripts) == 2
    assert f"Study {STRANGE}".replace("  ", " ") in page.text
    assert "<img" not in html.replace(page.scripts[0], "")
    failed = [trace for trace in page.figures["history-data"]["data"] if trace["name"] == "failed"]
    assert all("<img" not in text for text in failed[0]["text"])


def test_a_hyperparameter_may_be_called_anything_that_a_file_allows() -> None:
    name = "<i>rate</i> of\u202e something_that_is_rather_long.and_goes_on_and_on_without_an_end"
    space = SearchSpace(
        hyperparameters=(
            Hyperparameter(name=name, domain=Float(low=0.0, high=1.0)),
            Hyperparameter(name="how", domain=Categorical(values=("<u>a</u>", "b" * 80, ""))),
        )
    )
    page = page_of(simulated_study(40, space=space))
    assert not {"i", "u"} & set(page.tags)
    ticks = page.figures["parallel-data"]["layout"]["yaxis"]["ticktext"]
    assert "<i>" not in ticks[0]


@pytest.mark.parametrize(
    ("study", "said"),
    [
        (simulated_study(0), "No trial has begun yet"),
        (simulated_study(1), "trial 0"),
        (simulated_study(12, failing=1.0), "No trial has succeeded: 12 of 12 failed"),
        (simulated_study(10), "Importances are told from 20 trials on"),
        (simulated_study(30, fidelity=FidelityPlan()), "there are no curves to draw"),
        (simulated_study(30, goal="minimize"), "the lower edge of the cloud"),
        (simulated_study(25, space=ONE), "All hyperparameters at once"),
        (simulated_study(25, parallel=1), "All hyperparameters at once"),
    ],
    ids=["empty", "one", "failures", "ten", "no-rungs", "minimize", "one-dimension", "one-slot"],
)  # fmt: skip
def test_any_study_makes_a_page(study: Study, said: str) -> None:
    assert said in page_of(study).text


def test_an_unfinished_study_says_what_is_missing(hundred: Study) -> None:
    study = hundred.prefix(hundred.num_events // 3)
    assert study.running
    text = page_of(study, state="running").text
    assert "The study is running" in text
    assert "still running" in str(page_of(study, state="running").figures["slots-data"])


def test_a_study_whose_trials_all_run_still_makes_a_page(hundred: Study) -> None:
    study = hundred.prefix(1)
    assert [trial.status for trial in study.trials] == [TrialStatus.RUNNING]
    assert "No trial has a score yet" in page_of(study, state="interrupted").text


def test_all_levels_of_a_long_list_need_no_room() -> None:
    space = SearchSpace(
        hyperparameters=(
            Hyperparameter(name="width", domain=Ordinal(values=tuple(range(64, 4096, 64)))),
            Hyperparameter(name="rate", domain=Float(low=0.1, high=0.2, log=True)),
        )
    )
    page = page_of(simulated_study(30, space=space))
    labels = page.figures["parallel-data"]["layout"]["annotations"]
    assert len(labels) == 6


@pytest.mark.slow
def test_five_thousand_trials_are_written_in_time_and_fit() -> None:
    study = simulated_study(5000)
    began_s = time.process_time()
    html = render(study_page(subject_of(study)))
    took_s = time.process_time() - began_s  # of the processor: a busy machine is no mistake here
    assert took_s < LIMIT_S
    assert len(html.encode()) < LIMIT_BYTES
    page = parsed(html)
    assert_drawn(page)
    assert "of 5,000" in page.text
    drawn = sum(len(trace["x"]) for figure in page.figures.values() for trace in figure["data"])
    assert drawn < 12_000, "a browser would take long over it"


def test_the_median_of_a_rung_lies_between_the_two_in_the_middle() -> None:
    study = simulated_study(10, failing=0.0)
    chronicle = subject_of(study).chronicle
    scores = [row.curve[1] for row in chronicle.scored]
    assert len(scores) == 10
    section = curves(chronicle)
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    assert table.rows[0][-1] == say_number(statistics.median(scores))
    assert table.rows[0][-1] != say_number(sorted(scores)[5])
