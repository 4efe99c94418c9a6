"""Plays one proposer on one task: event-driven, any number of workers."""

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.pools import SnappingProposer
from benchmarks.search.task import METRIC, SearchTask
from lexmove.agent.simulated_workers import SimulatedWorkers
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.protocols import Proposer
from lexmove.study.study import Study, StudySpec, decision_rng
from lexmove.study.trial import TrialStatus

_CRASH_ROOM = 3
_FAST_ROOM = 10
"""Trials that may be started in the time of one median training, where configs are so quick."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much a study may spend: trials at full fidelity, or the epochs or the time of trainings.

    Exactly one of the three is given. `training_times` counts the task's `training_s`; whoever
    `knows_time` is told of that limit. `parallel` workers overlap by recorded run times.
    """

    trials: int | None = None
    trainings: float | None = None
    training_times: float | None = None
    knows_time: bool = True
    parallel: int = 1


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What a study had reached after each measurement, in the order of the clock.

    `epochs` (M,) is what all trials had spent, `at_s` (M,) the time since the start, `ended` (M,)
    how many trials had ended, `regrets` (M,) the regret of the incumbent: chosen by what was
    measured, judged by the truth.
    `decision_s` (S,) is the processor time of each decision. `surprises` (C,) are the realised
    gains of the completed trials minus the predicted ones, in predicted standard deviations.
    `num_crashed` trials failed or were infeasible.
    """

    epochs: NDArray[np.int_]
    at_s: NDArray[np.float64]
    ended: NDArray[np.int_]
    regrets: NDArray[np.float64]
    decision_s: NDArray[np.float64]
    surprises: NDArray[np.float64]
    num_crashed: int

    def after_trials(self, num_trials: int) -> float:
        """Regret when that many trials had ended; at the end where there were fewer."""
        # The first such row: the next trial's measurement comes while as many have ended.
        reached = np.flatnonzero(self.ended >= num_trials)
        return float(self.regrets[reached[0] if len(reached) else -1])

    def after_epochs(self, num_epochs: float) -> float:
        """Regret when that many epochs had been spent; 1 before the first measurement."""
        return self._last(self.epochs <= num_epochs)

    def after_seconds(self, seconds: float) -> float:
        """Regret when so much time had passed; 1 before the first measurement."""
        return self._last(self.at_s <= seconds)

    def _last(self, is_reached: NDArray[np.bool_]) -> float:
        reached = np.flatnonzero(is_reached)
        return float(self.regrets[reached[-1]]) if len(reached) else 1.0


@dataclass(frozen=True, kw_only=True)
class Played:
    """A finished study and its trace."""

    study: Study
    trace: Trace


def play(
    task: SearchTask, proposer: Proposer, budget: Budget, *, plan: FidelityPlan, seed: int
) -> Trace:
    """One study from empty to spent."""
    return played(task, proposer, budget, plan=plan, seed=seed).trace


def played(
    task: SearchTask, proposer: Proposer, budget: Budget, *, plan: FidelityPlan, seed: int
) -> Played:
    """One study from empty to spent, and what it did."""
    if task.pool is not None:
        proposer = SnappingProposer(proposer, task.pool)
    max_epochs = max_s = math.inf
    num_trials = budget.trials
    if budget.training_times is not None:
        max_s = budget.training_times * task.training_s
        num_trials = math.ceil(_FAST_ROOM * budget.training_times)
    elif num_trials is None:
        assert budget.trainings is not None
        max_epochs = budget.trainings * plan.maximum
        # A crash ends a trial early: whoever goes straight may start again for what it left.
        num_trials = math.ceil(max_epochs / plan.rungs[0]) * (1 if plan.eta else _CRASH_ROOM)
    spec = StudySpec(
        name=f"{task.name}-{seed}",
        space=task.space,
        metric=METRIC,
        fidelity=plan,
        num_trials=num_trials,
        parallel=budget.parallel,
        seed=seed,
        wall_clock_s=max_s if math.isfinite(max_s) and budget.knows_time else None,
    )
    workers = SimulatedWorkers(spec, task.objective)
    rows: list[tuple[int, float, int, float]] = []
    decision_s: list[float] = []
    while _epochs(workers.study) < max_epochs and workers.now_s < max_s:
        if workers.has_free_worker:
            since = time.process_time()
            suggestion = proposer.propose(workers.study, decision_rng(workers.study))
            decision_s.append(time.process_time() - since)
            if suggestion is not None:
                workers.start(suggestion)
                continue
        if workers.is_idle:
            break
        workers.advance()
        rows.append(_row(task, workers))
    epochs, at_s, ended, regrets = zip(*rows, strict=True)
    trace = Trace(
        epochs=np.array(epochs),
        at_s=np.array(at_s),
        ended=np.array(ended),
        regrets=np.array(regrets),
        decision_s=np.array(decision_s),
        surprises=_surprises(workers.study),
        num_crashed=len(workers.study.with_status(TrialStatus.FAILED, TrialStatus.INFEASIBLE)),
    )
    return Played(study=workers.study, trace=trace)


def _epochs(study: Study) -> int:
    return sum(trial.fidelity for trial in study.trials)


def _row(task: SearchTask, workers: SimulatedWorkers) -> tuple[int, float, int, float]:
    study = workers.study
    ended = sum(trial.status.is_final for trial in study.trials)
    incumbent = study.incumbent
    regret = 1.0
    if incumbent is not None:
        config = study.trials[incumbent.trial_id].config
        regret = task.regret(task.objective.value(config, incumbent.fidelity))
    return _epochs(study), workers.now_s, ended, regret


def _surprises(study: Study) -> NDArray[np.float64]:
    found = []
    for trial in study.with_status(TrialStatus.COMPLETED):
        decision, realised = trial.decision, study.realised_gain(trial)
        if decision is None or decision.predicted_gain is None or realised is None:
            continue
        if decision.predicted_gain_std:
            found.append((realised - decision.predicted_gain) / decision.predicted_gain_std)
    return np.array(found)
