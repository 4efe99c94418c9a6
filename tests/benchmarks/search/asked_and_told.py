"""How a peer enters the benchmark: it is told every result of the study, then asked what is next.

The wrapper keeps to what a user of the peer would do in a loop of ask and tell. What a trial is
told to be worth is the best that it measured: the benchmark's incumbent is the best measurement
of a study, and a user who keeps the best checkpoint reports the same.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from benchmarks.search.task import SearchTask
from lexmove.space.domain import Categorical, Float, Integer, Ordinal, Value
from lexmove.space.move import Move
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.fidelity import Fidelity, FidelityPlan
from lexmove.study.protocols import Proposer
from lexmove.study.study import Study
from lexmove.study.trial import Decision, Suggestion, Trial, TrialStatus

Encoded = Value | None
"""A value as a peer sees it; None where it says that a hyperparameter is inactive."""

Starts = Sequence[Mapping[str, Value]]
"""Configs to try before anything else, in this order."""

_NUM_ASKS = 20
"""A peer that knows no `forbid` is asked this often for an allowed config, then one is drawn."""


class Optimiser(ABC):
    """One study of a peer's own optimiser. Trials go by the study's ids; higher is better."""

    @abstractmethod
    def ask(self, trial_id: int) -> Config | None:
        """What the peer wants for a trial, which is pending from then on; None for nothing.

        After `fail`, it may be asked for the same trial again.
        """

    @abstractmethod
    def attach(self, trial_id: int, config: Config) -> None:
        """A trial that the peer did not ask for has started and is pending."""

    @abstractmethod
    def tell(self, trial_id: int, score: float) -> None:
        """The trial was trained to the end."""

    @abstractmethod
    def fail(self, trial_id: int) -> None:
        """The trial has no result, and none will come."""

    def withdraw(self, trial_id: int) -> None:
        """What was asked for the trial is not tried; another config will be attached to it."""
        self.fail(trial_id)

    def report(self, trial_id: int, fidelity: Fidelity, score: float) -> None:
        """The trial measured something on its way."""
        del trial_id, fidelity, score

    def goes_on(self, trial_id: int) -> bool:
        """Whether a trial that waits at a rung is to go on; asked once for each pause."""
        del trial_id
        return True


class AskedAndTold:
    """A proposer around an optimiser; it remembers one study, so every study needs its own.

    `starts` are tried before anything else. What the optimiser lets go on goes on before
    anything new starts; what it stops stays paused for ever.
    """

    def __init__(self, name: str, optimiser: Optimiser, *, starts: Starts = ()) -> None:
        self._name = name
        self._optimiser = optimiser
        self._starts = list(starts)
        self._known: dict[int, Config] = {}
        self._reported: dict[int, Fidelity] = {}
        self._judged: dict[int, Fidelity] = {}
        self._closed: set[int] = set()

    @property
    def name(self) -> str:
        """What the move log calls it."""
        return self._name

    def propose(
        self, study: Study, rng: np.random.Generator, *, lane: int = 0
    ) -> Suggestion | None:
        """A continuation, else a start config, else what the peer asks for."""
        for trial in study.trials:
            if trial.trial_id not in self._closed:
                self._catch_up(study, trial)
        for trial in study.with_status(TrialStatus.PAUSED):
            if trial.trial_id not in self._closed:
                until = study.spec.fidelity.next_rung(trial.fidelity)
                return continuation(trial, until, proposer=self.name, lane=lane)
        if not study.num_trials_left:
            return None
        config = self._new(study.spec.space, len(study.trials), rng)
        if config is None:
            return None
        self._known[len(study.trials)] = config
        return start(config, study.spec.fidelity.rungs[0], proposer=self.name, lane=lane)

    def _catch_up(self, study: Study, trial: Trial) -> None:
        """Tells what is new about one trial."""
        index = trial.trial_id
        if self._known.get(index) != trial.config:
            if index in self._known:
                self._optimiser.withdraw(index)
            self._known[index] = trial.config
            self._optimiser.attach(index, trial.config)
        for fidelity, score in measured(study, trial, after=self._reported.get(index, 0)):
            self._optimiser.report(index, fidelity, score)
            self._reported[index] = fidelity
        if trial.status.is_final:
            self._closed.add(index)
            best = study.best_score(trial)
            if best is None:
                self._optimiser.fail(index)
            else:
                self._optimiser.tell(index, best)
        elif trial.is_paused and self._judged.get(index) != trial.fidelity:
            self._judged[index] = trial.fidelity
            if not self._optimiser.goes_on(index):
                self._closed.add(index)

    def _new(self, space: SearchSpace, trial_id: int, rng: np.random.Generator) -> Config | None:
        """A start config, else the peer's next allowed one; asking in vain costs no trial."""
        if self._starts:
            config = space.complete(self._starts.pop(0))
            self._optimiser.attach(trial_id, config)
            return config
        for _ in range(_NUM_ASKS):
            asked = self._optimiser.ask(trial_id)
            if asked is None or space.is_valid(asked):
                return asked
            self._optimiser.fail(trial_id)
        config = space.sample(rng)
        self._optimiser.attach(trial_id, config)
        return config


