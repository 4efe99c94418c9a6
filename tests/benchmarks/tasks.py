"""The 19 simulated tasks on which proposers are compared; higher is better, nothing is noisy.

Branin and Hartmann are those of the agent's tests; Levy and Ackley are in Surjanovic and Bingham,
Virtual Library of Simulation Experiments (sfu.ca/~ssurjano). The twelve random functions are
random Fourier features (Rahimi and Recht 2007) of a Matérn-5/2 kernel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agent.landscapes import Landscape, branin, floats, hartmann6
from lexmove.space.domain import Categorical, Domain, Float, Integer, Ordinal, Value
from lexmove.space.search_space import Hyperparameter, SearchSpace

NUM_RANDOM_FUNCTIONS = 12

_NUM_DRAWS = 3000
_NUM_CLIMBS = 5
_NUM_STEPS = 600
_NUM_FEATURES = 256
_MAX_LEVELS = 6
_IRRELEVANT = 20.0
"""A length-scale on which nothing changes within the unit range."""


@dataclass(frozen=True)
class Task:
    """A space, its objective, and the scale on which regret is measured."""

    name: str
    space: SearchSpace
    objective: Landscape

    @cached_property
    def best(self) -> float:
        """The best value that uniform draws and a climb from each of the best five found."""
        rng, configs, values = self._draws
        climbs = [
            self._climb(self.space.to_unit(configs[index]), values[index], rng)
            for index in np.argsort(-values)[:_NUM_CLIMBS]
        ]
        return max(climbs)

    @cached_property
    def median(self) -> float:
        """The median value of uniform draws."""
        return float(np.median(self._draws[2]))

    @property
    def _draws(self) -> tuple[np.random.Generator, list[Mapping[str, Value]], NDArray[np.float64]]:
        rng = np.random.default_rng(7)
        configs = [self.space.sample(rng) for _ in range(_NUM_DRAWS)]
        return rng, configs, np.array([self.objective(config) for config in configs])

    def _climb(self, units: NDArray[np.float64], value: float, rng: np.random.Generator) -> float:
        """Random steps from `units`, longer after a success and shorter after a failure."""
        step = 0.1
        for _ in range(_NUM_STEPS):
            moved = rng.standard_normal(len(units)) * (rng.random(len(units)) < 0.5)
            near = np.clip(units + step * moved, 0, 1)
            if rng.random() < 0.2:
                # A jump in one dimension: categories have no near.
                dim = rng.integers(len(units))
                near[dim] = rng.random()
            config = self.space.from_unit(near)
            reached = self.objective(config)
            if reached > value:
                units, value = self.space.to_unit(config), reached
                step = min(0.3, step * 1.3)
            else:
                step = max(1e-3, step * 0.97)
        return value

    def regret(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Regret of the best so far after each of `values`: 0 the best, 1 the median draw."""
        incumbents = np.maximum.accumulate(values)
        return np.maximum(0.0, (self.best - incumbents) / (self.best - self.median))


def _units(config: Mapping[str, Value]) -> NDArray[np.float64]:
    return np.array([float(value) for value in config.values()])


def levy(config: Mapping[str, Value]) -> float:
    """Levy's function in [-10, 10]: valleys within valleys; the optimum is at 1."""
    w = 1 + (20 * _units(config) - 11) / 4
    first = np.sin(np.pi * w[0]) ** 2
    middle = np.sum((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2))
    last = (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2)
    return -float(first + middle + last)


def ackley(config: Mapping[str, Value]) -> float:
    """Ackley's function in [-33.3, 31.7], so that the optimum is not the middle."""
    x = 65 * _units(config) - 33.3
    far = 20 * np.exp(-0.2 * np.sqrt(np.mean(x * x)))
    return float(far + np.exp(np.mean(np.cos(2 * np.pi * x))) - 20 - np.e)


FINE_TUNING = SearchSpace(
    hyperparameters=(
        Hyperparameter(
            name="learning_rate", domain=Float(low=1e-6, high=1e-3, log=True, default=2e-5)
        ),
        Hyperparameter(name="batch_size", domain=Ordinal(values=(8, 16, 32, 64))),
        Hyperparameter(name="weight_decay", domain=Float(low=0.0, high=0.3)),
        Hyperparameter(name="warm_up", domain=Float(low=0.0, high=0.3)),
        Hyperparameter(name="scheduler", domain=Categorical(values=("linear", "cosine", "none"))),
        Hyperparameter(name="use_lora", domain=Categorical(values=(False, True))),
        Hyperparameter(
            name="rank", domain=Ordinal(values=(4, 8, 16, 32)), when={"use_lora": (True,)}
        ),
        Hyperparameter(name="dropout", domain=Float(low=0.0, high=0.5)),
        Hyperparameter(name="epochs", domain=Integer(low=1, high=10)),
    )
)


