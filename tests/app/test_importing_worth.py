"""What a trial of another tool is worth here: what it came to there, not the best on its way."""

import json
import math
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from app.test_importing import LORA, LR, RANK, add, one, source, theirs, write_trial
from app.test_running import SPACE, make_job
from lexmove.app.past.importing import Wanted, import_past
from lexmove.app.remembering import recall
from lexmove.study.scoring import Goal
from lexmove.study.study import Study
from lexmove.study.trial import TrialStatus

SIGNS = {"maximize": 1.0, "minimize": -1.0}
FINAL_COUNTS = "in {} a value on the way was better than the final one: the final one counts"


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ours.db"


def crossing(place: float, sign: float) -> list[float]:
    """Five values of a trial at `place` in [0, 1]: the better it begins, the worse it ends."""
    return [sign * (place * (1 - 0.2 * step) + (1 - place) * 0.2 * step) for step in range(5)]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_best_trial_values_and_starts_are_optunas_own(
    tmp_path: Path, store: str, direction: str
) -> None:
    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("learning_rate", 1e-5, 1e-2, log=True)
        values = crossing((math.log10(rate) + 5) / 3, SIGNS[direction])
        length = 3 if trial.number % 4 == 3 else 4 if trial.number % 4 == 1 else 5
        for step, value in enumerate(values[:length]):
            trial.report(value, step)
        if length == 3:
            raise optuna.TrialPruned
        return values[length - 1]

    sampler = optuna.samplers.RandomSampler(seed=0)
    study = theirs(tmp_path, direction=direction, sampler=sampler)
    study.optimize(objective, n_trials=20)
    (done,) = import_past(source(tmp_path), Wanted(), store=store)
    assert done.remarks == (FINAL_COUNTS.format("14 trials"),)
    imported = one((done,))
    best = study.best_trial
    assert imported.incumbent is not None
    assert imported.incumbent.trial_id == best.number
    assert imported.incumbent.value == best.value
    assert values_of(imported) == [trial.value for trial in study.trials]
    mirror = optuna.load_study(study_name="tos", storage=store)
    assert mirror.best_trial.number == best.number
    assert [trial.value for trial in mirror.trials] == [trial.value for trial in study.trials]
    assert [trial.state for trial in mirror.trials] == [trial.state for trial in study.trials]
    rates = [
        start.config["learning_rate"]
        for start in recall(make_job(tmp_path), SPACE, store=store).starts
    ]
    assert min(abs(math.log(rate / best.params["learning_rate"])) for rate in rates) < 0.9


def values_of(study: Study) -> list[float | None]:
    """What each trial is worth."""
    found = [study.best_of(trial) for trial in study.trials]
    return [None if best is None else best.value for best in found]


def curve_of(study: Study, trial_id: int) -> dict[int, float]:
    return {item.fidelity: item.metrics["value"] for item in study.trials[trial_id].measurements}


def test_what_was_returned_is_worth_as_much_at_the_full_fidelity(
    tmp_path: Path, store: str
) -> None:
    study = theirs(tmp_path)
    for value, steps in (
        (0.4, {0: 0.1, 1: 0.2, 2: 0.5, 3: 0.4}),
        (0.3, {0: 0.3, 1: 0.2}),  # it ended by itself, and returned its best
        (0.2, {}),
        (math.inf, {0: 0.8, 1: 0.9, 2: 0.9, 3: math.inf}),
    ):
        add(study, {"lr": 1e-4}, {"lr": LR}, value=value, intermediate_values=steps)
    (done,) = import_past(source(tmp_path), Wanted(), store=store)
    assert done.remarks == (FINAL_COUNTS.format("1 trial"),)
    found = one((done,))
    assert curve_of(found, 0) == {1: 0.1, 2: 0.2, 4: 0.4}
    assert curve_of(found, 1) == {1: 0.3, 2: 0.2, 4: 0.3}
    assert curve_of(found, 2) == {4: 0.2}
    assert found.trials[3].status is TrialStatus.FAILED
    assert found.trials[3].reason == "value is inf"
    assert values_of(found) == [0.4, 0.3, 0.2, None]


