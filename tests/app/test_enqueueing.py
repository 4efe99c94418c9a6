"""Enqueued configs: how texts become values, what is refused, and that it is the study's next."""

from pathlib import Path

import pytest

from cli.studies import make_store
from lexmove.agent.baselines import make_proposer
from lexmove.app.enqueueing import enqueue
from lexmove.coordinator.store import open_store
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import StudyNotFoundError, UsageError
from lexmove.study.study import decision_rng

VALUES = {"learning_rate": "3e-4"}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return make_store(tmp_path)


def test_it_is_the_next_start_and_a_trial_more(url: str) -> None:
    before = open_store(url).load("clauses")
    config = enqueue("clauses", VALUES, store=url)
    assert config == before.spec.space.config({"learning_rate": 3e-4})
    study = open_store(url).load("clauses")
    assert study.spec.num_trials == before.spec.num_trials + 1
    (start,) = [start for start in study.spec.starts if start.is_asked]
    assert (start.config, start.after) == (config, len(study.trials))
    suggestions = [
        make_proposer(name).propose(study, decision_rng(study)) for name in ("floor", "random")
    ]
    started = [item for item in suggestions if item is not None and item.trial_id is None]
    assert all(item.config == config for item in started)


def test_the_rest_may_be_that_of_a_trial(url: str) -> None:
    study = open_store(url).load("clauses")
    config = enqueue("clauses", VALUES, like=1, store=url)
    assert config == study.spec.space.config({**study.trials[1].config, "learning_rate": 3e-4})


@pytest.mark.parametrize(
    ("words", "like", "message"),
    [
        ({"learning_rat": "1e-4"}, None, "unknown hyperparameter 'learning_rat'; did you mean"),
        ({"learning_rate": "7"}, None, "learning_rate = 7 is not possible: it is a number in"),
        ({"learning_rate": "fast"}, None, "learning_rate = fast is not possible"),
        ({"learning_rate": "NaN"}, None, "learning_rate = NaN is not possible"),
        (VALUES, 99, "study 'clauses' has no trial 99; its trials: 0 to"),
    ],
)
def test_what_cannot_be_tried_is_refused(
    url: str, words: dict[str, str], like: int | None, message: str
) -> None:
    before = open_store(url).load("clauses").spec
    with pytest.raises(UsageError, match=message):
        enqueue("clauses", words, like=like, store=url)
    assert open_store(url).load("clauses").spec == before


def test_what_was_tried_or_waits_is_refused_with_its_place(url: str) -> None:
    with pytest.raises(UsageError, match="trial 0 of study 'clauses' tried just this config"):
        enqueue("clauses", {}, store=url)
    enqueue("clauses", VALUES, store=url)
    way = f"lexmove resume clauses --store {url}"
    with pytest.raises(UsageError, match=f"waits already: `{way}` tries it"):
        enqueue("clauses", VALUES, store=url)


def test_a_study_that_is_being_run_is_left_alone(url: str, tmp_path: Path) -> None:
    with (
        StudyDir(tmp_path / "studies" / "clauses").locked(),
        pytest.raises(UsageError, match="is being run by process"),
    ):
        enqueue("clauses", VALUES, store=url)


def test_an_unknown_study_is_said(url: str) -> None:
    with pytest.raises(StudyNotFoundError, match="no study 'clause'"):
        enqueue("clause", VALUES, store=url)
