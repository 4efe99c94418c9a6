"""`LexmoveSearch` in a Ray Tune Tuner of one's own: real Ray, real workers."""

import math
import pickle
from pathlib import Path

import pytest
from ray import tune

from lexmove.errors import InvalidFileError, UsageError
from lexmove.ray import LexmoveSearch

SPACE = {
    "parameters": {
        "x": {"min": 0.0, "max": 1.0},
        "kind": {"values": ["plain", "fancy"], "default": "plain"},
    }
}


def search(**options: object) -> LexmoveSearch:
    return LexmoveSearch(SPACE, metric="score", mode="max", proposer="floor", **options)


def score(config: dict) -> None:
    tune.report(
        {"score": math.nan if config["x"] > 0.9 else config["offset"] - (config["x"] - 0.3) ** 2}
    )


@pytest.mark.filterwarnings("ignore")  # Ray's own, some of them of resources it leaves to the end
def test_a_tuner_runs_with_it(ray_session, tmp_path: Path) -> None:
    searcher = search()
    results = tune.Tuner(
        score,
        param_space={"offset": 1.0},
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            metric="score",
            mode="max",
            num_samples=6,
            max_concurrent_trials=2,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(storage_path=str(tmp_path), name="own", verbose=0),
    ).fit()
    assert len(results) == 6
    assert results.num_errors == 0
    configs = [(result.config["x"], result.config["kind"]) for result in results]
    assert len(set(configs)) == 6
    assert configs[0] == (0.5, "plain")
    assert results.get_best_result().metrics["score"] >= 1.0 - 0.2**2


def tuner_with(searcher: LexmoveSearch, folder: Path, **told: object) -> tune.Tuner:
    return tune.Tuner(
        score,
        param_space={"offset": 1.0},
        tune_config=tune.TuneConfig(search_alg=searcher, num_samples=2, **told),
        run_config=tune.RunConfig(storage_path=str(folder), name="own", verbose=0),
    )


@pytest.mark.filterwarnings("ignore")
def test_the_tuners_mode_is_taken_or_has_to_be_the_same(ray_session, tmp_path: Path) -> None:
    searcher = LexmoveSearch(SPACE, metric="score", proposer="floor")
    tuner_with(searcher, tmp_path, metric="score", mode="min").fit()
    assert searcher.study is not None
    assert searcher.study.spec.goal == "minimize"
    with pytest.raises(UsageError, match="is to maximize score, and the TuneConfig has mode='min'"):
        tuner_with(search(), tmp_path, metric="score", mode="min").fit()


def test_the_mode_of_another_metric_is_no_matter() -> None:
    searcher = search()
    searcher.set_search_properties("loss", "min", {"offset": 1.0})
    searcher.set_search_properties(None, None, {"offset": 1.0})
    searcher.suggest("a")
    assert searcher.study is not None
    assert searcher.study.spec.goal == "maximize"


def test_who_was_told_no_mode_says_what_it_does() -> None:
    """Without a `param_space` Tune tells a searcher nothing."""
    searcher = LexmoveSearch(SPACE, metric="score", proposer="floor")
    with pytest.warns(UserWarning, match="no mode and maximizes score: say mode='max' or"):
        searcher.suggest("a")
    assert searcher.study is not None
    assert searcher.study.spec.goal == "maximize"


def test_it_suggests_no_more_than_may_run() -> None:
    searcher = search()
    assert searcher.set_max_concurrency(2)
    assert searcher.suggest("a") == {"x": 0.5, "kind": "plain"}
    assert searcher.suggest("b") is not None
    assert searcher.suggest("c") is None
    searcher.on_trial_complete("a", {"score": 1.0})
    assert searcher.suggest("c") is not None


@pytest.mark.parametrize(
    ("result", "error"),
    [(None, False), (None, True), ({"score": math.nan}, False), ({"other": 1.0}, False)],
)
def test_a_trial_without_a_value_has_failed(result: dict | None, error: bool) -> None:
    searcher = search()
    searcher.suggest("a")
    searcher.on_trial_complete("a", result, error)
    assert searcher.study is not None
    assert [trial.status.value for trial in searcher.study.trials] == ["FAILED"]
    assert searcher.suggest("b") is not None


def test_a_last_report_of_something_else_leaves_the_value_before_it() -> None:
    searcher = search(starts=[{"x": 0.25}])
    assert searcher.suggest("a") == {"x": 0.25, "kind": "plain"}
    searcher.on_trial_result("a", {"score": 0.7})
    searcher.on_trial_complete("a", {"other": 1.0})
    assert searcher.study is not None
    assert searcher.study.incumbent is not None
    assert searcher.study.incumbent.value == 0.7


