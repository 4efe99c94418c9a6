"""Enqueued configs: how texts become values, what is refused, and that it is the study's next."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app import judged_study
from cli.studies import make_store
from lexmove.agent.baselines import make_proposer
from lexmove.app import stored
from lexmove.app.enqueueing import enqueue
from lexmove.coordinator.store import open_store
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import StudyNotFoundError, UsageError
from lexmove.study.starts import asked_for
from lexmove.study.study import Study, decision_rng

VALUES = {"learning_rate": "3e-4"}
ENQUEUE = (sys.executable, "-m", "lexmove", "enqueue", "s", "--store")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return make_store(tmp_path)


def test_it_is_the_next_start_and_a_trial_more(url: str) -> None:
    before = open_store(url).load("clauses")
    config = enqueue("clauses", VALUES, store=url).config
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
    config = enqueue("clauses", VALUES, like=1, store=url).config
    assert config == study.spec.space.config({**study.trials[1].config, "learning_rate": 3e-4})


@pytest.mark.parametrize(
    ("words", "like", "message"),
    [
        (
            {"learning_rat": "1e-4"},
            None,
            "the space has no hyperparameter 'learning_rat'; did you mean",
        ),
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
    with pytest.raises(UsageError, match=f"waits already: who runs the study tries it, or `{way}`"):
        enqueue("clauses", VALUES, store=url)


def test_who_runs_the_study_is_asked(url: str, tmp_path: Path) -> None:
    before = open_store(url).load("clauses")
    with StudyDir(tmp_path / "studies" / "clauses").locked():
        done = enqueue("clauses", VALUES, store=url)
        assert done.runner is not None
        assert done.runner.startswith(f"{os.getpid()} of ")
        with pytest.raises(UsageError, match="waits already: who runs the study tries it"):
            enqueue("clauses", VALUES, store=url)
    store = open_store(url)
    assert store.load("clauses").spec == before.spec, "it is for the other process to plan"
    assert [start.config for start in store.requests("clauses")] == [done.config]


def test_a_study_that_runs_tries_it_next_and_goes_on_for_what_came_too_late(tmp_path: Path) -> None:
    """Real trials in this process; another one enqueues after the first of them."""
    url = judged_study.url(tmp_path)
    words = ({"learning_rate": "0.002"}, {"learning_rate": "0.004"})
    refused: list[UsageError] = []

    def ask_meanwhile(phase: str, study: Study | None) -> None:
        try:
            if phase == "trials" and study is not None and study.num_events == 4:
                subprocess.run([*ENQUEUE, url, "learning_rate=0.002"], check=True)
            elif phase == "repetitions" and not refused:
                enqueue("s", words[1], store=url)
        except UsageError as error:
            refused.append(error)

    found = judged_study.run_study(tmp_path, ask_meanwhile)
    study = found.study
    assert study.trials[1].config["learning_rate"] == 0.002
    assert study.trials[1].decision.expert == "start:asked"
    assert (len(study.trials), found.state) == (study.spec.num_trials, "finished")
    (why,) = refused
    assert "is repeating its best configs, and does not search any more" in str(why)
    # Enqueued while the driver read the store for the last time.
    late = asked_for(study.spec.space.config({"learning_rate": 0.004}), by="you")
    open_store(url).request("s", late)
    states = {read("s", store=url).state for read in (stored.load, stored.look)}
    assert states == {"interrupted"}
    found = judged_study.resume(tmp_path)
    assert found.study.trials[-1].config == late.config
    assert (len(found.study.trials), found.state) == (len(study.trials) + 1, "finished")


def test_an_unknown_study_is_said(url: str) -> None:
    with pytest.raises(StudyNotFoundError, match="no study 'clause'"):
        enqueue("clause", VALUES, store=url)