def fine_tuning(config: Mapping[str, Value]) -> float:
    """Shaped like fine-tuning, with a ledge on the cliff of the learning rate and more knobs."""
    best = -9.4 + 0.5 * np.log2(float(config["batch_size"]) / 16)
    best += 1.2 * bool(config["use_lora"]) + 0.3 * (config["scheduler"] == "cosine")
    excess = np.log(float(config["learning_rate"])) - best
    ledge = 0.5 if excess < 1.2 else 0.3
    value = 0.85 - 0.03 * excess**2 if excess < 1 else ledge
    value -= 0.08 * np.exp(-float(config["epochs"]) / 2.5 * np.exp(min(0.0, excess) / 2))
    value -= 0.3 * (float(config["dropout"]) - 0.12) ** 2
    value -= 0.1 * (float(config["weight_decay"]) - 0.05) ** 2
    value -= 0.3 * (float(config["warm_up"]) - 0.08) ** 2 * (1 + (config["scheduler"] == "none"))
    if config["use_lora"]:
        value += 0.01 - 0.006 * (5 - np.log2(float(config["rank"])))
    return float(max(value, 0.05))


DISCRETE = SearchSpace(
    hyperparameters=(
        *(Hyperparameter(name=f"x{i}", domain=Ordinal(values=tuple(range(6)))) for i in range(5)),
        Hyperparameter(name="c", domain=Categorical(values=tuple("abcde"))),
    )
)


def discrete(config: Mapping[str, Value]) -> float:
    """A bowl on a grid of 38,880 configs, two of its dimensions coupled, and one category."""
    distance = np.array([int(config[f"x{i}"]) for i in range(5)]) - [1, 4, 2, 3, 0]
    bowl = distance**2 @ [1.0, 0.5, 0.3, 0.1, 0.02]
    category = 2 * "bdace".index(str(config["c"]))
    return float(0.5 * distance[0] * distance[1] - bowl + category)


def _random_domain(rng: np.random.Generator) -> Domain:
    kind = rng.random()
    if kind < 0.25:
        return Ordinal(values=tuple(range(int(rng.integers(2, 9)))))
    if kind < 0.4:
        return Categorical(values=tuple("abcdef"[: int(rng.integers(2, 6))]))
    return Float(low=0.0, high=1.0)


def random_function(index: int, *, num_dims: int | None = None) -> Task:
    """Random Fourier features over a mixed space of `num_dims` hyperparameters, by chance 3 to 10.

    Student-t frequencies with 5 degrees of freedom are those of Matérn-5/2. Three dimensions in
    ten are irrelevant, ordered ones are warped, categories are shuffled, a trend leads to one
    place, and every third function is stretched exponentially towards the bad.
    """
    rng = np.random.default_rng(1000 + index)
    num_dims = num_dims or int(rng.integers(3, 11))
    space = SearchSpace(
        hyperparameters=tuple(
            Hyperparameter(name=f"x{i}", domain=_random_domain(rng)) for i in range(num_dims)
        )
    )
    scales = rng.gamma(2.0, 0.35, num_dims) + 0.1
    scales[rng.random(num_dims) < 0.3] = _IRRELEVANT
    orders = [rng.permutation(_MAX_LEVELS) for _ in range(num_dims)]
    frequencies = rng.standard_t(5, (_NUM_FEATURES, num_dims)) / scales
    phases = rng.uniform(0, 2 * np.pi, _NUM_FEATURES)
    amplitudes = rng.standard_normal(_NUM_FEATURES) * np.sqrt(2 / _NUM_FEATURES)
    warps = np.exp(rng.normal(0, 0.6, num_dims))
    is_stretched = bool(rng.choice([0, 0, 1]))
    centre = rng.random(num_dims)
    trend = rng.gamma(1.0, 0.6)

    def place(dim: int, domain: Domain, value: Value) -> float:
        unit = domain.to_unit(value)
        if isinstance(domain, Categorical):
            return float(orders[dim][int(unit * len(domain.values))]) / _MAX_LEVELS
        return float(unit ** warps[dim])

    def objective(config: Mapping[str, Value]) -> float:
        at = np.array(
            [
                place(dim, item.domain, config[item.name])
                for dim, item in enumerate(space.hyperparameters)
            ]
        )
        height = np.cos(frequencies @ at + phases) @ amplitudes
        height -= trend * np.linalg.norm((at - centre) / scales)
        return float(-np.exp(-height) if is_stretched else height)

    return Task(f"random {index}", space, objective)


TASKS = (
    Task("branin", floats(2), branin),
    Task("hartmann6", floats(6), hartmann6),
    Task("branin, six irrelevant", floats(8), branin),
    Task("levy", floats(5), levy),
    Task("ackley", floats(4), ackley),
    Task("fine-tuning", FINE_TUNING, fine_tuning),
    Task("discrete", DISCRETE, discrete),
    *(random_function(index) for index in range(NUM_RANDOM_FUNCTIONS)),
)
