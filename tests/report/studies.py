"""Studies made quickly: moves by chance over a simulated landscape, of any length."""

import math
from bisect import insort
from collections.abc import Iterator
from itertools import count

import numpy as np

from lexmove.report.chronicle import chronicle_of
from lexmove.report.subject import Subject
from lexmove.results.profile import profile_of
from lexmove.results.summary import winner_of
from lexmove.space.domain import Categorical, Constant, Float, Integer, Ordinal
from lexmove.space.move import Move, describe
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import (
    Continued,
    Decision,
    Ended,
    Event,
    Measured,
    Measurement,
    Started,
    TrialStatus,
)
from lexmove.trials.simulated import SimulatedObjective

METRIC = "f1_macro"
SPACE = SearchSpace(
    hyperparameters=(
        Hyperparameter(
            name="learning_rate", domain=Float(low=1e-6, high=1e-3, log=True, default=2e-5)
        ),
        Hyperparameter(
            name="per_device_train_batch_size", domain=Ordinal(values=(8, 16, 32, 64), default=16)
        ),
        Hyperparameter(
            name="lr_scheduler_type",
            domain=Categorical(values=("linear", "cosine", "constant_with_warmup")),
        ),
        Hyperparameter(name="warmup_ratio", domain=Float(low=0.0, high=0.3)),
        Hyperparameter(name="peft.use_lora", domain=Categorical(values=(False, True))),
        Hyperparameter(
            name="peft.r",
            domain=Ordinal(values=(4, 8, 16, 32)),
            when={"peft.use_lora": (True,)},
        ),
        Hyperparameter(
            name="peft.lora_alpha",
            domain=Integer(low=4, high=64, log=True),
            when={"peft.use_lora": (True,)},
        ),
        Hyperparameter(name="max_grad_norm", domain=Constant(value=1.0)),
    ),
    forbid=({"per_device_train_batch_size": (64,), "peft.use_lora": (False,)},),
)
START_S = 1_700_000_000.0
_MARGIN_S = 0.4


def simulated_study(
    num_trials: int,
    *,
    name: str = "contracts",
    seed: int = 0,
    parallel: int = 4,
    fidelity: FidelityPlan | None = None,
    failing: float = 0.05,
    space: SearchSpace = SPACE,
    goal: str = "maximize",
    reason: str = "out of memory: tried to allocate {} MiB",
) -> Study:
    """A study of so many trials, `failing` of which fail; the same each time."""
    spec = StudySpec(
        name=name,
        space=space,
        metric=METRIC,
        goal=goal,
        fidelity=fidelity or FidelityPlan(maximum=8, eta=2, first=1),
        num_trials=num_trials,
        parallel=parallel,
        seed=seed,
    )
    objective = SimulatedObjective(
        space=space, seed=seed, max_fidelity=spec.fidelity.maximum, metric=METRIC
    )
    rng = np.random.default_rng([seed, num_trials])
    events = list(_events(spec, objective, rng, failing=failing, reason=reason))
    return Study.from_events(spec, events)


