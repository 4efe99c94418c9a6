"""What a study says about itself."""

import json
import math
from dataclasses import replace

import pytest

from lexmove.results.summary import (
    DEFAULT_ARM,
    Arm,
    Repeated,
    arm_name,
    best_json,
    best_moves,
    list_json,
    repeated_arms,
    show_json,
    trial_table,
)
from lexmove.results.wording import is_share, say_repeated, say_spread, spread_note
from lexmove.space.domain import Categorical, Float, Integer
from lexmove.space.move import Move
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import (
    Decision,
    Ended,
    Measured,
    Measurement,
    Started,
    TrialStatus,
)

INTERVAL = " ± 95 % interval"
SPACE = SearchSpace(hyperparameters=(Hyperparameter(name="lr", domain=Float(low=0.0, high=1.0)),))


def study_of(*rows: tuple[Decision, dict[str, float] | None], goal: str = "maximize") -> Study:
    """One trial per row: its decision, and its metrics or None for a failure."""
    study = Study(spec=StudySpec(name="s", space=SPACE, goal=goal))
    for trial_id, (decision, metrics) in enumerate(rows):
        place = {"trial_id": trial_id, "at_s": float(study.num_events)}
        config = {"lr": trial_id / 10}
        started = {"config": config, "until": 1, "seed": 0, "decision": decision}
        study = study.with_event(Started(seq=study.num_events, **place, **started))
        status, reason = TrialStatus.COMPLETED, None
        if metrics is None:
            status, reason = TrialStatus.FAILED, "diverged"
        else:
            measurement = Measurement(fidelity=1, metrics=metrics)
            study = study.with_event(
                Measured(seq=study.num_events, **place, measurement=measurement)
            )
        study = study.with_event(Ended(seq=study.num_events, **place, status=status, reason=reason))
    return study


def moved(origin: int | None, **fields) -> Decision:
    return Decision(proposer="policy", move=Move(origin=origin, changes={"lr": 0.5}), **fields)


def test_repeated_is_student_t_on_the_seeds():
    repeated = Repeated.of([0.50, 0.54, 0.58])
    # sd .04, t(.975, 2) = 4.3027: .04 / sqrt(3) * 4.3027 = .09937
    assert repeated.mean == pytest.approx(0.54)
    assert repeated.ci95 == pytest.approx(0.09937, abs=1e-5)
    assert Repeated.of([0.5]).to_json() == {"mean": 0.5, "ci95": None, "num_seeds": 1}
    assert Repeated.of([]) is None


def test_of_two_seeds_both_scores_are_told_and_no_interval():
    assert say_repeated(Repeated.of([0.909, 0.6432])) == "0.7761 (0.643, 0.909)"
    assert say_repeated(Repeated.of([1234.5, 1200.0])) == "1217 (1200, 1234)"
    assert say_repeated(Repeated.of([12345.6, 12345.0])) == "12345 (12345, 12346)"
    assert say_repeated(Repeated.of([0.0012, 0.00034])) == "0.00077 (0.00034, 0.0012)"
    assert say_repeated(Repeated.of([0.50, 0.54, 0.58])) == "0.5400 ± 0.0994"
    assert say_repeated(Repeated.of([0.5])) == "0.5000"
    assert say_repeated(None) == "–"
    assert set(Repeated.of([0.9, 0.6]).to_json()) == {"mean", "ci95", "num_seeds"}


@pytest.mark.parametrize(
    ("num_seeds", "spread", "has_note"),
    [(0, "", False), (1, "", False), (2, " (and both scores)", False), (3, INTERVAL, True)],
)
def test_a_table_says_what_stands_beside_its_means(num_seeds, spread, has_note):
    scored = Repeated.of([0.5, 0.6, 0.7][:num_seeds])
    arms = [Arm(name="default", config=SPACE.default, validation=None, test=scored)]
    assert say_spread(arms) == spread
    assert bool(spread_note(arms, is_paired=True)) is has_note
    assert not spread_note(arms, is_paired=False)


def test_which_metrics_lie_between_zero_and_one():
    assert [name for name in ("f1_macro", "auprc", "mcc", "own.py:f1") if is_share(name)] == [
        "f1_macro",
        "auprc",
    ]


def test_show_lists_every_trial_with_its_move_and_both_gains():
    study = study_of(
        (Decision(proposer="policy", text="the default"), {"value": 0.3}),
        (moved(0, text="lr 0 → 0.1", predicted_gain=0.1, expert="floor:EI"), {"value": 0.5}),
        (moved(1), None),
    )
    shown = show_json(study, "finished")
    assert shown["schema_version"] == 1
    assert shown["incumbent"] == {"trial_id": 1, "value": 0.5}
    first, second, third = shown["trials"]
    assert first["move"]["realised_gain"] is None
    assert second["move"] == {
        "text": "lr 0 → 0.1",
        "origin": 0,
        "probability": None,
        "predicted_gain": 0.1,
        "realised_gain": pytest.approx(0.2),
        "expert": "floor:EI",
    }
    assert (third["state"], third["value"], third["reason"]) == ("FAILED", None, "diverged")
    json.dumps(shown, allow_nan=False)


