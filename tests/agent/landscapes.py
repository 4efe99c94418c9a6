"""Spaces, cheap objectives and a loop that plays a proposer against them."""

from collections.abc import Callable, Mapping

import numpy as np

from lexmove.space.domain import Categorical, Float, Integer, Ordinal, Value
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.protocols import Proposer
from lexmove.study.study import Study, StudySpec, decision_rng
from lexmove.study.trial import (
    Continued,
    Ended,
    Measured,
    Measurement,
    Started,
    Suggestion,
    TrialStatus,
)

Landscape = Callable[[Mapping[str, Value]], float]

Objective = Callable[[Mapping[str, Value]], float | None]
"""A landscape with places that fail: they have no value."""


def floats(num_dims: int) -> SearchSpace:
    return SearchSpace(
        hyperparameters=tuple(
            Hyperparameter(name=f"x{i}", domain=Float(low=0.0, high=1.0)) for i in range(num_dims)
        )
    )


MIXED = SearchSpace(
    hyperparameters=(
        Hyperparameter(
            name="learning_rate", domain=Float(low=1e-6, high=1e-3, log=True, default=2e-5)
        ),
        Hyperparameter(name="batch_size", domain=Ordinal(values=(8, 16, 32, 64), default=16)),
        Hyperparameter(name="scheduler", domain=Categorical(values=("linear", "cosine", "none"))),
        Hyperparameter(name="use_lora", domain=Categorical(values=(False, True))),
        Hyperparameter(
            name="rank", domain=Integer(low=2, high=64, log=True), when={"use_lora": (True,)}
        ),
        Hyperparameter(name="dropout", domain=Float(low=0.0, high=0.5)),
        Hyperparameter(name="epochs", domain=Integer(low=1, high=10)),
    ),
    forbid=({"batch_size": (64,), "use_lora": (False,)},),
)
FOUR = SearchSpace(
    hyperparameters=(
        Hyperparameter(name="a", domain=Categorical(values=("p", "q"))),
        Hyperparameter(name="b", domain=Categorical(values=(False, True))),
    )
)
SPACES = {"one float": floats(1), "mixed": MIXED, "four configs": FOUR}


def _units(config: Mapping[str, Value], num_dims: int) -> np.ndarray:
    return np.array([config[f"x{i}"] for i in range(num_dims)], dtype=float)


def branin(config: Mapping[str, Value]) -> float:
    u = _units(config, 2)
    x, y = 15 * u[0] - 5, 15 * u[1]
    ridge = y - 5.1 / (4 * np.pi**2) * x * x + 5 / np.pi * x - 6
    return -float(ridge**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10)


_A = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann6(config: Mapping[str, Value]) -> float:
    wells = np.exp(-np.sum(_A * (_units(config, 6) - _P) ** 2, axis=1))
    return float(wells @ [1.0, 1.2, 3.0, 3.2])


def fine_tuning(config: Mapping[str, Value]) -> float:
    """Shaped like fine-tuning: a sharp upper cliff of the learning rate, weak regularisers."""
    best = -9.4 + 0.5 * np.log2(float(config["batch_size"]) / 16)
    best += 1.2 * bool(config["use_lora"]) + 0.3 * (config["scheduler"] == "cosine")
    excess = np.log(float(config["learning_rate"])) - best
    value = 0.85 - 0.03 * excess**2 if excess < 1 else 0.3
    value -= 0.08 * np.exp(-float(config["epochs"]) / 2.5 * np.exp(min(0.0, excess) / 2))
    value -= 0.3 * (float(config["dropout"]) - 0.12) ** 2
    if config["use_lora"]:
        value -= 0.006 * abs(4 - np.log2(float(config["rank"])))
    return float(max(value, 0.05))