def test_no_pruned_trial_is_better_than_the_best_that_returned(tmp_path: Path, store: str) -> None:
    study = theirs(tmp_path)
    add(study, {"lora": False}, {"lora": LORA}, value=0.6, intermediate_values={0: 0.9, 1: 0.6})
    for steps in ({0: 0.6}, {0: 0.5, 1: 0.7}, {0: math.nan, 1: 0.8}, {0: 0.5, 1: 0.4}):
        params = {"lora": True, "rank": 8}
        pruned = {"state": TrialState.PRUNED, "value": [*steps.values()][-1]}
        distributions = {"lora": LORA, "rank": RANK}
        add(study, params, distributions, intermediate_values=steps, **pruned)
    (done,) = import_past(source(tmp_path), Wanted(), store=store)
    assert done.remarks == (
        "values of 3 trials left out: stopped, and no worse than the best completed one",
        FINAL_COUNTS.format("2 trials"),
    )
    found = one((done,))
    assert found.incumbent is not None
    assert found.incumbent.trial_id == study.best_trial.number
    assert values_of(found) == [0.6, None, 0.5, None, 0.4]
    assert [trial.status for trial in found.trials[1:]] == [TrialStatus.STOPPED] * 4
    assert found.spec.space["rank"].when == {"lora": (True,)}


def test_where_all_were_pruned_they_count_with_their_last_value(tmp_path: Path, store: str) -> None:
    study = theirs(tmp_path, direction="minimize")
    for steps in ({0: 0.6, 1: 0.8}, {0: 0.7, 1: 0.5}, {0: 0.1, 1: math.nan}):
        fields = {"state": TrialState.PRUNED, "intermediate_values": steps}
        add(study, {"lr": 1e-4}, {"lr": LR}, **fields)
    found = one(import_past(source(tmp_path), Wanted(), store=store))
    assert values_of(found) == [0.8, 0.5, None]


def test_pruned_trials_do_not_say_of_which_kind_intermediate_values_are(
    tmp_path: Path, store: str
) -> None:
    study = theirs(tmp_path)
    for _ in range(9):  # by Optuna, the last intermediate value is a pruned trial's own
        fields = {"state": TrialState.PRUNED, "value": 7.0, "intermediate_values": {1: 7.0}}
        add(study, {"lr": 1e-4}, {"lr": LR}, **fields)
    add(study, {"lr": 1e-4}, {"lr": LR}, value=0.6, intermediate_values={1: 7.0, 2: 5.0})
    (done,) = import_past(source(tmp_path), Wanted(), store=store)
    assert "they are not of the objective's kind" in done.remarks[0]
    assert values_of(one((done,))) == [None] * 9 + [0.6]


def test_an_earlier_import_may_have_other_values(tmp_path: Path, store: str) -> None:
    for folder, value in (("before", 0.4), ("now", 0.5)):
        (tmp_path / folder).mkdir()
        add(theirs(tmp_path / folder), {"lr": 1e-4}, {"lr": LR}, value=value)
    one(import_past(source(tmp_path / "before"), Wanted(), store=store))
    (refused,) = import_past(source(tmp_path / "now"), Wanted(), store=store)
    assert "of that name, with other values: " in str(refused.reason)


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_the_last_report_of_ray_tune_counts(tmp_path: Path, store: str, goal: Goal) -> None:
    curves = [crossing(number / 10, SIGNS[goal])[: 3 + number % 3] for number in range(10)]
    for number, curve in enumerate(curves):
        write_trial(tmp_path / "tos", number, {"lr": 1e-4 * (number + 1)}, curve)
    wanted = Wanted(metric="f1", goal=goal)
    (done,) = import_past(str(tmp_path / "tos"), wanted, store=store)
    assert done.remarks == (FINAL_COUNTS.format("4 trials"),)
    found = one((done,))
    ends = [curve[-1] for curve in curves]
    assert values_of(found) == ends
    assert found.incumbent is not None
    assert found.incumbent.value == (max if goal == "maximize" else min)(ends)


