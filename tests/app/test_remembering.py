"""What a new study takes from its store: which past studies, with what weight, in which words."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import ray
from ruamel.yaml import YAML

from app.test_running import SPACE, make_job
from architecture.readme_tree import ROOT
from cli.studies import make_store
from lexmove.agent.continuation import MAX_RECALLED_PILOTS
from lexmove.agent.floor import FloorProposer
from lexmove.agent.memory import PastStudy
from lexmove.app import running
from lexmove.app.planning import plan_job
from lexmove.app.preparing import study_spec
from lexmove.app.remembering import Memory, as_repeated, recall, weight_of
from lexmove.app.stored import repetitions_of
from lexmove.coordinator.store import open_store
from lexmove.job.spec import JobSpec
from lexmove.results.summary import repeated_arms
from lexmove.space.domain import Float
from lexmove.space.loading import load_space
from lexmove.space.prior import NormalPrior
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.study.study import Study, decision_rng

OTHER_SPACE = SearchSpace(
    hyperparameters=(Hyperparameter(name="temperature", domain=Float(low=0.0, high=1.0)),)
)


def past_study(job: JobSpec, space: SearchSpace = SPACE, *, num_trials: int = 8) -> Study:
    """A study of the job, searched to its end: the higher the place, the better."""
    spec = study_spec(job, space)
    places = np.linspace(0, 1, num_trials)
    rows = [(space.from_unit(np.array([place])), float(place)) for place in places]
    past = PastStudy.from_results(spec.name, space, rows, metric=spec.metric)
    return Study.from_events(replace(spec, num_trials=num_trials), past.study.events)


def write_past(folder: Path, *studies: Study) -> str:
    """The URL of a store that holds the studies."""
    url = f"sqlite:///{folder}/studies.db"
    store = open_store(url)
    for study in studies:
        store.create(study.spec)
        for event in study.events:
            store.append(study.spec.name, event)
    return url


def test_past_studies_of_the_store_give_the_first_trials(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    url = write_past(tmp_path, past_study(make_job(tmp_path, name="tos")))
    memory = recall(job, SPACE, store=url)
    assert memory.sources == ("tos",)
    assert memory.left_out == ()
    assert memory.starts[0].reason == "best of tos (trial 7: f1_macro 1)"
    assert memory.lines[0].endswith(" from 1 past study: tos")
    assert memory.lines[1].startswith("memory: 8 results of 1 past study count beside this study's")
    plan = plan_job(job.model_copy(update={"store": url}), SPACE, offline=True)
    assert plan.memory == memory
    assert plan.num_pilots == MAX_RECALLED_PILOTS
    first = plan.suggestions[0].decision
    assert first.expert == "start:memory"
    assert first.text.startswith("best of tos (trial 7: f1_macro 1): ")


def test_a_job_may_do_without(tmp_path: Path) -> None:
    url = write_past(tmp_path, past_study(make_job(tmp_path, name="tos")))
    for agent in ({"memory": False}, {"proposer": "random"}):
        memory = recall(make_job(tmp_path, agent=agent), SPACE, store=url)
        assert memory == Memory()
        assert memory.lines == ()


def values(study: Study) -> dict[int, float]:
    return {item.trial_id: item.value for item in study.ranking}


def test_what_was_repeated_counts_with_its_mean(tmp_path: Path) -> None:
    store = open_store(make_store(tmp_path))
    study = store.load("clauses")
    repetitions = repetitions_of(store, study)
    found = as_repeated(study, repetitions)
    means = {arm.name: arm.validation.mean for arm in repeated_arms(repetitions) if arm.validation}
    assert values(study)[2] > means["trial 2"]
    # The default was repeated too, for longer than its own trial was trained. It falls with all
    # else that has kept its luck, so that none of them passes the winner.
    luck = values(study)[2] - means["trial 2"]
    fallen = {trial_id: value - luck for trial_id, value in values(study).items()}
    assert values(found) == pytest.approx({**fallen, 2: means["trial 2"]})
    assert found.incumbent is not None
    assert found.incumbent.trial_id == 2
    assert as_repeated(study, None) is study


def test_who_has_priors_of_their_own_gets_no_table_for_anybody(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    space = load_space(ROOT / "search_spaces" / "encoder_small.yaml")
    assert recall(job, space, store=f"sqlite:///{tmp_path}/studies.db").is_shipped
    first, *rest = space.hyperparameters
    believed = replace(first, prior=NormalPrior(mean=0.5, std=0.1))
    steered = replace(space, hyperparameters=(believed, *rest))
    assert recall(job, steered, store=f"sqlite:///{tmp_path}/studies.db").starts == ()
    tos = make_job(tmp_path, name="tos")
    rng = np.random.default_rng(0)
    rows = [(steered.sample(rng), float(place)) for place in range(8)]
    past = PastStudy.from_results("tos", steered, rows, metric=tos.metric.name).study
    told = Study.from_events(replace(study_spec(tos, steered), num_trials=8), past.events)
    assert recall(job, steered, store=write_past(tmp_path, told)).sources == ("tos",)


def test_without_a_store_there_is_nothing_to_remember_and_none_is_made(tmp_path: Path) -> None:
    memory = recall(make_job(tmp_path), SPACE, store=f"sqlite:///{tmp_path}/studies.db")
    assert memory.left_out == ()
    assert not list(tmp_path.iterdir())


def test_unfit_studies_are_left_out_and_said_so(tmp_path: Path) -> None:
    def named(name: str) -> JobSpec:
        return make_job(tmp_path, name=name)

    begun = past_study(named("begun"))
    url = write_past(
        tmp_path,
        past_study(named("short"), num_trials=5),
        past_study(named("other"), OTHER_SPACE),
        begun.prefix(begun.num_events - 1),
        past_study(named("damaged")),
        past_study(named("good")),
    )
    _damage(tmp_path / "studies.db", "damaged")
    memory = recall(make_job(tmp_path), SPACE, store=url)
    assert memory.sources == ("good",)
    damaged, begun_too, other, short = memory.left_out
    assert "study 'damaged' cannot be read" in damaged
    assert begun_too == "study 'begun': it has not ended"
    assert other == "study 'other': 0 of 1 hyperparameters in common, 1 is needed"
    assert short == "study 'short': 5 measured trials, 8 are needed"
    assert memory.lines[2] == f"not used: {damaged}"


def test_the_best_of_a_study_that_shares_too_little_can_be_tried_first(tmp_path: Path) -> None:
    mine = SPACE.hyperparameters[0]
    others = tuple(
        Hyperparameter(name=name, domain=Float(low=0.0, high=1.0)) for name in ("one", "two")
    )
    space = SearchSpace(hyperparameters=(mine, *others))
    past = past_study(make_job(tmp_path, name="tos"))
    (told,) = recall(make_job(tmp_path), space, store=write_past(tmp_path, past)).left_out
    words, _, pasted = told.partition("; its best can be tried first: ")
    assert words == "study 'tos': 1 of 3 hyperparameters in common, 2 are needed"
    job = make_job(tmp_path, **YAML(typ="safe", pure=True).load(pasted))
    (start,) = study_spec(job, space).starts
    assert past.incumbent is not None
    best = past.trials[past.incumbent.trial_id].config["learning_rate"]
    assert start.config["learning_rate"] == pytest.approx(best, rel=1e-2)


def _damage(path: Path, name: str) -> None:
    """Cuts the spec of a study short, as a bad disk might."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "UPDATE study_user_attributes SET value_json = '\"{\"' WHERE key = 'lexmove_spec' AND "
            "study_id = (SELECT study_id FROM studies WHERE study_name = ?)",
            (name,),
        )
        connection.commit()


