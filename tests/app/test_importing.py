"""Studies of Optuna and Ray Tune as past studies: whole, once, and used by the next job."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from app.test_running import SPACE, make_job
from lexmove.agent.floor import FloorProposer
from lexmove.app.past.conditions import conditions_of
from lexmove.app.past.domains import seen_domain
from lexmove.app.past.importing import Imported, Wanted, import_past
from lexmove.app.preparing import study_spec
from lexmove.app.remembering import recall
from lexmove.coordinator.store import open_store
from lexmove.errors import InvalidConfigError, StudyNotFoundError, UsageError
from lexmove.space.domain import Categorical, Constant, Float, Integer, Ordinal
from lexmove.study.study import Study, decision_rng
from lexmove.study.trial import TrialStatus

LR = FloatDistribution(1e-5, 1e-2, log=True)
LORA = CategoricalDistribution((False, True))
RANK = IntDistribution(4, 64, log=True)


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ours.db"


def theirs(folder: Path, name: str = "tos", **options: object) -> optuna.Study:
    options.setdefault("direction", "maximize")
    return optuna.create_study(study_name=name, storage=f"sqlite:///{folder}/theirs.db", **options)


def source(folder: Path) -> str:
    return f"sqlite:///{folder}/theirs.db"


def add(study: optuna.Study, params: dict, distributions: dict, **fields: object) -> None:
    study.add_trial(create_trial(params=params, distributions=distributions, **fields))


def searched(study: optuna.Study, num_trials: int = 9, *, name: str = "lr") -> None:
    """Trials that are the better the higher the learning rate."""
    for place in range(num_trials):
        value = 10 ** (-5 + 3 * place / (num_trials - 1))
        add(study, {name: min(value, 1e-2)}, {name: LR}, value=float(place))


def one(done: tuple[Imported, ...]) -> Study:
    (item,) = done
    assert item.study is not None, item.reason
    return item.study


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_new_job_begins_with_what_an_imported_study_found(
    tmp_path: Path, store: str, direction: str
) -> None:
    study = theirs(tmp_path, direction=direction)
    searched(study)
    wanted = Wanted(rename={"lr": "learning_rate"}, metric="f1_macro")
    imported = one(import_past(source(tmp_path), wanted, store=store))
    assert imported.incumbent is not None
    assert imported.incumbent.value == study.best_value
    job = make_job(tmp_path)
    memory = recall(job, SPACE, store=store)
    assert memory.left_out == ()
    assert memory.sources == ("tos",)
    best = study.best_params["lr"]
    assert min(abs(math.log(start.config["learning_rate"] / best)) for start in memory.starts) < 0.9
    new = Study(spec=study_spec(job, SPACE, starts=memory.starts))
    suggestion = FloorProposer().propose(new, decision_rng(new))
    assert suggestion is not None
    assert suggestion.config == memory.starts[0].config


def test_every_kind_of_trial_and_hyperparameter(tmp_path: Path, store: str) -> None:
    study = theirs(tmp_path)
    lr = {"lr": LR, "lora": LORA, "seed": IntDistribution(0, 0), "mixed": MIXED, "size": SIZE}
    some = {"lr": 1e-4, "seed": 0, "mixed": None, "size": 16}
    low_rank = {**lr, "rank": RANK}
    steps = {"intermediate_values": {0: 0.3, 1: 0.5}}
    add(study, some | {"lora": False}, lr, value=0.5, **steps)
    add(study, some | {"lora": True, "rank": 8}, low_rank, value=0.6)
    add(study, some | {"lora": True, "rank": 4}, low_rank, state=TrialState.PRUNED, **steps)
    add(study, some | {"lora": False}, lr, state=TrialState.FAIL)
    add(study, {"lr": 1e-3}, {"lr": LR}, state=TrialState.FAIL)
    add(study, some | {"lora": False}, lr, value=math.inf)
    study.ask()
    (done,) = import_past(source(tmp_path), Wanted(), store=store)
    assert done.remarks == (
        "1 trial left out: running, not ended",
        "1 trial left out: they ended before they had a whole config",
    )
    found = one((done,))
    assert [trial.status for trial in found.trials] == [
        TrialStatus.COMPLETED,
        TrialStatus.COMPLETED,
        TrialStatus.STOPPED,
        TrialStatus.FAILED,
        TrialStatus.FAILED,
    ]
    assert [item.fidelity for item in found.trials[0].measurements] == [1, 2]
    assert [item.fidelity for item in found.trials[1].measurements] == [2]
    assert found.trials[4].reason == "value is inf"
    space = found.spec.space
    assert space["lr"].domain == Float(low=1e-5, high=1e-2, log=True)
    assert space["rank"].domain == Integer(low=4, high=64, log=True)
    assert space["rank"].when == {"lora": (True,)}
    assert space["lora"].domain == Categorical(values=(False, True))
    assert space["seed"].domain == Constant(value=0)
    assert space["mixed"].domain == Categorical(values=("null", "auto"))
    assert space["size"].domain == Ordinal(values=(8, 16, 32))
    assert found.trials[1].decision.text == "trial 1 of Optuna study 'tos'"
    assert open_store(store).load("tos").trials == found.trials


MIXED = CategoricalDistribution((None, "auto"))
SIZE = CategoricalDistribution((32, 16, 8))


def test_intermediate_values_of_another_kind_do_not_count(tmp_path: Path, store: str) -> None:
    study = theirs(tmp_path)
    for value in (0.5, 0.6):
        add(study, {"lr": 1e-4}, {"lr": LR}, value=value, intermediate_values={1: 7.0, 2: 5.0})
    (done,) = import_past(source(tmp_path), Wanted(), store=store)
    assert "they are not of the objective's kind" in done.remarks[0]
    found = one((done,))
    assert found.incumbent is not None
    assert found.incumbent.value == 0.6


def test_it_comes_once_and_only_under_a_name_that_is_free(tmp_path: Path, store: str) -> None:
    study = theirs(tmp_path)
    searched(study)
    first = import_past(source(tmp_path), Wanted(), store=store)
    again = import_past(source(tmp_path), Wanted(), store=store)
    assert [item.is_new for item in (*first, *again)] == [True, False]
    assert one(again) == one(first)
    searched(study, 3)
    (grown,) = import_past(source(tmp_path), Wanted(), store=store)
    assert grown.reason is not None
    assert "an earlier import of that name, with other trials (9, now 12)" in grown.reason
    more = one(import_past(source(tmp_path), Wanted(study="tos", name="tos-2"), store=store))
    assert len(more.trials) == 12
    assert open_store(store).names() == ("tos", "tos-2")
    (same,) = import_past(source(tmp_path), Wanted(), store=source(tmp_path))
    assert same.reason is not None
    assert "that lexmove did not write" in same.reason


def test_an_import_that_was_cut_short_is_gone_on_with(tmp_path: Path, store: str) -> None:
    searched(theirs(tmp_path))
    whole = one(import_past(source(tmp_path), Wanted(), store=f"sqlite:///{tmp_path}/whole.db"))
    begun = open_store(store)
    begun.create(whole.spec)
    begun.append("tos", *whole.events[:4])
    (done,) = import_past(source(tmp_path), Wanted(), store=store)
    assert done.is_new
    assert open_store(store).load("tos").events == whole.events


def test_what_cannot_be_understood_is_refused_with_its_reason(tmp_path: Path, store: str) -> None:
    optuna.create_study(
        study_name="two", storage=source(tmp_path), directions=["maximize", "minimize"]
    )
    theirs(tmp_path, "empty")
    riddle = theirs(tmp_path, "riddle")
    for value in range(4):
        params = {"lr": 1e-4} | ({"rank": 8} if value % 2 else {})
        add(riddle, params, {"lr": LR} | ({"rank": RANK} if value % 2 else {}), value=value)
    searched(theirs(tmp_path, "good"))
    done = import_past(source(tmp_path), Wanted(), store=store)
    reasons = [item.reason for item in done]
    assert reasons == [
        "it has 2 objectives; a study of lexmove has one",
        "none of its trials has ended",
        "hyperparameter 'rank' is missing in 2 of 4 trials, and no other one says when",
        None,
    ]
    assert open_store(store).names() == ("good",)
    (other,) = import_past(store, Wanted(study="good"), store=store)
    assert other.reason is not None
    assert "lexmove wrote it" in other.reason


@pytest.mark.parametrize(
    ("wanted", "error", "words"),
    [
        (Wanted(study="tod"), StudyNotFoundError, "did you mean 'tos'"),
        (Wanted(name="x"), UsageError, "add --study NAME"),
        (Wanted(study="tos", name=""), UsageError, "--name is empty: give a name, or leave"),
        (Wanted(study="tos", name=" "), UsageError, "--name is empty"),
        (Wanted(metric=""), UsageError, "--metric is empty"),
    ],
)
def test_what_is_not_there_is_an_error(
    wanted: Wanted, error: type[Exception], words: str, tmp_path: Path, store: str
) -> None:
    for name in ("tos", "nda"):
        searched(theirs(tmp_path, name))
    with pytest.raises(error, match=words):
        import_past(source(tmp_path), wanted, store=store)
    assert not (tmp_path / "ours.db").exists()


def test_names_that_are_none_are_refused(tmp_path: Path, store: str) -> None:
    searched(theirs(tmp_path))
    (done,) = import_past(source(tmp_path), Wanted(rename={"rl": "learning_rate"}), store=store)
    assert done.reason is not None
    assert "has no hyperparameter 'rl'; known: lr" in done.reason


def write_trial(folder: Path, number: int, params: dict, scores: list[float], **more: object):
    trial = folder / f"train_{number:05d}_x"
    trial.mkdir(parents=True)
    (trial / "params.json").write_text(json.dumps(params))
    rows = [
        {"f1": score, "training_iteration": step, "timestamp": 1_700_000_000 + 10 * number + step}
        | {"time_this_iter_s": 1.0, "trial_id": f"t_{number}", "done": False, "config": params}
        for step, score in enumerate(scores, start=1)
    ]
    (trial / "result.json").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for name, text in more.items():
        (trial / f"{name}.txt").write_text(str(text))


def ray_experiment(folder: Path) -> Path:
    """Ten trials, of which the fifth failed and the last is running; three stopped early."""
    experiment = folder / "results" / "tos"
    for number in range(10):
        params = {
            "opt": {"lr": 10 ** (-5 + number / 3)},
            "batch": [8, 16][number % 2],
            "out": f"run_{number}",
            "layers": [4, 4],
        }
        scores = [number / 10] if number < 3 else [number / 10, number / 10 + 0.05]
        # The file of an error stays where the trial was tried again and succeeded.
        failed = {"error": "Traceback\nValueError: bad"} if number in (4, 6) else {}
        write_trial(experiment, number, params, scores, **failed)
    trials = [
        {"status": status, "relative_logdir": f"train_{number:05}_x"}
        for number, status in ((6, "TERMINATED"), (9, "RUNNING"))
    ]
    state = {
        "trial_data": [[json.dumps(trial), "{}"] for trial in trials],
        "runner_data": {"_metric": "f1"},
    }
    (experiment / "experiment_state-2026.json").write_text(json.dumps(state))
    return experiment


def test_results_of_ray_tune(tmp_path: Path, store: str) -> None:
    ray_experiment(tmp_path)
    folder = str(tmp_path / "results")
    (silent,) = import_past(folder, Wanted(), store=store)
    assert silent.reason == (
        "it does not say which way is better: give --goal maximize or minimize"
    )
    (other,) = import_past(folder, Wanted(metric="f2", goal="maximize"), store=store)
    assert other.reason == "it has no metric 'f2'; known: f1"
    wanted = Wanted(goal="maximize", rename={"opt.lr": "learning_rate"})
    (done,) = import_past(folder, wanted, store=store)
    assert done.remarks == (
        "1 trial left out: not ended",
        "out left out: a text of its own in every trial",
    )
    found = one((done,))
    statuses = [trial.status.value for trial in found.trials]
    assert statuses == ["STOPPED"] * 3 + ["COMPLETED", "FAILED"] + ["COMPLETED"] * 4
    assert found.trials[4].reason == "ValueError: bad"
    assert found.trials[0].reason == "ended after 1 of 2 iterations"
    space = found.spec.space
    rate = space["learning_rate"].domain
    assert isinstance(rate, Float)
    assert rate.log
    assert space["batch"].domain == Ordinal(values=(8, 16))
    assert space["layers"].domain == Constant(value="[4, 4]")
    assert found.incumbent is not None
    assert (found.incumbent.trial_id, found.incumbent.value) == (8, pytest.approx(0.85))
    assert recall(make_job(tmp_path), SPACE, store=store).sources == ("tos",)
    (again,) = import_past(folder, wanted, store=store)
    assert not again.is_new


def test_a_folder_without_results_is_refused(tmp_path: Path, store: str) -> None:
    with pytest.raises(UsageError, match="holds no results of Ray Tune"):
        import_past(str(tmp_path), Wanted(), store=store)
    with pytest.raises(UsageError, match="is not there"):
        import_past(str(tmp_path / "no.db"), Wanted(), store=store)


def test_what_ray_tune_writes_itself_can_be_imported(tmp_path: Path, store: str) -> None:
    from ray.tune.experiment import Trial
    from ray.tune.logger import JsonLoggerCallback

    experiment = tmp_path / "exp"
    for number in range(3):
        folder = experiment / f"f_{number}"
        folder.mkdir(parents=True)
        trial = Trial("f", config={"lr": 0.1 * (number + 1)}, stub=True)
        trial.__dict__["storage"] = SimpleNamespace(
            trial_driver_staging_path=str(folder), experiment_driver_staging_path=str(experiment)
        )
        logger = JsonLoggerCallback()
        logger.log_trial_start(trial)
        logger.log_trial_result(1, trial, {"f1": 0.1 * number, "training_iteration": 1})
        logger.log_trial_end(trial)
    found = one(import_past(str(experiment), Wanted(metric="f1", goal="minimize"), store=store))
    assert found.incumbent is not None
    assert found.incumbent.trial_id == 0
    assert len(found.trials) == 3


@pytest.mark.parametrize(
    ("values", "domain"),
    [
        ([1, 2, 3, 4, 5], Integer(low=1, high=5)),
        ([1, 10, 100, 1000, 10000], Integer(low=1, high=10000, log=True)),
        ([0.1, 0.5, 0.9], Float(low=0.1, high=0.9)),
        ([8, 16, 8, 16, 32, 32], Ordinal(values=(8, 16, 32))),
        (["a", "b", "a"], Categorical(values=("a", "b"))),
        ([True, False], Categorical(values=(True, False))),
        ([3, 3], Constant(value=3)),
    ],
)
def test_domains_are_judged_by_their_values(values: list, domain: object) -> None:
    assert seen_domain(values) == domain


def test_conditions_are_found_behind_configs() -> None:
    domains = {
        "kind": Categorical(values=("a", "b", "c")),
        "layers": Integer(low=1, high=3),
        "second": Float(low=0.0, high=1.0),
        "both": Float(low=0.0, high=1.0),
    }
    configs = [
        {"kind": kind, "layers": layers}
        | ({"second": 0.5} if layers > 1 else {})
        | ({"both": 0.5} if layers > 1 and kind == "b" else {})
        for kind in ("a", "b", "c")
        for layers in (1, 2, 3)
    ]
    assert conditions_of(configs, domains) == {
        "second": {"layers": (2, 3)},
        "both": {"kind": ("b",), "layers": (2, 3)},
    }
    with pytest.raises(InvalidConfigError, match="'second' is missing in 4 of 10 trials"):
        conditions_of([*configs, {"kind": "a", "layers": 3}], domains)
