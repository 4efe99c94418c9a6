"""Priors: where a user believes the good values of a hyperparameter to lie, on its unit range."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_DOUBT = 0.1
"""Share of a uniform in every prior: what it rules out stays possible, at a bounded price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior(ABC):
    """A distribution over [0, 1], on which values lie as `Domain.to_unit` puts them."""

    @abstractmethod
    def log_density(self, units_N: Array) -> Array:
        """The logarithm of the density over its highest value, (N,), at most 0."""

    @abstractmethod
    def quantile(self, shares_N: Array) -> Array:
        """The places below which these shares of the prior lie, (N,): draws from uniform draws."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """A JSON value from which `prior_from_json` makes an equal prior."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalPrior(Prior):
    """Around `mean`, two thirds of it within `std`, both in unit ranges; cut off at 0 and 1."""

    mean: float
    std: float

    def log_density(self, units_N: Array) -> Array:
        z_N = (units_N - self.mean) / self.std
        low, high = self._ends
        # The uniform's height where the normal's is 1.
        flat = self.std * np.sqrt(2 * np.pi) * (high - low)
        mixed = (1 - _DOUBT) * np.exp(-0.5 * z_N**2) + _DOUBT * flat
        relative: Array = np.log(mixed / (1 - _DOUBT + _DOUBT * flat))
        return relative

    def quantile(self, shares_N: Array) -> Array:
        normal = NormalDist(self.mean, self.std)
        low, high = self._ends
        inside_N = np.clip(low + shares_N * (high - low), 1e-12, 1 - 1e-12)
        return np.clip([normal.inv_cdf(share) for share in inside_N.tolist()], 0.0, 1.0)

    @property
    def _ends(self) -> tuple[float, float]:
        """The shares of the whole normal that lie below 0 and below 1."""
        normal = NormalDist(self.mean, self.std)
        return normal.cdf(0.0), normal.cdf(1.0)

    def to_json(self) -> dict[str, Any]:
        return {"mean": self.mean, "std": self.std}


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsPrior(Prior):
    """One weight above 0 for each level of a listed hyperparameter, in its order."""

    weights: tuple[float, ...]

    def log_density(self, units_N: Array) -> Array:
        shares = self._shares
        level_N = np.minimum((units_N * len(shares)).astype(int), len(shares) - 1)
        relative: Array = np.log(shares[level_N] / shares.max())
        return relative

    def quantile(self, shares_N: Array) -> Array:
        ends = np.cumsum(self._shares)
        level_N = np.minimum(np.searchsorted(ends, shares_N, side="right"), len(ends) - 1)
        places: Array = (level_N + 0.5) / len(ends)
        return places

    @property
    def _shares(self) -> Array:
        shares = np.array(self.weights) / np.sum(self.weights)
        mixed: Array = (1 - _DOUBT) * shares + _DOUBT / len(shares)
        return mixed

    def to_json(self) -> dict[str, Any]:
        return {"weights": list(self.weights)}


def prior_from_json(data: Mapping[str, Any]) -> Prior:
    """Reads what `Prior.to_json` wrote."""
    if "weights" in data:
        return WeightsPrior(weights=tuple(data["weights"]))
    return NormalPrior(mean=data["mean"], std=data["std"])
