"""Baselines: random, Sobol and hill climbing, under the same budget and continuation rules."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import numpy as np

from lexmove.agent.candidates import overlooked
from lexmove.agent.encoding import SAME_TOLERANCE, Array, Encoding, is_apart
from lexmove.agent.floor import FloorProposer
from lexmove.agent.ledger import Ledger
from lexmove.agent.portfolio import asked_suggestion, sobol_point
from lexmove.errors import UsageError, did_you_mean
from lexmove.space.move import Move, apply_move, describe, legal_moves, move_between
from lexmove.space.search_space import Config
from lexmove.study.fidelity import promotable
from lexmove.study.protocols import Proposer
from lexmove.study.study import Study
from lexmove.study.trial import Decision, Suggestion

_NUM_DRAWS = 1024


class _Baseline(ABC):
    """Continues what ASHA would, else starts what the user asks for or what was not tried."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What the move log calls it."""

    def propose(
        self, study: Study, rng: np.random.Generator, *, lane: int = 0
    ) -> Suggestion | None:
        """A continuation, else a start; None when neither is possible."""
        for trial_id in promotable(study):
            return _continuation(study, trial_id, proposer=self.name, lane=lane)
        if not study.num_trials_left:
            return None
        ledger = Ledger.of(study)
        encoding, seen = ledger.encoding, ledger.units
        asked = asked_suggestion(study, encoding, seen, proposer=self.name, lane=lane)
        if asked is not None:
            return asked
        config = self._start(study, encoding, seen, rng)
        if config is None:
            return None
        decision = self._decision(study, config, lane)
        return Suggestion(config=config, until=study.spec.fidelity.rungs[0], decision=decision)

    @abstractmethod
    def _start(
        self, study: Study, encoding: Encoding, seen_ND: Array, rng: np.random.Generator
    ) -> Config | None:
        """A new config; None when all have been tried."""

    def _decision(self, study: Study, config: Config, lane: int) -> Decision:
        best = study.incumbent
        origin = None if best is None else best.trial_id
        before = study.spec.space.default if origin is None else study.trials[origin].config
        return Decision(
            proposer=self.name,
            expert=self.name,
            text=describe(study.spec.space, before, config),
            move=move_between(study.spec.space, before, config, origin=origin),
            lane=lane,
        )


def _continuation(study: Study, trial_id: int, *, proposer: str, lane: int) -> Suggestion:
    trial = study.trials[trial_id]
    until = study.spec.fidelity.next_rung(trial.fidelity)
    decision = Decision(
        proposer=proposer,
        expert="asha",
        text=f"continue trial {trial_id} from {trial.fidelity} to {until}",
        move=Move(origin=trial_id, changes={}),
        lane=lane,
    )
    return Suggestion(config=trial.config, until=until, decision=decision, trial_id=trial_id)


def draw_new(encoding: Encoding, seen_ND: Array, rng: np.random.Generator) -> Config | None:
    """A draw among the allowed configs that were not tried; None when there are none.

    By the priors where there are any, else uniform; so are the configs of a small discrete space.
    """
    points = encoding.enumerated
    if points is None:
        points = encoding.snap(encoding.believed(rng.random((_NUM_DRAWS, encoding.num_dims))))
        points = points[~encoding.forbidden(points)]
    else:
        points = rng.permutation(points)
    drawn = _first_new(encoding, points, seen_ND)
    if drawn is not None:
        return drawn
    return _first_new(encoding, rng.permutation(overlooked(encoding, seen_ND, rng)), seen_ND)


def _first_new(encoding: Encoding, points_MD: Array, seen_ND: Array) -> Config | None:
    for units in points_MD[is_apart(points_MD, seen_ND, SAME_TOLERANCE)]:
        config = encoding.config(units)
        if encoding.space.is_valid(config):
            return config
    return None


class RandomProposer(_Baseline):
    """Uniform draws."""

    @property
    def name(self) -> str:
        return "random"

    def _start(
        self, study: Study, encoding: Encoding, seen_ND: Array, rng: np.random.Generator
    ) -> Config | None:
        return draw_new(encoding, seen_ND, rng)


class SobolProposer(_Baseline):
    """The study's scrambled Sobol sequence, its index the number of trials."""

    @property
    def name(self) -> str:
        return "sobol"

    def _start(
        self, study: Study, encoding: Encoding, seen_ND: Array, rng: np.random.Generator
    ) -> Config | None:
        units = sobol_point(study, encoding, seen_ND)
        return draw_new(encoding, seen_ND, rng) if units is None else encoding.config(units)


class HillClimbingProposer(_Baseline):
    """The default first, then a random new legal move from the incumbent."""

    @property
    def name(self) -> str:
        return "hill_climbing"

    def _start(
        self, study: Study, encoding: Encoding, seen_ND: Array, rng: np.random.Generator
    ) -> Config | None:
        space = study.spec.space
        if not study.trials:
            return space.default
        best = study.incumbent
        origin = None if best is None else best.trial_id
        config = space.default if origin is None else study.trials[origin].config
        moves = legal_moves(space, config, origin=origin)
        for index in rng.permutation(len(moves)):
            target = apply_move(space, config, moves[index])
            if is_apart(space.to_unit(target)[None], seen_ND, SAME_TOLERANCE)[0]:
                return target
        return draw_new(encoding, seen_ND, rng)


def _policy() -> Proposer:
    # Imported here: torch takes seconds to load and the baselines do without it.
    from lexmove.agent.proposer import PolicyProposer

    return PolicyProposer()


PROPOSERS: Mapping[str, Callable[[], Proposer]] = {
    "policy": _policy,
    "floor": FloorProposer,
    "random": RandomProposer,
    "sobol": SobolProposer,
    "hill_climbing": HillClimbingProposer,
}
"""Every proposer by the name that a job gives it."""


def check_proposer(name: str) -> None:
    """Refuses an unknown name.

    Raises:
        UsageError: there is no proposer of that name.
    """
    if name not in PROPOSERS:
        raise UsageError(f"unknown proposer {name!r}{did_you_mean(name, tuple(PROPOSERS))}")


def make_proposer(name: str) -> Proposer:
    """The proposer of that name.

    Raises:
        UsageError: there is none.
    """
    check_proposer(name)
    return PROPOSERS[name]()