LANDSCAPES: dict[str, tuple[SearchSpace, Landscape, float, float]] = {
    # name: space, objective, its best value, its median under uniform draws
    "branin": (floats(2), branin, -0.398, -38.9),
    "four irrelevant": (floats(10), hartmann6, 3.322, 0.133),
    "hartmann6": (floats(6), hartmann6, 3.322, 0.133),
    "fine-tuning": (MIXED, fine_tuning, 0.848, 0.477),
}


def new_study(space: SearchSpace, **fields: object) -> Study:
    return Study(spec=StudySpec(**{"name": "test", "space": space, "num_trials": 25, **fields}))


def start(study: Study, suggestion: Suggestion) -> Study:
    """The study with the suggestion running."""
    seq = study.num_events
    if suggestion.trial_id is not None:
        return study.with_event(
            Continued(
                seq=seq,
                at_s=0.0,
                trial_id=suggestion.trial_id,
                until=suggestion.until,
                decision=suggestion.decision,
            )
        )
    return study.with_event(
        Started(
            seq=seq,
            at_s=0.0,
            trial_id=len(study.trials),
            config=dict(suggestion.config),
            until=suggestion.until,
            seed=0,
            decision=suggestion.decision,
        )
    )


def finish(
    study: Study,
    trial_id: int,
    value: float | None,
    *,
    status: TrialStatus | None = None,
    fidelity: int | None = None,
    duration_s: float = 0.0,
) -> Study:
    """The study with a result of a running trial; no value is a failure without measurement."""
    at = study.trials[trial_id].until if fidelity is None else fidelity
    if value is not None:
        measurement = Measurement(
            fidelity=at, metrics={study.spec.metric: value}, duration_s=duration_s
        )
        study = study.with_event(
            Measured(seq=study.num_events, at_s=0.0, trial_id=trial_id, measurement=measurement)
        )
    if status is None and value is None:
        status = TrialStatus.FAILED
    elif status is None:
        is_full = at >= study.spec.fidelity.maximum
        status = TrialStatus.COMPLETED if is_full else TrialStatus.PAUSED
    return study.with_event(Ended(seq=study.num_events, at_s=0.0, trial_id=trial_id, status=status))


def newest(study: Study, suggestion: Suggestion) -> int:
    return len(study.trials) - 1 if suggestion.trial_id is None else suggestion.trial_id


def play(
    study: Study, proposer: Proposer, landscape: Objective, *, num_steps: int = 10_000
) -> Study:
    """Asks and answers, one trial at a time, until the proposer has nothing more to do."""
    for _ in range(num_steps):
        suggestion = proposer.propose(study, decision_rng(study))
        if suggestion is None:
            break
        study = start(study, suggestion)
        study = finish(study, newest(study, suggestion), landscape(suggestion.config))
    return study


def random_study(
    space: SearchSpace, *, num_trials: int, seed: int = 0, landscape: Landscape | None = None
) -> Study:
    """Random configs with random (or real) values, a failure, an infeasible and a running one."""
    from lexmove.agent.baselines import RandomProposer

    rng = np.random.default_rng(seed)
    study = new_study(space, seed=seed, num_trials=num_trials + 10, parallel=2)
    for index in range(num_trials):
        suggestion = RandomProposer().propose(study, rng)
        if suggestion is None:
            break
        study = start(study, suggestion)
        score = float(rng.normal()) if landscape is None else landscape(suggestion.config)
        if index % 7 == 3:
            study = finish(study, index, None)
        elif index % 7 == 5:
            study = finish(study, index, float("nan"), status=TrialStatus.INFEASIBLE)
        elif index < num_trials - 1:
            study = finish(study, index, score)
    return study


def rungs(maximum: int = 9, eta: int = 3) -> FidelityPlan:
    return FidelityPlan(maximum=maximum, eta=eta, first=1)


def regret(study: Study, best: float, median: float) -> float:
    """Share of the way from the median to the best that the incumbent still has to go."""
    assert study.incumbent is not None
    return max(0.0, best - study.incumbent.value) / (best - median)


def config_of(space: SearchSpace, seed: int) -> Config:
    return space.sample(np.random.default_rng(seed))