def _events(
    spec: StudySpec,
    objective: SimulatedObjective,
    rng: np.random.Generator,
    *,
    failing: float,
    reason: str,
) -> Iterator[Event]:
    """Slots that take turns; a trial runs to its first rung, the better half of each goes on."""
    seq, sign = count(), 1.0 if spec.goal == "maximize" else -1.0
    free_s = [START_S] * spec.parallel
    best: list[tuple[float, int, Config]] = []
    at_rung: dict[int, list[float]] = {}
    for trial_id in range(spec.num_trials):
        slot = int(np.argmin(free_s))
        now_s = free_s[slot] + _MARGIN_S
        config, decision = _decided(spec, rng, trial_id, best)
        rungs = list(spec.fidelity.rungs)
        common = {"trial_id": trial_id}
        yield Started(
            seq=next(seq), at_s=now_s, config=config, until=rungs[0], seed=trial_id,
            decision=decision, decided_s=0.02, **common,
        )  # fmt: skip
        if rng.random() < failing:
            now_s += 3.0
            yield Ended(
                seq=next(seq), at_s=now_s, status=TrialStatus.INFEASIBLE,
                reason=reason.format(int(rng.integers(100, 9000))), **common,
            )  # fmt: skip
            free_s[slot] = now_s
            continue
        after, value = 0, math.nan
        for rung in rungs:
            if after:
                further = Decision(proposer="policy", expert="asha", text=f"continue to {rung}")
                yield Continued(seq=next(seq), at_s=now_s, until=rung, decision=further, **common)
            for epoch in range(after + 1, rung + 1):
                duration_s = 4.0 + 2.0 * rng.random()
                now_s += duration_s
                value = sign * objective.measure(config, epoch, seed=trial_id)
                measurement = Measurement(
                    fidelity=epoch, metrics={METRIC: value}, duration_s=duration_s,
                    phases_s={"train": 0.7 * duration_s, "evaluate": 0.2 * duration_s},
                )  # fmt: skip
                if epoch == rung:
                    yield Measured(seq=next(seq), at_s=now_s, measurement=measurement, **common)
            after = rung
            is_over = rung == rungs[-1]
            status = TrialStatus.COMPLETED if is_over else TrialStatus.PAUSED
            yield Ended(seq=next(seq), at_s=now_s, status=status, **common)
            scores = at_rung.setdefault(rung, [])
            insort(scores, sign * value)
            if is_over or sign * value < scores[len(scores) // 2]:
                break
            now_s += 0.2
        ranked = [*best, (sign * value, trial_id, config)]
        best = sorted(ranked, key=lambda item: -item[0])[:12]
        free_s[slot] = now_s


def _decided(
    spec: StudySpec,
    rng: np.random.Generator,
    trial_id: int,
    best: list[tuple[float, int, Config]],
) -> tuple[Config, Decision]:
    space = spec.space
    if trial_id == 0 or not best:
        text = "the default config"
        return space.default, Decision(proposer="policy", expert="start:default", text=text)
    if trial_id < 4:
        text = "a point of the space"
        return space.sample(rng), Decision(proposer="policy", expert="start:sobol", text=text)
    _, origin, before = best[min(len(best) - 1, int(rng.exponential(1.5)))]
    after = _moved(space, before, rng)
    changes = {name: value for name, value in after.items() if before.get(name) != value}
    gain = float(rng.normal(0.004, 0.006))
    return after, Decision(
        proposer="policy",
        expert=("floor:EI", "floor:UCB", "policy")[int(rng.integers(3))],
        text=describe(space, before, after),
        move=Move(origin=origin, changes=changes),
        log_probability=-0.3,
        predicted_gain=gain,
        predicted_gain_std=0.03,
        policy_version="v1" if trial_id < spec.num_trials / 2 else "v2",
    )


def _moved(space: SearchSpace, before: Config, rng: np.random.Generator) -> Config:
    """One to three hyperparameters turned by chance."""
    while True:
        active = [item for item in space.searched if item.name in before]
        chosen = rng.choice(
            len(active), size=min(len(active), int(rng.integers(1, 4))), replace=False
        )
        values = dict(before)
        for index in chosen.tolist():
            domain, name = active[index].domain, active[index].name
            unit = domain.to_unit(before[name]) + float(rng.normal(0.0, 0.15))
            values[name] = domain.from_unit(unit if domain.is_ordered else float(rng.random()))
        after = space.complete(values)
        if after != before and not space.is_forbidden(after):
            return after


def subject_of(study: Study, *, state: str = "finished", **fields: object) -> Subject:
    """What the page is told of a study without repetitions."""
    usual = {"winner": winner_of(study, None), "profiles": {"search": profile_of(study)}}
    return Subject(chronicle=chronicle_of(study), state=state, **{**usual, **fields})
