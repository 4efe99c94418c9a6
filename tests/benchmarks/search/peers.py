"""Every arm that is not this project's: the baselines and the peers, and who is absent and why.

| absent | why |
|---|---|
| PBT, PB2 | they change hyperparameters during a training and copy weights between trials; \
recorded curves of whole trainings cannot answer that |
| BOHB, DEHB, Syne Tune, NePS | their methods, Hyperband with a model or with evolution, and ASHA, \
are here in Optuna's, SMAC's and our own implementations |
| Ray Tune | a scheduler around the same searchers: Optuna, HEBO and Ax enter directly |

"random + ASHA" continues by `lexmove.study.fidelity.promotable`, which is `get_job` of algorithm 2
of Li et al. 2020 (arXiv 1810.05934): from the highest rung down, the best 1/eta of all that ever
reached a rung may leave it, those that left it counting. A crashed trial counts at no rung.
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec

from benchmarks.search import botorch_arms, hebo_arms, optuna_arms, smac_arms
from benchmarks.search.arm import Arm, straight
from benchmarks.search.asked_and_told import Starts, StartsFirst, rungs
from benchmarks.search.play import Budget
from benchmarks.search.task import SearchTask
from lexmove.agent.baselines import make_proposer
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.protocols import Proposer

_VERSION = "1"


def _baseline(
    name: str, proposer: str, plan: Callable[[SearchTask], FidelityPlan] = straight
) -> Arm:
    """A baseline of `lexmove.agent.baselines`, its start configs first."""

    def make(task: SearchTask, budget: Budget, *, seed: int, starts: Starts) -> Proposer:
        # The study carries the seed, and the generator of every decision comes from it.
        del task, budget, seed
        return StartsFirst(make_proposer(proposer), starts=starts)

    return Arm(name=name, group="baseline", make=make, version=_VERSION, plan=plan)


ARMS: tuple[Arm, ...] = (
    _baseline("random", "random"),
    _baseline("Sobol", "sobol"),
    *optuna_arms.ARMS,
    *smac_arms.ARMS,
    *botorch_arms.ARMS,
    *hebo_arms.ARMS,
)
"""The trials axis."""

EPOCH_ARMS: tuple[Arm, ...] = (
    _baseline("random", "random"),
    _baseline("random + ASHA", "random", rungs(3, first=1)),
    _baseline("random + ASHA, tuned", "random", rungs(3, first=None)),
    _baseline("random + ASHA, tuned, eta 2", "random", rungs(2, first=None)),
    *optuna_arms.EPOCH_ARMS,
    *smac_arms.EPOCH_ARMS,
)
"""The epochs axis: as shipped from epoch 1, tuned from a first rung at maximum / 13."""

TIME_ARMS: tuple[Arm, ...] = (
    _baseline("random", "random"),
    _baseline("Sobol", "sobol"),
    *optuna_arms.ARMS,
)
"""By the clock. SMAC3 plans by the number of trials, which nobody knows there."""

_NEEDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((arm.name for arm in smac_arms.ARMS + smac_arms.EPOCH_ARMS), ("smac",)),
    **dict.fromkeys((arm.name for arm in botorch_arms.ARMS), ("ax", "botorch")),
    **dict.fromkeys((arm.name for arm in hebo_arms.ARMS), ("hebo",)),
    "Optuna CMA-ES": ("cmaes",),
}
"""Modules beside this project's own dependencies, by the arm's name."""

_LEFT_OUT = {
    "PBT, PB2": "they change hyperparameters during a training: recorded curves cannot answer",
    "BOHB, DEHB, Syne Tune, NePS": "their methods are here in Optuna's and SMAC's versions",
    "Ray Tune": "a scheduler around searchers that enter directly",
}


def missing(arm: Arm) -> tuple[str, ...]:
    """The modules that an arm needs and that are not installed."""
    return tuple(name for name in _NEEDS.get(arm.name, ()) if find_spec(name) is None)


def is_installed(arm: Arm) -> bool:
    """Whether an arm can run here."""
    return not missing(arm)


def installed(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """The arms that can run here."""
    return tuple(arm for arm in arms if is_installed(arm))


def absent() -> dict[str, str]:
    """Who is not compared, and why: left out by design, or not installed here."""
    not_here = {
        arm.name: f"not installed: {', '.join(missing(arm))}"
        for arm in (*ARMS, *EPOCH_ARMS)
        if not is_installed(arm)
    }
    return {**_LEFT_OUT, **not_here}
