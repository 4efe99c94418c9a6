"""SMAC3's arms: its hyperparameter-optimisation facade (random forest) and the multi-fidelity one.

Facades as shipped, with `deterministic`: nothing is measured twice. Conditions and `forbid` are
given to ConfigSpace. A crash is `StatusType.CRASHED` at the worst cost known (`crash_cost` of the
scenario is a constant, as shipped infinite, which the forest cannot be fitted to); before any cost
is known, crashed trials stay pending.

With fidelities, SMAC's budgets R / 3^k are rounded to whole epochs, and a promoted config goes on
from its checkpoint: SMAC itself would train it anew.
"""

import logging
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.search.arm import Arm
from benchmarks.search.asked_and_told import (
    AskedAndTold,
    Optimiser,
    Starts,
    continuation,
    decoded,
    encoded,
    rungs,
    start,
    version_of,
)
from benchmarks.search.play import Budget
from benchmarks.search.task import SearchTask
from lexmove.space.domain import Categorical, Float, Integer, Ordinal, Value
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.fidelity import Fidelity, FidelityPlan
from lexmove.study.protocols import Proposer
from lexmove.study.study import Study
from lexmove.study.trial import Suggestion, Trial, TrialStatus

if TYPE_CHECKING:
    from ConfigSpace import Configuration, ConfigurationSpace
    from smac.facade import AbstractFacade
    from smac.initial_design import AbstractInitialDesign
    from smac.runhistory import TrialInfo

DISTRIBUTION = "smac"

_VERSION = version_of(DISTRIBUTION, wrapper=1)
_ETA = 3
_SEED_OF_TRIALS = 0
"""The seed that a deterministic scenario gives all its trials."""


class SmacStudy:
    """One SMAC run: its facade, its space, and what it was asked by the study's trial ids.

    `budgets` are the smallest and the largest, None without fidelities: only then are `starts`
    put before the random configs that SMAC begins with. (Without, they are attached as they come;
    Hyperband fails when it finds fewer attached configs than fill its first bracket.)
    """

    def __init__(
        self,
        space: SearchSpace,
        facade: str,
        *,
        num_trials: int,
        seed: int,
        budgets: tuple[float, float] | None = None,
        starts: Starts = (),
    ) -> None:
        import smac

        logging.getLogger("smac").setLevel(logging.ERROR)
        self._space = space
        self._configspace = _configspace(space, seed)
        low, high = budgets or (None, None)
        # SMAC writes itself down when it is made, and never again: results are told unsaved.
        with TemporaryDirectory(prefix="smac-") as folder:
            scenario = smac.Scenario(
                self._configspace,
                output_directory=folder,
                deterministic=True,
                n_trials=num_trials,
                min_budget=low,
                max_budget=high,
                seed=seed,
            )
            self._facade: AbstractFacade = getattr(smac, facade)(
                scenario,
                None,
                initial_design=self._design(scenario, starts) if budgets else None,
                logging_level=False,
                overwrite=True,
            )
        self._crashed: list[TrialInfo] = []
        self._worst: float | None = None

    def ask(self) -> "TrialInfo | None":
        """The next trial; None when nothing new can be found."""
        from smac.main.exceptions import ConfigurationSpaceExhaustedException

        try:
            return self._facade.ask()
        except (StopIteration, ConfigurationSpaceExhaustedException):
            return None

    def config(self, info: "TrialInfo") -> Config:
        """The project's config of a trial."""
        return decoded(self._space, dict(info.config))

    def attach(self, config: Config) -> "TrialInfo":
        """A trial that SMAC did not ask for is pending."""
        from smac.runhistory import TrialInfo

        info = TrialInfo(self._configuration(config), seed=_SEED_OF_TRIALS)
        self._facade.runhistory.add_running_trial(info)
        return info

    def tell(self, info: "TrialInfo", score: float) -> None:
        """A result, higher is better."""
        from smac.runhistory import TrialValue

        self._worst = -score if self._worst is None else max(self._worst, -score)
        self._facade.tell(info, TrialValue(cost=-score), save=False)
        self._tell_crashed()

    def fail(self, info: "TrialInfo") -> None:
        """A crash."""
        self._crashed.append(info)
        self._tell_crashed()

    def _configuration(self, config: Config) -> "Configuration":
        from ConfigSpace import Configuration

        values = {
            item.name: encoded(item, config[item.name])
            for item in self._space.searched
            if item.name in config
        }
        return Configuration(self._configspace, values=values)

    def _design(self, scenario: Any, starts: Starts) -> "AbstractInitialDesign":
        """The initial design of the multi-fidelity facade behind the starts."""
        from smac.initial_design.random_design import RandomInitialDesign

        first = [self._configuration(self._space.complete(config)) for config in starts]

        class Design(RandomInitialDesign):
            def _select_configurations(self) -> "list[Configuration]":
                return [*first, *super()._select_configurations()]

        # The numbers are the facade's own.
        return Design(scenario=scenario, n_configs_per_hyperparameter=10, max_ratio=0.25)

    def _tell_crashed(self) -> None:
        from smac.runhistory import StatusType, TrialValue

        if self._worst is None:
            return
        for info in self._crashed:
            value = TrialValue(cost=self._worst, status=StatusType.CRASHED)
            self._facade.tell(info, value, save=False)
        self._crashed = []


