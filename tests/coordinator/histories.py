"""Histories for store tests: a scripted one without end, and random ones for property tests."""

from collections.abc import Iterator

from hypothesis import strategies as st

from lexmove.space.domain import Categorical, Constant, Float, Integer, Ordinal
from lexmove.space.move import Move
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.study import Study, StudySpec
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


_ENDINGS = tuple(status for status in TrialStatus if status is not TrialStatus.RUNNING)
_METRIC = st.floats(0, 1) | st.sampled_from((float("inf"), float("-inf"), 0.0))


@st.composite
def histories(draw: st.DrawFn, max_events: int = 20) -> list[Event]:
    """Valid histories of a few trials, ended, paused and continued in any order."""
    study = Study(spec=spec())
    for seq in range(draw(st.integers(1, max_events))):
        at = {"seq": seq, "at_s": draw(st.floats(1e9, 2e9)), "trial_id": len(study.trials)}
        open_ids = [trial.trial_id for trial in study.trials if not trial.status.is_final]
        if not open_ids or draw(st.integers(0, 3)) == 0:
            new_id = len(study.trials)
            event: Event = Started(
                **at, config=config(draw(st.integers(0, 50))), until=4, seed=seq,
                decision=decision(new_id),
            )  # fmt: skip
        else:
            event = draw(_following({**at, "trial_id": draw(st.sampled_from(open_ids))}))
        study = study.with_event(event)
    return list(study.events)


def _following(at: dict) -> st.SearchStrategy[Event]:
    return st.one_of(
        st.builds(Continued, **_just(at), until=st.integers(1, 4)),
        st.builds(
            Ended, **_just(at), status=st.sampled_from(_ENDINGS),
            reason=st.none() | st.text(max_size=20), blames_trial=st.booleans(),
        ),
        st.builds(
            Measured, **_just(at),
            measurement=st.builds(
                Measurement,
                fidelity=st.integers(0, 4),
                metrics=st.dictionaries(st.sampled_from(("f1_macro", "loss")), _METRIC),
                duration_s=st.floats(0, 1e6),
                checkpoint=st.none() | st.just("trials/epoch"),
            ),
        ),
    )  # fmt: skip


def _just(at: dict) -> dict:
    return {name: st.just(value) for name, value in at.items()}
