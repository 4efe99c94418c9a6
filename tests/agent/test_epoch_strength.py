"""The floor against random starts with ASHA at equal epochs, by either rule of promotion."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from agent.landscapes import MIXED, floats
from lexmove.agent.baselines import make_proposer
from lexmove.agent.simulated_workers import KnownObjective, SimulatedWorkers
from lexmove.space.domain import Value
from lexmove.space.search_space import SearchSpace
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.protocols import Report
from lexmove.study.study import StudySpec, decision_rng
from lexmove.study.trial import Measurement, Segment
from lexmove.trials.simulated import SimulatedObjective

PLAN = FidelityPlan(maximum=27, eta=2)
TRAININGS = (5, 10)
SEEDS = range(4)
FAMILIES: dict[str, SearchSpace] = {"exponential": floats(3), "power law": MIXED}


class PowerLaw:
    """Curves whose height and pace are landscapes of their own, so that they cross."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._seed = seed
        self._heights = SimulatedObjective(space=space, seed=seed, noise_std=0.0)
        self._delays = SimulatedObjective(space=space, seed=seed + 1000, noise_std=0.0)

    def value(self, config: Mapping[str, Value], fidelity: int) -> float:
        half_life = 0.5 * PLAN.maximum ** (0.7 * self._delays.value(config))
        return self._heights.value(config) * (1 - (1 + fidelity / half_life) ** -1.2)

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        for fidelity in range(segment.after + 1, segment.until + 1):
            noise = np.random.default_rng([self._seed, segment.seed, fidelity]).normal(scale=0.01)
            value = self.value(segment.config, fidelity) + float(noise)
            report(Measurement(fidelity=fidelity, metrics={"value": value}, checkpoint="kept"))


def _objective(family: str, seed: int) -> KnownObjective:
    if family == "power law":
        return PowerLaw(FAMILIES[family], seed)
    return SimulatedObjective(space=FAMILIES[family], seed=seed, max_fidelity=PLAN.maximum)


@cache
def _reached(family: str, seed: int, proposer: str, promotion: str = "asha") -> Mapping[int, float]:
    """The true value of the incumbent after so many full trainings' worth of epochs."""
    objective = _objective(family, seed)
    spec = StudySpec(
        name="s",
        space=FAMILIES[family],
        fidelity=replace(PLAN, promotion=promotion),
        num_trials=TRAININGS[-1] * PLAN.maximum,
        seed=seed,
    )
    workers, rule = SimulatedWorkers(spec, objective), make_proposer(proposer)
    reached: dict[int, float] = {}
    for trainings in TRAININGS:
        while sum(trial.fidelity for trial in workers.study.trials) < trainings * PLAN.maximum:
            if workers.has_free_worker:
                suggestion = rule.propose(workers.study, decision_rng(workers.study))
                assert suggestion is not None
                workers.start(suggestion)
            workers.advance()
        incumbent = workers.study.incumbent
        assert incumbent is not None
        config = workers.study.trials[incumbent.trial_id].config
        reached[trainings] = objective.value(config, incumbent.fidelity)
    return reached


# Measured mean value, by gain per epoch | by ASHA | random starts with ASHA. After five trainings:
# exponential .75 | .77 | .68, power law .71 | .62 | .61; 7 and 5 of 8 pairs won. After ten:
# .85 | .85 | .78, .74 | .70 | .66; 8 and 7 of 8.
@pytest.mark.slow  # twenty seconds each, alone
@pytest.mark.parametrize("promotion", ["asha", "gain_per_epoch"])
def test_the_floor_beats_random_starts_at_equal_epochs(promotion: str) -> None:
    pairs = [
        (_reached(family, seed, "floor", promotion), _reached(family, seed, "random"))
        for family in FAMILIES
        for seed in SEEDS
    ]
    for trainings in TRAININGS:
        ours = np.array([mine[trainings] for mine, _ in pairs])
        theirs = np.array([other[trainings] for _, other in pairs])
        assert ours.mean() > theirs.mean() + 0.03
        # By chance, 6 or more of 8 come up in 14 % of the cases. Sobol points until three trials
        # are trained to the end leave ASHA's floor 5 after five trainings (it was 7): over 24 seeds
        # they are level there (agent/README.md).
        if trainings == 10 or promotion == "gain_per_epoch":
            assert (ours > theirs).sum() >= 6