class StartsFirst:
    """A proposer without memory of its own behind the configs that are tried first."""

    def __init__(self, proposer: Proposer, *, starts: Starts = ()) -> None:
        self._proposer = proposer
        self._starts = tuple(starts)

    @property
    def name(self) -> str:
        """What the move log calls it."""
        return self._proposer.name

    def propose(
        self, study: Study, rng: np.random.Generator, *, lane: int = 0
    ) -> Suggestion | None:
        """A start config while there are any, else what the proposer says."""
        index = len(study.trials)
        if index < len(self._starts) and study.num_trials_left:
            until = study.spec.fidelity.rungs[0]
            config = study.spec.space.complete(self._starts[index])
            return start(config, until, proposer=self.name, lane=lane)
        return self._proposer.propose(study, rng, lane=lane)


def start(config: Config, until: Fidelity, *, proposer: str, lane: int) -> Suggestion:
    """The suggestion of a new trial."""
    decision = Decision(proposer=proposer, expert=proposer, lane=lane)
    return Suggestion(config=config, until=until, decision=decision)


def continuation(trial: Trial, until: Fidelity, *, proposer: str, lane: int) -> Suggestion:
    """The suggestion to go on with a paused trial from its checkpoint."""
    decision = Decision(
        proposer=proposer,
        expert=proposer,
        text=f"continue trial {trial.trial_id} from {trial.fidelity} to {until}",
        move=Move(origin=trial.trial_id, changes={}),
        lane=lane,
    )
    return Suggestion(config=trial.config, until=until, decision=decision, trial_id=trial.trial_id)


def measured(study: Study, trial: Trial, *, after: Fidelity) -> Iterator[tuple[Fidelity, float]]:
    """The fidelities above `after` at which a trial has a score, with the score, ascending."""
    for measurement in trial.measurements:
        if measurement.fidelity > after:
            score = study.score_at(trial, measurement.fidelity)
            if score is not None:
                yield measurement.fidelity, score


def is_conditional(space: SearchSpace) -> bool:
    """Whether some hyperparameter is active only under others' values."""
    return any(item.when for item in space.hyperparameters)


def encoded(item: Hyperparameter, value: Value) -> Value:
    """A value as peers are given it: listed values by their index, numbers as they are."""
    domain = item.domain
    if isinstance(domain, Ordinal | Categorical):
        return next(
            index
            for index, known in enumerate(domain.values)
            if known == value and isinstance(known, bool) == isinstance(value, bool)
        )
    return value


def encoded_all(space: SearchSpace, config: Config) -> dict[str, Value]:
    """Every searched hyperparameter of a config as peers see it, inactive ones at their default."""
    return {
        item.name: encoded(item, config.get(item.name, item.domain.default_value))
        for item in space.searched
    }


def decoded(space: SearchSpace, answer: Mapping[str, Encoded]) -> Config:
    """The config of a peer's answer: inactive values dropped, rounding errors at bounds undone."""
    values: dict[str, Value] = {}
    for item in space.searched:
        value = answer.get(item.name)
        if value is not None:
            values[item.name] = _decoded(item, value)
    return space.complete(values)


def _decoded(item: Hyperparameter, value: Value) -> Value:
    match item.domain:
        case Float(low=low, high=high):
            return min(high, max(low, float(value)))
        case Integer(low=low, high=high):
            return min(high, max(low, round(float(value))))
        case Ordinal(values=values) | Categorical(values=values):
            return values[int(value)]
    raise AssertionError(item.domain)


def rungs(eta: int, *, first: Fidelity | None) -> Callable[[SearchTask], FidelityPlan]:
    """The plan of every task; without `first`, the first rung is this project's, maximum / 13."""

    def plan(task: SearchTask) -> FidelityPlan:
        return FidelityPlan(maximum=task.max_fidelity, eta=eta, first=first)

    return plan


def version_of(distribution: str, *, wrapper: int) -> str:
    """What an arm's figures depend on: the peer's installed version and its wrapper's."""
    try:
        return f"{distribution} {version(distribution)}/{wrapper}"
    except PackageNotFoundError:
        return f"{distribution} is not installed/{wrapper}"