def test_a_store_that_is_none_does_not_stop_a_plan(tmp_path: Path) -> None:
    (tmp_path / "studies.db").write_text("no database at all, but something else entirely")
    memory = recall(make_job(tmp_path), SPACE, store=f"sqlite:///{tmp_path}/studies.db")
    assert memory.sources in ((), ("encoder_small",)), "at most the table that comes with lexmove"
    assert memory.left_out[0].startswith("past studies: cannot read ")


def test_what_is_most_alike_weighs_most(tmp_path: Path) -> None:
    job = make_job(tmp_path)

    def weight(**fields: object) -> float:
        return weight_of(past_study(make_job(tmp_path, **{"name": "past", **fields})), job)

    other_task = {"task": {"name": "license_mc"}}
    other_model = {"model": {"name": "bert-base-uncased"}}
    weights = [weight(), weight(**other_task), weight(**other_model)]
    assert weights[0] == 1.0
    assert weights == sorted(weights, reverse=True)
    assert weight(**other_task, **other_model) < weights[-1]
    no_job = past_study(make_job(tmp_path))
    assert 0 < weight_of(replace(no_job, spec=replace(no_job.spec, job="")), job) < 1


def test_the_starts_are_part_of_the_new_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ray, "init", refuse)
    url = write_past(tmp_path, past_study(make_job(tmp_path, name="tos")))
    job = make_job(tmp_path)
    told: list[str] = []
    with pytest.raises(KeyboardInterrupt):  # the study is made, and no trial of it
        running.tune(
            job,
            SPACE,
            store=url,
            address="10.0.0.1:6379",
            progress=lambda phase, study: told.append(phase),
        )
    memory = recall(job, SPACE, store=url)
    study = open_store(url).load("s")
    assert study.spec.starts == memory.starts != ()
    assert study.spec.past == memory.past != ()
    assert set(memory.lines) < set(told)
    first = FloorProposer().propose(study, decision_rng(study))
    assert first is not None
    assert first.config == memory.starts[0].config


def test_of_many_that_are_left_out_only_the_first_are_told() -> None:
    memory = Memory(left_out=tuple(f"study '{index}': it has not ended" for index in range(9)))
    assert len(memory.lines) == 6
    assert memory.lines[-1] == "not used: 4 more past studies"
