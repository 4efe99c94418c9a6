"""A history without end for store tests, the same in every process."""

from collections.abc import Iterator

from lexmove.space.domain import Categorical, Constant, Float, Integer, Ordinal
from lexmove.space.move import Move
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.study import StudySpec
from lexmove.study.trial import (
    Continued,
    Decision,
    Ended,
    Event,
    Measured,
    Measurement,
    RunnerUp,
    Started,
    TrialStatus,
)

SPACE = SearchSpace(
    hyperparameters=(
        Hyperparameter(name="learning_rate", domain=Float(low=1e-6, high=1e-2, log=True)),
        Hyperparameter(name="dropout", domain=Float(low=0.0, high=0.5)),
        Hyperparameter(name="epochs", domain=Integer(low=1, high=64, log=True)),
        Hyperparameter(name="batch", domain=Ordinal(values=(8, 16, 32))),
        Hyperparameter(name="pooling", domain=Categorical(values=("mean", "cls"))),
        Hyperparameter(name="bias", domain=Categorical(values=(False, True))),
        Hyperparameter(name="rank", domain=Integer(low=1, high=8), when={"pooling": ("cls",)}),
        Hyperparameter(name="clip", domain=Constant(value=1.0)),
    )
)


def spec(name: str = "contracts", **changes) -> StudySpec:
    fields = {
        "space": SPACE,
        "metric": "f1_macro",
        "fidelity": FidelityPlan(maximum=4, eta=2),
        "num_trials": 1000,
        "job": '{"name": "contracts"}',
    }
    return StudySpec(name=name, **{**fields, **changes})


def config(trial_id: int) -> dict:
    unit = (trial_id * 0.37) % 1.0
    is_cls = trial_id % 2 == 1
    values = {
        "learning_rate": SPACE["learning_rate"].domain.from_unit(unit),
        "epochs": 1 + trial_id % 64,
        "pooling": "cls" if is_cls else "mean",
        "bias": trial_id % 3 == 0,
        **({"rank": 1 + trial_id % 8} if is_cls else {}),
    }
    return dict(SPACE.config(values))


def decision(trial_id: int) -> Decision:
    if trial_id == 0:
        return Decision(proposer="random")
    return Decision(
        proposer="policy",
        expert="expected improvement",
        text="learning_rate 2.0e-05 → 4.6e-05 (×2.3)",
        move=Move(origin=trial_id - 1, changes={"learning_rate": 4.6e-05}),
        action=3,
        log_probability=-0.5,
        runners_up=(RunnerUp(text="batch 16 → 32", probability=0.2),),
        predicted_gain=0.01,
        predicted_gain_std=0.02,
        policy_version="5e884898",
        lane=1,
    )


def scripted() -> Iterator[Event]:
    """The same endless history in every process: each trial pauses, goes on and completes."""
    seq = 0
    for trial_id in range(10**6):
        score = 0.5 + 0.4 * ((trial_id * 0.618) % 1.0)
        for step in range(6):
            at = {"seq": seq, "at_s": 1.7e9 + seq / 8, "trial_id": trial_id}
            yield (
                Started(**at, config=config(trial_id), until=2, seed=trial_id,
                        decision=decision(trial_id)),
                Measured(**at, measurement=measurement(1, score)),
                Ended(**at, status=TrialStatus.PAUSED),
                Continued(**at, until=4),
                Measured(**at, measurement=measurement(4, score + 0.05)),
                Ended(**at, status=TrialStatus.COMPLETED),
            )[step]  # fmt: skip
            seq += 1


def measurement(fidelity: int, value: float) -> Measurement:
    return Measurement(
        fidelity=fidelity,
        metrics={"f1_macro": value, "loss": 1 - value},
        duration_s=0.125,
        checkpoint=f"trials/epoch_{fidelity}",
    )
