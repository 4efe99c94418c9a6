"""Past studies as tasks to learn from: what their surrogate believes, with its doubts drawn."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lexmove.agent.encoding import Array, Encoding, nearest
from lexmove.agent.history import read_history
from lexmove.agent.pretraining.response_surfaces import Surface, draw_latent, draw_process
from lexmove.agent.pretraining.synthetic_objective import CrashRegion, SyntheticObjective
from lexmove.agent.pretraining.task_families import FamilyMix, linear_field
from lexmove.agent.simulated_workers import KnownObjective
from lexmove.agent.surrogate import Surrogate
from lexmove.space.search_space import SearchSpace
from lexmove.study.study import Study

MIN_RESULTS = 12
"""Trials with a result that a study needs to say something about its space."""


@dataclass(frozen=True, kw_only=True)
class PosteriorSurface:
    """The surrogate's mean plus its standard deviation times a random function of unit variance.

    About a draw from the posterior: it agrees with what was measured and differs, from seed to
    seed, where nothing was. In units of the study's scores, 0 at its incumbent.
    """

    surrogate: Surrogate
    doubt: Surface

    def __call__(self, units_ND: Array) -> Array:
        """Scores (N,)."""
        prediction = self.surrogate.predict(units_ND, np.ones(len(units_ND)))
        scores: Array = prediction.gains + prediction.gain_stds * self.doubt(units_ND)
        return scores


@dataclass(frozen=True, kw_only=True)
class NearestFailed:
    """1 where the nearest trial of a study failed, else 0; `tried` and `failed` are (N, D)."""

    tried: Array
    failed: Array

    def __call__(self, units_ND: Array) -> Array:
        """Zeros and ones (N,)."""
        is_nearer = nearest(units_ND, self.failed) < nearest(units_ND, self.tried)
        flags: Array = is_nearer.astype(float)
        return flags


@dataclass(frozen=True, kw_only=True)
class StudyMix:
    """A `MakeObjective`: with probability `ratio` one of the studies, else of the families.

    Studies with fewer than `MIN_RESULTS` results must be left out before.
    """

    studies: tuple[Study, ...]
    families: FamilyMix = field(default_factory=FamilyMix)
    ratio: float = 0.5
    _surrogates: dict[str, Surrogate] = field(default_factory=dict, compare=False, repr=False)

    @property
    def weights(self) -> dict[str, float]:
        """What is drawn from, by its share of the tasks, for the recipe."""
        ratio, families = (self.ratio if self.studies else 0.0), self.families.weights
        shares = {f"study {study.spec.name}": ratio / len(self.studies) for study in self.studies}
        scale = (1.0 - ratio) / sum(families.values())
        return {**shares, **{name: scale * weight for name, weight in families.items()}}

    def __call__(self, seed: int) -> tuple[SearchSpace, KnownObjective]:
        """The task of a seed."""
        rng = np.random.default_rng([seed, 1])
        if not self.studies or rng.random() >= self.ratio:
            return self.families(seed)
        study = self.studies[int(rng.integers(len(self.studies)))]
        name = study.spec.name
        if name not in self._surrogates:
            encoding = Encoding(study.spec.space)
            self._surrogates[name] = Surrogate(read_history(study, encoding), encoding)
        return study.spec.space, study_objective(study, self._surrogates[name], rng)


def study_objective(
    study: Study, surrogate: Surrogate, rng: np.random.Generator
) -> SyntheticObjective:
    """A task that looks like a study: its space, about its scores, its noise and its failures."""
    encoding, history = Encoding(study.spec.space), surrogate.history
    here = surrogate.predict(encoding.default[None], np.ones(1))
    spread = float(here.gain_stds[0] / here.stds[0, 0])
    is_scored = ~history.failed
    crash = None
    if history.failed.any() and is_scored.any():
        level = NearestFailed(tried=history.units[is_scored], failed=history.units[history.failed])
        crash = CrashRegion(level=level, threshold=0.5, is_memory=True)
    return SyntheticObjective(
        family=f"study {study.spec.name}",
        encoding=encoding,
        surface=PosteriorSurface(
            surrogate=surrogate,
            doubt=draw_process(rng, draw_latent(rng, encoding, irrelevant=0.0), smoothness=2.5),
        ),
        cost=linear_field(rng, encoding),
        noise=surrogate.noise * spread,
        crash=crash,
        seed=int(rng.integers(2**31)),
    )


def usable(studies: Sequence[Study]) -> tuple[Study, ...]:
    """The studies with enough results to learn from."""
    return tuple(
        study
        for study in studies
        if study.spec.space.searched and len(study.ranking) >= MIN_RESULTS
    )
