"""Task families: the distribution of simulated tuning tasks that the policy is pre-trained on.

Three classes (processes, networks, fine-tunings), each with variants; one variant of every class
is held out, so that checkpoints are chosen on families that training has not seen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from lexmove.agent.encoding import Array, Encoding
from lexmove.agent.pretraining.response_surfaces import (
    Surface,
    draw_fine_tuning,
    draw_latent,
    draw_network,
    draw_process,
    relu,
    standardised,
)
from lexmove.agent.pretraining.synthetic_objective import (
    CrashRegion,
    Curves,
    SyntheticObjective,
    crash_region,
)
from lexmove.errors import UsageError, did_you_mean
from lexmove.space.domain import Categorical, Domain, Float, Integer, Ordinal
from lexmove.space.search_space import Hyperparameter, SearchSpace

Task = tuple[SearchSpace, SyntheticObjective]
Family = Callable[[np.random.Generator], Task]
"""Draws one task."""

MIN_DIMS, MAX_DIMS = 2, 12
_CRASH_SHARE = (0.05, 0.4)
_NOISE = (1e-3, 0.1)
_F1_NOISE = (0.003, 0.01)
_LENGTHS = (4, 6, 9, 13, 20, 27)


def draw_space(rng: np.random.Generator, *, num_dims: int | None = None) -> SearchSpace:
    """A space of 2 to 12 hyperparameters, up to half of them discrete, at times conditional.

    The default is the middle of a domain or, in half of the spaces, any value.
    """
    if num_dims is None:
        num_dims = int(rng.integers(MIN_DIMS, MAX_DIMS + 1))
    discrete_ratio, middle = rng.uniform(0.0, 0.5), rng.random() < 0.5
    domains = [_domain(rng, rng.random() < discrete_ratio, middle) for _ in range(num_dims)]
    parents = [i for i, domain in enumerate(domains) if isinstance(domain, Categorical)]
    has_conditions = bool(parents) and rng.random() < 0.3
    items = []
    for i, domain in enumerate(domains):
        when = {}
        if has_conditions and i != parents[0] and rng.random() < 0.3:
            parent = domains[parents[0]]
            assert isinstance(parent, Categorical)
            kept = parent.values[: int(rng.integers(1, len(parent.values)))]
            when = {f"h{parents[0]}": kept}
        items.append(Hyperparameter(name=f"h{i}", domain=domain, when=when))
    return SearchSpace(hyperparameters=tuple(items))


def _domain(rng: np.random.Generator, is_discrete: bool, middle: bool) -> Domain:
    """One domain; a continuum is logarithmic or not, which nothing but words depends on."""
    if not is_discrete:
        default = None if middle else float(np.exp(rng.uniform(np.log(1e-4), 0.0)))
        return Float(low=1e-4, high=1.0, log=True, default=default)
    kind = rng.choice(["integer", "ordinal", "categorical"], p=[0.4, 0.3, 0.3])
    if kind == "integer":
        high = int(rng.integers(2, 17))
        default_level = None if middle else int(rng.integers(1, high + 1))
        return Integer(low=1, high=high, log=bool(rng.random() < 0.5), default=default_level)
    if kind == "ordinal":
        levels = tuple(2**i for i in range(int(rng.integers(2, 7))))
        return Ordinal(values=levels, default=None if middle else int(rng.choice(levels)))
    names = tuple("abcde"[: int(rng.integers(2, 6))])
    return Categorical(values=names, default=None if middle else str(rng.choice(names)))


def process_smooth(rng: np.random.Generator) -> Task:
    """Squared exponential process over a bowl."""
    return _process(rng, smoothness=np.inf, bowl=float(rng.uniform(2.0, 12.0)))


def process_rough(rng: np.random.Generator) -> Task:
    """Matérn process, ν 3/2 or 5/2, over a shallow bowl or a deep one."""
    nu = float(rng.choice([1.5, 2.5]))
    return _process(rng, smoothness=nu, bowl=float(rng.choice([2.0, 8.0])))


def process_warped(rng: np.random.Generator) -> Task:
    """Matérn process with input and output warping, after the assumptions of HEBO."""
    return _process(rng, smoothness=2.5, bowl=4.0, warp=0.6, bend=float(rng.uniform(-0.3, 1.2)))


def process_additive(rng: np.random.Generator) -> Task:
    """A sum of functions of one or two hyperparameters."""
    return _process(rng, smoothness=2.5, max_order=2, bend=float(rng.uniform(0.0, 0.8)))


def _process(
    rng: np.random.Generator,
    *,
    smoothness: float,
    bowl: float = 0.0,
    warp: float = 0.0,
    bend: float = 0.0,
    max_order: int | None = None,
) -> Task:
    encoding = Encoding(draw_space(rng))
    latent = draw_latent(rng, encoding, warp=warp)
    raw = draw_process(rng, latent, smoothness=smoothness, bowl=bowl, max_order=max_order)
    surface = standardised(raw, rng, encoding, bend=bend)
    crash = _crash(rng, encoding) if rng.random() < 0.2 else None
    return _task("process", rng, encoding, surface, noise=_log_uniform(rng, *_NOISE), crash=crash)


def network_crashing(rng: np.random.Generator) -> Task:
    """Random network of bends with ridges, 5 to 40 % of the space failing."""
    return _network(rng, relu, crash_ratio=0.8)


def network_plateau(rng: np.random.Generator) -> Task:
    """Smooth random network with ridges; up to 60 % of the space lies at chance level."""
    return _network(rng, np.tanh, plateau=float(rng.uniform(0.1, 0.6)), crash_ratio=0.3)


def network_wavy(rng: np.random.Generator) -> Task:
    """Random network of waves, with failures and now and then a plateau."""
    plateau = float(rng.choice([0.0, 0.4]))
    return _network(rng, np.sin, plateau=plateau, crash_ratio=0.6)


def _network(
    rng: np.random.Generator,
    activation: Callable[[Array], Array],
    *,
    crash_ratio: float,
    plateau: float = 0.0,
) -> Task:
    encoding = Encoding(draw_space(rng))
    latent = draw_latent(rng, encoding, warp=0.3)
    raw = draw_network(rng, latent, activation=activation)
    surface = standardised(
        raw, rng, encoding, bend=float(rng.uniform(0.0, 1.0)), plateau_ratio=plateau
    )
    crash = _crash(rng, encoding) if rng.random() < crash_ratio else None
    return _task("network", rng, encoding, surface, noise=_log_uniform(rng, *_NOISE), crash=crash)


def tuning_straight(rng: np.random.Generator) -> Task:
    """Fine-tuning at full length."""
    return _fine_tuning(rng)


def tuning_curves(rng: np.random.Generator) -> Task:
    """Fine-tuning with learning curves that rise and cross."""
    return _fine_tuning(rng, max_fidelity=int(rng.choice(_LENGTHS)))


def tuning_crossing(rng: np.random.Generator) -> Task:
    """Fine-tuning in which a higher learning rate is faster and ends lower: early ranks mislead."""
    length = int(rng.choice(_LENGTHS[1:]))
    return _fine_tuning(rng, max_fidelity=length, haste=float(rng.uniform(2.0, 8.0)))


def tuning_overfitting(rng: np.random.Generator) -> Task:
    """Fine-tuning with a kinked optimum; curves, where there are some, pass a peak."""
    has_curves = rng.random() < 0.5
    return _fine_tuning(
        rng,
        power=1.0,
        coupling=0.3,
        max_fidelity=int(rng.choice(_LENGTHS)) if has_curves else 1,
        hump=0.15,
    )


def _fine_tuning(
    rng: np.random.Generator,
    *,
    power: float = 2.0,
    coupling: float = 0.15,
    max_fidelity: int = 1,
    hump: float = 0.0,
    haste: float = 0.0,
) -> Task:
    space = draw_space(rng, num_dims=int(rng.integers(3, 9)))
    rate = Hyperparameter(name="h0", domain=Float(low=1e-6, high=1e-2, log=True, default=None))
    # The learning rate stands first and has no condition; nothing depends on it.
    rest = tuple(
        item if "h0" not in item.when else Hyperparameter(name=item.name, domain=item.domain)
        for item in space.hyperparameters[1:]
    )
    encoding = Encoding(SearchSpace(hyperparameters=(rate, *rest)))
    surface = draw_fine_tuning(rng, encoding, power=power, coupling=coupling)
    crash = _crash(rng, encoding) if rng.random() < 0.3 else None
    curves = None
    if max_fidelity > 1:
        curves = _curves(rng, encoding, surface.chance, surface.peak - surface.chance, hump=hump)
        if haste:
            hurry = Haste(per_range=haste, optimum=surface.optimum, rest=curves.rate)
            curves = replace(curves, rate=hurry)
    return _task(
        "fine-tuning",
        rng,
        encoding,
        surface,
        noise=float(rng.uniform(*_F1_NOISE)),
        crash=crash,
        curves=curves,
        max_fidelity=max_fidelity,
    )


def _curves(
    rng: np.random.Generator, encoding: Encoding, start: float, spread: float, *, hump: float
) -> Curves:
    return Curves(
        start=start,
        spread=spread,
        base_rate=_log_uniform(rng, 2.0, 60.0),
        rate=linear_field(rng, encoding),
        lateness=linear_field(rng, encoding),
        hump_level=linear_field(rng, encoding),
        hump_from=0.5 if hump else np.inf,
        hump_height=hump,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Haste:
    """How fast curves rise: with the learning rate, dimension 0, and a little with the rest.

    `per_range` is the logarithm of the speed that a unit range of the learning rate brings.
    """

    per_range: float
    optimum: float
    rest: Surface

    def __call__(self, units_ND: Array) -> Array:
        """Values (N,)."""
        values: Array = self.per_range * (units_ND[:, 0] - self.optimum)
        return values + 0.3 * self.rest(units_ND)


def _task(
    family: str,
    rng: np.random.Generator,
    encoding: Encoding,
    surface: Surface,
    *,
    noise: float,
    crash: CrashRegion | None,
    curves: Curves | None = None,
    max_fidelity: int = 1,
) -> Task:
    objective = SyntheticObjective(
        family=family,
        encoding=encoding,
        surface=surface,
        cost=linear_field(rng, encoding),
        noise=noise,
        crash=crash,
        curves=curves,
        max_fidelity=max_fidelity,
        luck=float(rng.choice([0.0, 0.03])),
        seed=int(rng.integers(2**31)),
    )
    return encoding.space, objective


def _crash(rng: np.random.Generator, encoding: Encoding) -> CrashRegion:
    share = float(rng.uniform(*_CRASH_SHARE))
    return crash_region(linear_field(rng, encoding), rng, encoding, share=share)


def linear_field(rng: np.random.Generator, encoding: Encoding) -> "LinearField":
    """What costs, curve shapes and crashes depend on: a few hyperparameters, about linearly."""
    latent = draw_latent(rng, encoding, irrelevant=0.6)
    drawn = rng.normal(size=len(latent.scales)) * latent.scales
    slopes = 3.0 * drawn / (float(np.linalg.norm(drawn)) or 1.0)
    return LinearField(latent=latent, slopes=slopes, offset=0.5 * float(slopes.sum()))


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearField:
    """A linear function of the latent, about standard normal over the cube."""

    latent: Callable[[Array], Array]
    slopes: Array
    offset: float

    def __call__(self, units_ND: Array) -> Array:
        """Values (N,)."""
        values: Array = self.latent(units_ND) @ self.slopes - self.offset
        return values


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


FAMILIES: Mapping[str, Family] = {
    "process_smooth": process_smooth,
    "process_rough": process_rough,
    "process_warped": process_warped,
    "process_additive": process_additive,
    "network_crashing": network_crashing,
    "network_plateau": network_plateau,
    "network_wavy": network_wavy,
    "tuning_straight": tuning_straight,
    "tuning_curves": tuning_curves,
    "tuning_crossing": tuning_crossing,
    "tuning_overfitting": tuning_overfitting,
}
"""All families by name."""

TRAINING_MIX: Mapping[str, float] = {
    "process_smooth": 1.0,
    "process_rough": 1.0,
    "process_warped": 1.0,
    "network_crashing": 1.0,
    "network_plateau": 1.0,
    "tuning_straight": 1.5,
    "tuning_curves": 1.5,
    "tuning_crossing": 1.5,
}
"""What training draws from, by weight."""

HELD_OUT_MIX: Mapping[str, float] = {
    "process_additive": 1.0,
    "network_wavy": 1.0,
    "tuning_overfitting": 1.0,
}
"""What checkpoints are chosen on: one variant of each class, never trained on."""


@dataclass(frozen=True, kw_only=True)
class FamilyMix:
    """A `MakeObjective`: draws a family by weight, then a task of it, both from the seed.

    Raises:
        UsageError: a family that is not known, or no positive weight.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: dict(TRAINING_MIX))

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if name not in FAMILIES:
                known = did_you_mean(name, list(FAMILIES))
                raise UsageError(f"unknown task family {name!r}{known}")
            if not weight > 0:
                raise UsageError(f"the weight of {name!r} must be above 0, not {weight}")

    def __call__(self, seed: int) -> Task:
        """The task of a seed; the same in every process."""
        rng = np.random.default_rng(seed)
        names = list(self.weights)
        shares = np.array([self.weights[name] for name in names])
        name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
        space, objective = FAMILIES[name](rng)
        return space, objective
