"""The chronicle says what the study says, read once."""

from itertools import pairwise

import pytest

from lexmove.report.choosers import OPENING, OTHER, POLICY, RULE, chooser_of, chooser_words
from lexmove.report.chronicle import changed, chronicle_of, drawn_rows, evenly, value_range
from lexmove.report.failures import cause_of
from lexmove.report.look import log_ticks, wrapped
from lexmove.study.study import Study
from lexmove.study.trial import Decision, Ended, Measured, TrialStatus
from report.studies import simulated_study


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_its_rows_are_the_trials(goal: str) -> None:
    study = simulated_study(60, goal=goal)
    chronicle = chronicle_of(study)
    assert [row.trial_id for row in chronicle.rows] == list(range(60))
    for row, trial in zip(chronicle.rows, study.trials, strict=True):
        best = study.best_of(trial)
        assert row.value == (None if best is None else best.value)
        assert row.gain == study.realised_gain(trial)
        assert (row.status, row.fidelity, row.config) == (
            trial.status,
            trial.fidelity,
            trial.config,
        )
    assert [row.trial_id for row in chronicle.ranked] == [i.trial_id for i in study.ranking]
    assert chronicle.incumbent == study.incumbent


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_improvements_are_the_trajectory(goal: str) -> None:
    study = simulated_study(60, goal=goal)
    steps = chronicle_of(study).improvements
    assert tuple((step.num_started, step.value) for step in steps) == study.trajectory
    assert [step.num_epochs for step in steps] == sorted(step.num_epochs for step in steps)
    assert study.incumbent is not None
    assert steps[-1].trial_id == study.incumbent.trial_id


def test_a_lineage_goes_back_by_moves_to_where_it_began(hundred: Study) -> None:
    chronicle = chronicle_of(hundred)
    assert chronicle.best is not None
    line = chronicle.lineage(chronicle.best)
    assert line[-1] is chronicle.best
    assert line[0].origin is None
    for before, after in pairwise(line):
        assert after.origin == before.trial_id
        assert changed(chronicle, after)


def test_a_gain_over_the_origin_is_of_equal_training(hundred: Study) -> None:
    chronicle = chronicle_of(hundred)
    found = [(row, gain) for row in chronicle.rows if (gain := chronicle.gain_over_origin(row))]
    assert found
    for row, gain in found:
        assert row.origin is not None
        before = chronicle.rows[row.origin]
        at = max(set(row.curve) & set(before.curve))
        assert gain == pytest.approx(row.curve[at] - before.curve[at])


def test_a_sample_keeps_the_best_and_the_order(hundred: Study) -> None:
    chronicle = chronicle_of(hundred)
    rows = drawn_rows(chronicle, 30)
    assert len(rows) == 30
    assert list(rows) == sorted(rows, key=lambda row: row.trial_id)
    assert {row.trial_id for row in chronicle.ranked[:10]} <= {row.trial_id for row in rows}
    assert len(evenly(chronicle.rows, 7)) == 7
    assert evenly(chronicle.rows, 0) == ()


def test_a_far_tail_does_not_press_the_others_into_a_line(hundred: Study) -> None:
    bounds = value_range(chronicle_of(hundred))
    assert bounds is not None
    values = [item.value for item in hundred.ranking]
    assert bounds[0] < sorted(values)[len(values) // 2] < values[0] < bounds[1]
    assert value_range(chronicle_of(simulated_study(0))) is None


@pytest.mark.parametrize(
    ("expert", "chooser", "words"),
    [
        ("start:default", OPENING, "opening: the default"),
        ("start:memory", OPENING, "opening: earlier studies"),
        ("floor:EI", RULE, "classical rule: expected improvement"),
        ("asha", RULE, "classical rule: among the best of its rung"),
        ("policy", POLICY, "learned policy"),
        ("", OTHER, "random"),
    ],
)
def test_who_chose_is_said_in_words(expert: str, chooser: object, words: str) -> None:
    decision = Decision(proposer="random", expert=expert)
    assert chooser_of(decision) is chooser
    assert chooser_words(decision) == words


def test_like_causes_count_together() -> None:
    rows = chronicle_of(simulated_study(30, failing=1.0)).rows
    assert {cause_of(row) for row in rows} == {"out of memory: tried to allocate N MiB"}


def test_ticks_of_a_logarithmic_axis_are_few_and_round() -> None:
    assert log_ticks(1e-6, 1e-3) == pytest.approx([1e-6, 1e-5, 1e-4, 1e-3])
    assert log_ticks(4, 64) == pytest.approx([4, 16, 64])
    assert len(log_ticks(1e-12, 1e6)) <= 8


def test_long_names_are_split_where_they_may_be() -> None:
    assert wrapped("rate") == "rate"
    assert wrapped("per_device_train_batch_size") == "per_device_<br>train_batch_size"
    assert wrapped("<b>") == "&lt;b&gt;"
    assert len(wrapped("x" * 200)) < 60


@pytest.mark.parametrize("blames_trial", [False, True])
def test_a_segment_whose_process_was_killed_ends_with_its_last_report(blames_trial: bool) -> None:
    whole = simulated_study(12)
    cut = next(
        event for event in reversed(whole.events) if isinstance(event, Measured) and event.at_s
    )
    study = whole.prefix(cut.seq + 1)
    found_s = cut.at_s + 600.0
    lost = study.with_event(
        Ended(
            seq=study.num_events,
            at_s=found_s,
            trial_id=cut.trial_id,
            status=TrialStatus.PREEMPTED,
            blames_trial=blames_trial,
        )
    )
    span = chronicle_of(lost).rows[cut.trial_id].spans[-1]
    assert span.status is TrialStatus.PREEMPTED
    # A worker's death is seen at once; that of the whole job, by the one that resumes it.
    assert span.ended_s == (found_s if blames_trial else cut.at_s)