def test_what_ran_when_it_was_saved_does_not_keep_others_from_running(tmp_path: Path) -> None:
    """Tune runs it again or never; where it does, it counts once it has reported."""
    searcher = search()
    searcher.set_max_concurrency(2)
    searcher.suggest("a")
    searcher.suggest("b")
    searcher.save(str(tmp_path / "state"))
    restored = search()
    restored.restore(str(tmp_path / "state"))
    restored.on_trial_result("a", {"score": 0.2})
    assert restored.suggest("c") is not None
    assert restored.suggest("d") is None
    restored.on_trial_complete("b", {"score": 0.5})
    assert restored.study is not None
    assert restored.study.incumbent is not None
    assert restored.study.incumbent.trial_id == 1


def test_an_unknown_trial_changes_nothing() -> None:
    searcher = search()
    searcher.suggest("a")
    searcher.on_trial_complete("never seen", {"score": 1.0})
    assert searcher.study is not None
    assert searcher.study.num_events == 1


def test_a_small_space_ends() -> None:
    space = {"parameters": {"kind": {"values": ["plain", "fancy"]}}}
    searcher = LexmoveSearch(space, metric="score", mode="min", proposer="floor")
    for name in ("a", "b"):
        assert searcher.suggest(name) is not None
        searcher.on_trial_complete(name, {"score": 1.0})
    assert searcher.suggest("c") == LexmoveSearch.FINISHED


def test_save_and_restore_continue_alike(tmp_path: Path) -> None:
    searcher = search(seed=3)
    for number in range(5):
        config = searcher.suggest(str(number))
        assert config is not None
        searcher.on_trial_complete(str(number), {"score": -abs(config["x"] - 0.3)})
    searcher.suggest("still running")
    searcher.save(str(tmp_path / "state"))
    restored = search()
    restored.restore(str(tmp_path / "state"))
    for other in (searcher, restored):
        other.on_trial_complete("still running", {"score": 0.0})
    assert restored.study is not None
    assert searcher.study is not None
    assert restored.study.ranking == searcher.study.ranking
    assert [trial.status.value for trial in restored.study.trials] == ["COMPLETED"] * 6
    assert restored.suggest("next") == searcher.suggest("next")


def test_it_can_be_pickled_before_anything_was_asked() -> None:
    copy = pickle.loads(pickle.dumps(search()))
    assert copy.suggest("a") == {"x": 0.5, "kind": "plain"}


def test_mistakes_are_said_at_once() -> None:
    with pytest.raises(InvalidFileError):
        LexmoveSearch({"parameters": {"x": {"min": 1.0, "max": 0.0}}}, metric="score")
    with pytest.raises(UsageError, match="mode is 'best'"):
        LexmoveSearch(SPACE, metric="score", mode="best")


def test_names_with_slashes_are_levels_of_the_config() -> None:
    space = {
        "parameters": {
            "opt/lr": {"min": 1e-4, "max": 1e-2, "log": True},
            "opt/sgd/m": {"value": 0.9},
        }
    }
    searcher = LexmoveSearch(space, metric="score", mode="max")
    assert searcher.suggest("a") == {"opt": {"lr": pytest.approx(1e-3), "sgd": {"m": 0.9}}}
    with pytest.raises(UsageError, match="opt/lr lies below opt in a config, and opt is a value"):
        LexmoveSearch(
            {"parameters": {"opt": {"values": ["sgd", "adam"]}, **space["parameters"]}},
            metric="score",
        )


def test_what_is_searched_has_no_value_in_the_param_space() -> None:
    searcher = search()
    with pytest.raises(UsageError, match="x is searched, and has a value in the param_space"):
        searcher.set_search_properties("score", "max", {"x": 0.3, "offset": 1.0})
    nested = LexmoveSearch({"parameters": {"opt/lr": {"min": 0.0, "max": 1.0}}}, metric="score")
    with pytest.raises(UsageError, match="opt/lr is searched"):
        nested.set_search_properties("score", "max", {"opt": {"lr": 0.3}})


def test_nothing_to_search_is_an_error_and_not_the_end() -> None:
    searcher = LexmoveSearch({"parameters": {"lr": {"value": 1e-3}}}, metric="score", mode="max")
    with pytest.raises(UsageError, match="nothing to search"):
        searcher.suggest("a")