class SmacOptimiser(Optimiser):
    """SMAC without fidelities."""

    def __init__(self, study: SmacStudy) -> None:
        self._study = study
        self._infos: dict[int, TrialInfo] = {}

    def ask(self, trial_id: int) -> Config | None:
        info = self._study.ask()
        if info is None:
            return None
        self._infos[trial_id] = info
        return self._study.config(info)

    def attach(self, trial_id: int, config: Config) -> None:
        self._infos[trial_id] = self._study.attach(config)

    def tell(self, trial_id: int, score: float) -> None:
        self._study.tell(self._infos[trial_id], score)

    def fail(self, trial_id: int) -> None:
        self._study.fail(self._infos[trial_id])

    def withdraw(self, trial_id: int) -> None:
        """Stays running for SMAC: a crash there would be a bad cost where nothing was tried."""


class SmacHyperband:
    """SMAC's Hyperband: every answer of SMAC is a config and how far it is to be trained."""

    def __init__(self, name: str, study: SmacStudy) -> None:
        self._name = name
        self._study = study
        self._open: dict[int, TrialInfo] = {}
        self._trial_of: dict[Configuration, int] = {}

    @property
    def name(self) -> str:
        """What the move log calls it."""
        return self._name

    def propose(
        self, study: Study, rng: np.random.Generator, *, lane: int = 0
    ) -> Suggestion | None:
        """What SMAC asks for, new or promoted."""
        del rng
        self._catch_up(study)
        while (info := self._study.ask()) is not None:
            trial_id = self._trial_of.get(info.config)
            if trial_id is None:
                return self._start(study, info, lane) if study.num_trials_left else None
            trial = study.trials[trial_id]
            if trial.is_paused and trial.fidelity < _epochs(info):
                self._open[trial_id] = info
                return continuation(trial, _epochs(info), proposer=self.name, lane=lane)
            # Crashed earlier, or two budgets round to the same epoch.
            self._tell(study, trial, info)
        return None

    def _start(self, study: Study, info: "TrialInfo", lane: int) -> Suggestion:
        trial_id = len(study.trials)
        self._open[trial_id] = info
        self._trial_of[info.config] = trial_id
        config = self._study.config(info)
        return start(config, _epochs(info), proposer=self.name, lane=lane)

    def _catch_up(self, study: Study) -> None:
        for trial_id, info in list(self._open.items()):
            trial = study.trials[trial_id]
            if trial.status is not TrialStatus.RUNNING:
                del self._open[trial_id]
                self._tell(study, trial, info)

    def _tell(self, study: Study, trial: Trial, info: "TrialInfo") -> None:
        """At the full budget what counts is the best of the trial, below it the last."""
        is_full = trial.status is TrialStatus.COMPLETED
        score = study.best_score(trial) if is_full else study.score_at(trial, trial.fidelity)
        if score is None:
            self._study.fail(info)
        else:
            self._study.tell(info, score)


def _epochs(info: "TrialInfo") -> Fidelity:
    assert info.budget is not None
    return max(1, round(info.budget))


