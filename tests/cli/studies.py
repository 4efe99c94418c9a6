"""A study made by hand, with every kind of ending, in a store of its own."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from lexmove.app.stored import repetitions_key
from lexmove.coordinator.repetitions import RepeatedConfig, RepetitionProposer
from lexmove.coordinator.store import open_store
from lexmove.job.loading import job_to_json
from lexmove.job.spec import JobSpec
from lexmove.results.judgement import Calibration, Difference, Ensemble, Judgement, Winner
from lexmove.results.summary import DEFAULT_ARM, arm_name
from lexmove.space.domain import Float
from lexmove.space.move import Move, describe
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.protocols import TrialStore
from lexmove.study.study import Study, StudySpec, decision_rng
from lexmove.study.trial import (
    Continued,
    Decision,
    Ended,
    Measured,
    Measurement,
    RunnerUp,
    Started,
    TrialStatus,
)

NAME = "clauses"
METRIC = "f1_macro"
RATES = (1e-4, 2e-4, 4e-4, 1e-2)
SPACE = SearchSpace(
    hyperparameters=(
        Hyperparameter(
            name="learning_rate", domain=Float(low=1e-5, high=1e-1, log=True, default=1e-4)
        ),
    )
)
START_S = 1_700_000_000.0


def judgement_on(repetitions: Study) -> Judgement:
    """What the study's folder keeps of its repetitions."""
    return Judgement(
        key=repetitions_key(repetitions),
        winner=Winner(
            arm="trial 2", config=Config({"learning_rate": RATES[2]}), until=2, trial_id=2
        ),
        differences=(
            _difference(DEFAULT_ARM, "validation", 0.179, 0.06),
            _difference(DEFAULT_ARM, "test", 0.179, 0.19),
            _difference("TF-IDF + logistic regression", "test", -0.108, 0.06),
        ),
        sizes={"validation": 400, "test": 400},
        ensemble=Ensemble(num_models=3, validation=0.61, test=0.58),
        calibration=Calibration(temperature=1.7, error_before=0.11, error_after=0.03),
        model="studies/clauses/model",
    )


def _difference(other: str, split: str, mean: float, half: float) -> Difference:
    return Difference(
        other=other, split=split, mean=mean, low=mean - half, high=mean + half, num_seeds=3
    )


def make_store(folder: Path) -> str:
    """The URL of a new store with the study and its repetitions."""
    url = f"sqlite:///{folder}/studies.db"
    store = open_store(url)
    job = JobSpec.model_validate(
        {
            "name": NAME,
            "task": {"name": "license_category"},
            "space": {"parameters": {"learning_rate": {"min": 1e-5, "max": 1e-1}}},
            "budget": {"trials": 6, "parallel": 2},
            "fidelity": {"max_epochs": 4, "eta": 2},
            "storage": str(folder / "studies"),
        }
    )
    _write_study(store, job)
    _write_repetitions(store, job)
    study_dir = folder / "studies" / NAME
    study_dir.mkdir(parents=True)
    reference = {"name": "TF-IDF + logistic regression", "validation": 0.69, "test": 0.68}
    (study_dir / "reference.json").write_text(json.dumps(reference))
    judgement = judgement_on(store.load(f"{NAME}.repetitions.4"))
    (study_dir / "judgement_4.json").write_text(json.dumps(judgement.to_json()))
    return url


class _Writer:
    """Appends events with running numbers, two seconds apart."""

    def __init__(self, store: TrialStore, name: str) -> None:
        self._store = store
        self._name = name
        self._numbers: Iterator[int] = count()

    def __call__(self, kind: Any, trial_id: int, **fields: Any) -> None:
        seq = next(self._numbers)
        at_s = START_S + 2.0 * seq
        self._store.append(self._name, kind(seq=seq, at_s=at_s, trial_id=trial_id, **fields))

    def measured(self, trial_id: int, epoch: int, value: float, **others: float) -> None:
        metrics = {METRIC: value, **others}
        measurement = Measurement(fidelity=epoch, metrics=metrics, duration_s=2.0)
        self(Measured, trial_id, measurement=measurement)


def _spec(job: JobSpec, **changes: Any) -> StudySpec:
    fields = {
        "name": NAME,
        "space": SPACE,
        "metric": METRIC,
        "fidelity": FidelityPlan(maximum=4, eta=2),
        "num_trials": 6,
        "parallel": 2,
        "job": job_to_json(job),
    }
    return StudySpec(**{**fields, **changes})


def decision(trial_id: int) -> Decision:
    """The default first, then moves from the trial before."""
    if trial_id == 0:
        return Decision(proposer="policy", expert="start:default", text="the default config")
    before, after = (Config({"learning_rate": RATES[trial_id - step]}) for step in (1, 0))
    return Decision(
        proposer="policy",
        expert="floor:ei",
        text=describe(SPACE, before, after),
        move=Move(origin=trial_id - 1, changes=dict(after)),
        log_probability=-0.2,
        runners_up=(RunnerUp(text="learning_rate 1.0e-04 → 9.0e-05 (×0.9)", probability=0.1),),
        predicted_gain=0.02,
        predicted_gain_std=0.01,
        policy_version="v0",
    )


def _write_study(store: TrialStore, job: JobSpec) -> None:
    store.create(_spec(job))
    write = _Writer(store, NAME)
    for trial_id, value in enumerate((0.4, 0.5, 0.55)):
        config = {"learning_rate": RATES[trial_id]}
        write(Started, trial_id, config=config, until=1, seed=trial_id, decision=decision(trial_id))
        write.measured(trial_id, 1, value)
        write(Ended, trial_id, status=TrialStatus.PAUSED)
    further = Decision(proposer="policy", expert="asha", text="continue trial 2 from 1 to 2")
    write(Continued, 2, until=2, decision=further)
    write.measured(2, 2, 0.6)
    write(Ended, 2, status=TrialStatus.PAUSED)
    write(Started, 3, config={"learning_rate": RATES[3]}, until=1, seed=3, decision=decision(3))
    write.measured(3, 1, float("nan"))
    write(Ended, 3, status=TrialStatus.FAILED, reason="f1_macro is nan at fidelity 1")


def _write_repetitions(store: TrialStore, job: JobSpec) -> None:
    name = f"{NAME}.repetitions.4"
    configs = [
        RepeatedConfig(arm=arm_name(2), config=Config({"learning_rate": RATES[2]}), until=2),
        RepeatedConfig(arm=DEFAULT_ARM, config=SPACE.default, until=4),
    ]
    proposer = RepetitionProposer(configs=configs, seeds=[1, 2, 3])
    store.create(_spec(job, name=name, num_trials=6, fidelity=FidelityPlan(maximum=4)))
    write = _Writer(store, name)
    for trial_id in range(proposer.num_trials):
        study = store.load(name)
        suggestion = proposer.propose(study, decision_rng(study))
        assert suggestion is not None
        write(
            Started,
            trial_id,
            config=dict(suggestion.config),
            until=suggestion.until,
            seed=suggestion.seed,
            decision=suggestion.decision,
        )
        value = (0.59 if trial_id % 2 == 0 else 0.41) + 0.001 * trial_id
        write.measured(trial_id, suggestion.until, value, **{f"test_{METRIC}": value - 0.02})
        write(Ended, trial_id, status=TrialStatus.COMPLETED)