def test_best_names_winner_default_and_reference():
    study = study_of((Decision(proposer="policy", policy_version="abc"), {"value": 0.6}))
    repetitions = study_of(
        *(
            (Decision(proposer="repetition", expert=arm), {"value": value, "test_value": value / 2})
            for arm, value in [
                (arm_name(0), 0.5),
                (DEFAULT_ARM, 0.2),
                (arm_name(0), 0.6),
                (DEFAULT_ARM, 0.4),
            ]
        )
    )
    arms = repeated_arms(repetitions)
    assert [arm.name for arm in arms] == ["trial 0", "default"]
    (listed,) = list_json([(study, "finished", arms[0])])["studies"]
    assert listed["winner"] == "trial 0"
    assert listed["repeated"]["mean"] == pytest.approx(0.55)
    best = best_json(study, arms=arms, reference={"name": "r", "validation": 0.7, "test": 0.1})
    assert best["repeated"]["mean"] == pytest.approx(0.55)
    assert best["repeated"]["num_seeds"] == 2
    assert best["test"] == pytest.approx(0.275)
    assert best["default"] == {"validation": pytest.approx(0.3), "test": pytest.approx(0.15)}
    assert best["reference"] == {"name": "r", "validation": 0.7, "test": 0.1}
    assert best["policy_version"] == "abc"


def test_an_empty_study_has_nulls_and_nothing_missing():
    study = study_of()
    best = best_json(study, arms=(), reference=None)
    assert best["config"] is None
    assert best["reference"] == {"name": None, "validation": None, "test": None}
    (listed,) = list_json([(study, "interrupted", None)])["studies"]
    assert listed["incumbent"] is None
    assert listed["winner"] is None
    assert listed["repeated"] == {"mean": None, "ci95": None, "num_seeds": None}
    assert set(best_json(study_of((moved(None), {"value": 1.0})), arms=(), reference=None)) == set(
        best
    )


def test_a_failed_repetition_leaves_the_others():
    repetitions = study_of(
        (Decision(proposer="repetition", expert="default"), {"value": 0.2}),
        (Decision(proposer="repetition", expert="default"), None),
        (Decision(proposer="repetition", expert="default"), {"value": math.nan}),
    )
    (arm,) = repeated_arms(repetitions)
    assert (arm.validation.num_seeds, arm.test) == (1, None)


def test_before_the_first_score_nothing_was_repeated():
    decision = Decision(proposer="repetition", expert="default")
    assert repeated_arms(study_of((decision, None))) == ()
    assert [arm.validation for arm in repeated_arms(study_of((decision, {"value": 1.0})))] != [None]


def test_best_moves_are_gains_over_the_incumbent_of_their_time():
    study = study_of(
        (Decision(proposer="p"), {"value": 0.5}),
        (moved(0), {"value": 0.4}),
        (moved(0), {"value": 0.25}),
        (moved(2), {"value": 0.25}),
        (moved(2), {"value": 0.9}),
        goal="minimize",
    )
    found = [(trial.trial_id, round(gain, 6)) for trial, gain in best_moves(study, num=2)]
    assert found == [(2, 0.15), (1, 0.1)]
    assert study.counts == {TrialStatus.COMPLETED: 5}


def test_the_trials_as_columns_of_equal_length():
    study = study_of((moved(None, text="the default"), {"value": 0.4}), (moved(0), None))
    table = trial_table(study)
    assert table == {
        "trial": [0, 1],
        "state": ["COMPLETED", "FAILED"],
        "epochs": [1, 0],
        study.spec.metric: [0.4, None],
        "seconds": [0.0, 0],
        "move": ["the default", ""],
        "config/lr": [0.0, 0.1],
    }
    assert all(column == [] for column in trial_table(study.prefix(0)).values())
    own = Study(spec=replace(study.spec, metric="/home/somebody/costs.py:brier"))
    assert "costs.py:brier" in trial_table(own)


def test_a_hyperparameter_that_is_off_has_no_value_in_the_table():
    lr, rank = SPACE.hyperparameters[0], Integer(low=1, high=8)
    lora = Hyperparameter(name="lora", domain=Categorical(values=(False, True)))
    of_lora = Hyperparameter(name="rank", domain=rank, when={"lora": (True,)})
    spec = StudySpec(name="s", space=SearchSpace(hyperparameters=(lr, lora, of_lora)))
    begun = {"at_s": 0.0, "until": 1, "seed": 0, "decision": moved(None)}
    off, on = {"lr": 0.1, "lora": False}, {"lr": 0.1, "lora": True, "rank": 4}
    events = [Started(seq=i, trial_id=i, config=c, **begun) for i, c in enumerate((off, on))]
    assert trial_table(Study.from_events(spec, events))["config/rank"] == [None, 4]