def _configspace(space: SearchSpace, seed: int) -> "ConfigurationSpace":
    """The space in ConfigSpace's words; constants stay out of it."""
    from ConfigSpace import ConfigurationSpace

    made = ConfigurationSpace(seed=seed)
    for item in space.searched:
        made.add(_hyperparameter(item))
    for item in space.searched:
        made.add(*_conditions(space, item, made))
    made.add(*_forbidden(space, made))
    return made


def _hyperparameter(item: Hyperparameter) -> Any:
    import ConfigSpace

    default = encoded(item, item.domain.default_value)
    match item.domain:
        case Float(low=low, high=high, log=log):
            return ConfigSpace.UniformFloatHyperparameter(
                item.name, low, high, default_value=default, log=log
            )
        case Integer(low=low, high=high, log=log):
            return ConfigSpace.UniformIntegerHyperparameter(
                item.name, low, high, default_value=default, log=log
            )
        case Ordinal(values=values):
            return ConfigSpace.OrdinalHyperparameter(
                item.name, range(len(values)), default_value=default
            )
        case Categorical(values=values):
            return ConfigSpace.CategoricalHyperparameter(
                item.name, range(len(values)), default_value=default
            )
    raise AssertionError(item.domain)


def _conditions(space: SearchSpace, item: Hyperparameter, made: "ConfigurationSpace") -> list[Any]:
    """At most one condition: all parents must have one of their values."""
    import ConfigSpace

    clauses = [
        ConfigSpace.InCondition(made[item.name], made[parent], _encoded(space[parent], values))
        for parent, values in item.when.items()
        if parent in made
    ]
    return [ConfigSpace.AndConjunction(*clauses)] if len(clauses) > 1 else clauses


def _forbidden(space: SearchSpace, made: "ConfigurationSpace") -> list[Any]:
    import ConfigSpace

    rules = []
    for rule in space.forbid:
        if any(space.default.get(name) not in rule[name] for name in rule if name not in made):
            continue
        clauses = [
            ConfigSpace.ForbiddenInClause(made[name], _encoded(space[name], values))
            for name, values in rule.items()
            if name in made
        ]
        rules.append(
            ConfigSpace.ForbiddenAndConjunction(*clauses) if len(clauses) > 1 else clauses[0]
        )
    return rules


def _encoded(item: Hyperparameter, values: tuple[Value, ...]) -> list[Value]:
    return [encoded(item, value) for value in values]


def _make(task: SearchTask, budget: Budget, *, seed: int, starts: Starts) -> Proposer:
    """All trials at full fidelity."""
    assert budget.trials is not None
    study = SmacStudy(
        task.space, "HyperparameterOptimizationFacade", num_trials=budget.trials, seed=seed
    )
    return AskedAndTold("SMAC3", SmacOptimiser(study), starts=starts)


def _in_budgets(name: str, plan: Callable[[SearchTask], FidelityPlan]) -> Arm:
    """An arm of the multi-fidelity facade."""

    def make(task: SearchTask, budget: Budget, *, seed: int, starts: Starts) -> Proposer:
        from smac.intensifier.hyperband_utils import get_n_trials_for_hyperband_multifidelity

        assert budget.trainings is not None
        low, high = float(plan(task).rungs[0]), float(task.max_fidelity)
        study = SmacStudy(
            task.space,
            "MultiFidelityFacade",
            num_trials=get_n_trials_for_hyperband_multifidelity(
                budget.trainings * high, low, high, _ETA, print_summary=False
            ),
            seed=seed,
            budgets=(low, high),
            starts=starts,
        )
        return SmacHyperband(name, study)

    return Arm(name=name, group="peer", make=make, version=_VERSION, plan=plan)


# On a pool it was still searching for one config after seven minutes, with others left open.
ARMS = (Arm(name="SMAC3", group="peer", make=_make, version=_VERSION, searches_pools=False),)
EPOCH_ARMS = (
    _in_budgets("SMAC3 multi-fidelity", rungs(_ETA, first=1)),
    _in_budgets("SMAC3 multi-fidelity, tuned", rungs(_ETA, first=None)),
)