def test_a_trial_of_ray_tune_may_have_begun_anew_or_ended_in_nan(
    tmp_path: Path, store: str
) -> None:
    experiment = tmp_path / "tos"
    write_trial(experiment, 0, {"lr": 0.1}, [0.1, 0.2, 0.9])
    write_trial(experiment, 1, {"lr": 0.2}, [0.3, 0.5, 0.4])
    write_trial(experiment, 2, {"lr": 0.3}, [0.8, math.nan])
    write_trial(experiment, 3, {"lr": 0.4}, [0.8])
    append(experiment, 0, {"f1": 0.1, "training_iteration": 1})
    append(experiment, 0, {"f1": 0.3, "training_iteration": 2})
    append(experiment, 1, {"training_iteration": 4})  # it reported another metric
    append(experiment, 3, {"f1": "null", "training_iteration": 2})  # a NaN of numpy's float32
    wanted = Wanted(metric="f1", goal="maximize")
    found = one(import_past(str(experiment), wanted, store=store))
    assert values_of(found) == [0.3, 0.4, None, None]
    assert [trial.reason for trial in found.trials[2:]] == ["f1 is nan", "f1 is nan"]


def append(experiment: Path, number: int, row: dict) -> None:
    with (experiment / f"train_{number:05d}_x" / "result.json").open("a") as file:
        file.write(f"{json.dumps(row)}\n")


def test_nested_metrics_of_ray_tune_have_its_names(tmp_path: Path, store: str) -> None:
    experiment = tmp_path / "tos"
    for number in range(4):
        write_trial(experiment, number, {"opt": {"lr": 0.1 * (number + 1)}}, [])
        row = {"eval": {"acc": number / 10, "by_class": {"a": 0.5}}, "config": {"lr": 0.1}}
        append(experiment, number, row)
    (silent,) = import_past(str(experiment), Wanted(), store=store)
    assert silent.reason is not None
    assert silent.reason.endswith("give --metric (eval/acc, eval/by_class/a)")
    wanted = Wanted(metric="eval/acc", goal="maximize")
    found = one(import_past(str(experiment), wanted, store=store))
    assert found.spec.metric == "eval/acc"
    assert found.spec.space.names == ("opt.lr",)
    assert found.incumbent is not None
    assert (found.incumbent.trial_id, found.incumbent.value) == (3, 0.3)


def test_without_a_number_there_is_no_metric(tmp_path: Path, store: str) -> None:
    experiment = tmp_path / "tos"
    write_trial(experiment, 0, {"lr": 0.1}, [])
    append(experiment, 0, {"f1": "high", "training_iteration": 1})
    for wanted in (Wanted(), Wanted(metric="f1", goal="maximize")):
        (done,) = import_past(str(experiment), wanted, store=store)
        assert done.reason == "it has no metric: no numbers were reported"


def test_without_a_hyperparameter_there_is_nothing_to_search(tmp_path: Path, store: str) -> None:
    add(theirs(tmp_path, "failed"), {}, {}, state=TrialState.FAIL)
    bare = theirs(tmp_path, "bare")
    add(bare, {}, {}, value=0.5)
    bare.ask()
    none = "none of its trials has a hyperparameter"
    done = import_past(source(tmp_path), Wanted(), store=store)
    reasons = [none, f"{none}; 1 trial left out: running, not ended"]
    assert [item.reason for item in done] == reasons
    wanted = Wanted(study="failed", rename={"lr": "learning_rate"})
    (renamed,) = import_past(source(tmp_path), wanted, store=store)
    assert renamed.reason == none
    for number in range(3):
        write_trial(tmp_path / "tos", number, {"out": f"run_{number}"}, [0.5])
    (named,) = import_past(str(tmp_path / "tos"), Wanted(goal="maximize", metric="f1"), store=store)
    assert named.reason == f"{none}; out left out: a text of its own in every trial"


def test_a_study_without_a_name_needs_one(tmp_path: Path, store: str) -> None:
    add(theirs(tmp_path, ""), {"lr": 1e-4}, {"lr": LR}, value=0.5)
    (refused,) = import_past(source(tmp_path), Wanted(), store=store)
    assert refused.reason == "its name is empty: give it one with --study '' --name NAME"
    done = import_past(source(tmp_path), Wanted(study="", name="tos"), store=store)
    assert one(done).spec.name == "tos"
