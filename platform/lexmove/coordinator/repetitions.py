"""Repetitions: given configs trained again with fresh seeds, as a study of their own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lexmove.space.search_space import Config
from lexmove.study.fidelity import Fidelity
from lexmove.study.study import Study
from lexmove.study.trial import Decision, Suggestion


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedConfig:
    """A config to repeat up to a fidelity; `arm` names it in the results."""

    arm: str
    config: Config
    until: Fidelity


@dataclass(frozen=True, slots=True, kw_only=True)
class RepetitionProposer:
    """Suggests every config once per seed, the first seed of all configs first.

    All configs share the seeds, so that their differences are paired.
    """

    configs: Sequence[RepeatedConfig]
    seeds: Sequence[int]

    @property
    def name(self) -> str:
        return "repetition"

    @property
    def num_trials(self) -> int:
        """How many trials the repetitions take."""
        return len(self.configs) * len(self.seeds)

    def propose(
        self, study: Study, rng: np.random.Generator, *, lane: int = 0
    ) -> Suggestion | None:
        """The next repetition in order; None when all were started."""
        index = len(study.trials)
        if index >= self.num_trials:
            return None
        repetition, position = divmod(index, len(self.configs))
        repeated = self.configs[position]
        return Suggestion(
            config=repeated.config,
            until=repeated.until,
            seed=self.seeds[repetition],
            decision=Decision(
                proposer=self.name,
                expert=repeated.arm,
                text=f"repetition {repetition + 1} of {len(self.seeds)}",
                lane=lane,
            ),
        )
