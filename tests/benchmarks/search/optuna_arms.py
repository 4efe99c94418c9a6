"""Optuna's arms: TPE, GPSampler and CMA-ES; TPE with Hyperband and with successive halving.

Conditional hyperparameters are suggested where they are active only; `Ordinal` enters as the index
of its value, because Optuna has no listed values with an order. A crash is `TrialState.FAIL`,
which every sampler ignores. Constant liar is on: it changes nothing one trial at a time.

Steps are epochs counted from 1, so that Optuna's rungs lie at the same epochs as the plan's, where
alone a trial is judged: `should_prune` says no everywhere else. `max_resource` is given, as
Optuna's documentation asks wherever it is known.
"""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmarks.search.arm import Arm
from benchmarks.search.asked_and_told import (
    AskedAndTold,
    Encoded,
    Optimiser,
    Starts,
    decoded,
    encoded,
    is_conditional,
    rungs,
    version_of,
)
from benchmarks.search.play import Budget
from benchmarks.search.task import SearchTask
from lexmove.space.domain import Categorical, Float, Integer, Ordinal, Value
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.fidelity import Fidelity, FidelityPlan

if TYPE_CHECKING:
    import optuna

DISTRIBUTION = "optuna"

_VERSION = version_of(DISTRIBUTION, wrapper=1)
MakeSampler = Callable[[SearchSpace, int], "optuna.samplers.BaseSampler"]
MakePruner = Callable[[FidelityPlan], "optuna.pruners.BasePruner"]


def tpe(space: SearchSpace, seed: int) -> "optuna.samplers.BaseSampler":
    """TPE over all hyperparameters jointly; over groups of them where some are conditional."""
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed, multivariate=True, group=is_conditional(space), constant_liar=True)


def gp(space: SearchSpace, seed: int) -> "optuna.samplers.BaseSampler":
    """Optuna's Gaussian process."""
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed, warn_independent_sampling=False)


def cma_es(space: SearchSpace, seed: int) -> "optuna.samplers.BaseSampler":
    """CMA-ES as shipped: what is categorical or conditional is drawn on its own."""
    from optuna.samplers import CmaEsSampler

    return CmaEsSampler(seed=seed, warn_independent_sampling=False)


def hyperband(plan: FidelityPlan) -> "optuna.pruners.BasePruner":
    """Hyperband over the plan's rungs."""
    from optuna.pruners import HyperbandPruner

    return HyperbandPruner(
        min_resource=plan.rungs[0], max_resource=plan.maximum, reduction_factor=_eta(plan)
    )


def halving(plan: FidelityPlan) -> "optuna.pruners.BasePruner":
    """Asynchronous successive halving over the plan's rungs."""
    from optuna.pruners import SuccessiveHalvingPruner

    return SuccessiveHalvingPruner(min_resource=plan.rungs[0], reduction_factor=_eta(plan))


class OptunaStudy(Optimiser):
    """One study in memory, by ask and tell."""

    def __init__(
        self,
        space: SearchSpace,
        make_sampler: MakeSampler,
        *,
        seed: int,
        pruner: "optuna.pruners.BasePruner | None" = None,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            # Optuna calls the multivariate TPE experimental.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = make_sampler(space, seed)
        self._space = space
        self._trials: dict[int, optuna.Trial] = {}
        self.study = optuna.create_study(
            direction="maximize",
            sampler=sampler,
            pruner=optuna.pruners.NopPruner() if pruner is None else pruner,
            # Hyperband draws a trial's bracket from the study's name.
            study_name=f"seed-{seed}",
        )

    def ask(self, trial_id: int) -> Config | None:
        self._trials[trial_id] = trial = self.study.ask()
        answer: dict[str, Encoded] = {}
        for item in self._space.parents_first:
            # Parents come first, so that what is active here is known by now.
            if item.name in decoded(self._space, answer) and item in self._space.searched:
                answer[item.name] = _suggest(trial, item)
        return decoded(self._space, answer)

    def attach(self, trial_id: int, config: Config) -> None:
        searched = [item for item in self._space.searched if item.name in config]
        self.study.enqueue_trial({item.name: encoded(item, config[item.name]) for item in searched})
        self.ask(trial_id)

    def tell(self, trial_id: int, score: float) -> None:
        self.study.tell(self._trials[trial_id], score)

    def fail(self, trial_id: int) -> None:
        from optuna.trial import TrialState

        self.study.tell(self._trials[trial_id], state=TrialState.FAIL)

    def report(self, trial_id: int, fidelity: Fidelity, score: float) -> None:
        self._trials[trial_id].report(score, fidelity)

    def goes_on(self, trial_id: int) -> bool:
        from optuna.trial import TrialState

        trial = self._trials[trial_id]
        if not trial.should_prune():
            return True
        self.study.tell(trial, state=TrialState.PRUNED)
        return False


def _suggest(trial: "optuna.Trial", item: Hyperparameter) -> Value:
    match item.domain:
        case Float(low=low, high=high, log=log):
            return float(trial.suggest_float(item.name, low, high, log=log))
        case Integer(low=low, high=high, log=log):
            return int(trial.suggest_int(item.name, low, high, log=log))
        case Ordinal(values=values):
            return int(trial.suggest_int(item.name, 0, len(values) - 1))
        case Categorical(values=values):
            return int(trial.suggest_categorical(item.name, range(len(values))))
    raise AssertionError(item.domain)


def _at_once(make_sampler: MakeSampler, name: str) -> Arm:
    """An arm whose trials all go to full fidelity."""

    def make(task: SearchTask, budget: Budget, *, seed: int, starts: Starts) -> AskedAndTold:
        del budget
        return AskedAndTold(name, OptunaStudy(task.space, make_sampler, seed=seed), starts=starts)

    return Arm(name=name, group="peer", make=make, version=_VERSION)


def _in_rungs(
    name: str, make_pruner: MakePruner, plan: Callable[[SearchTask], FidelityPlan]
) -> Arm:
    """An arm of TPE with a pruner."""

    def make(task: SearchTask, budget: Budget, *, seed: int, starts: Starts) -> AskedAndTold:
        del budget
        study = OptunaStudy(task.space, tpe, seed=seed, pruner=make_pruner(plan(task)))
        return AskedAndTold(name, study, starts=starts)

    return Arm(name=name, group="peer", make=make, version=_VERSION, plan=plan)


def _eta(plan: FidelityPlan) -> int:
    assert plan.eta is not None
    return plan.eta


TPE = _at_once(tpe, "Optuna TPE")
GP = _at_once(gp, "Optuna GPSampler")
CMA_ES = _at_once(cma_es, "Optuna CMA-ES")

ARMS = (TPE, GP, CMA_ES)
EPOCH_ARMS = (
    _in_rungs("Optuna TPE + Hyperband", hyperband, rungs(3, first=1)),
    _in_rungs("Optuna TPE + Hyperband, tuned", hyperband, rungs(3, first=None)),
    _in_rungs("Optuna TPE + successive halving", halving, rungs(4, first=1)),
    _in_rungs("Optuna TPE + successive halving, tuned", halving, rungs(3, first=None)),
    TPE,
    GP,
)
