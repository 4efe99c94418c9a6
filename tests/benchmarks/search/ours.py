"""The project's own arms: what a job gets, and the same with parts left out.

`lexmove` draws from the policy's probabilities, as a job does that learns online; the learner
itself is an arm of its own, since its nine updates cost ten times the study (`ON_REQUEST`).
"""

import ast
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

import lexmove
from benchmarks.search.arm import Arm, Group, Make, straight
from benchmarks.search.beginnings import Begun, asked_first
from benchmarks.search.play import Budget
from benchmarks.search.task import Config, SearchTask
from lexmove.agent.baselines import make_proposer
from lexmove.agent.proposer import PolicyProposer
from lexmove.agent.serving import TRIALS_BETWEEN_UPDATES
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.protocols import Proposer
from lexmove.study.study import Study
from lexmove.study.trial import Suggestion

_DECIDING = ("agent.proposer", "agent.baselines", "agent.memory", "agent.simulated_workers")
_LEARNING = ("agent.learning", "agent.serving")
"""Modules that, with all that they import, make a study what it is; the latter where it learns."""


@cache
def source_version(*, learns: bool = False) -> str:
    """Hash over all that decides: the sources behind the decisions, and the weights they ship.

    What a policy is trained on and judged by is left out: it decides nothing here.
    """
    root = Path(lexmove.__file__).parent
    sources = _behind(root, (*_DECIDING, *(_LEARNING if learns else ())))
    shipped = [*root.glob("agent/portfolios/*"), *root.glob("agent/weights/*.safetensors")]
    digest = hashlib.sha256()
    for path in sorted([*sources, *shipped]):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:10]


def _behind(root: Path, modules: Sequence[str]) -> set[Path]:
    """The files of some modules of the package and of all that they import of it."""
    found: set[Path] = set()
    waiting = [root.joinpath(*module.split(".")).with_suffix(".py") for module in modules]
    while waiting:
        path = waiting.pop()
        if path in found or not path.exists():
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lexmove."):
                parts = str(node.module).split(".")[1:]
                waiting.append(root.joinpath(*parts).with_suffix(".py"))
    return found


def paused(task: SearchTask) -> FidelityPlan:
    """A job's own plan: a thirteenth of a training first, then twice as far each time."""
    return FidelityPlan(maximum=task.max_fidelity, eta=2)


class OnlineProposer:
    """The policy, learning in between as a job's learner does, but here and not beside the job."""

    name = "policy"

    def __init__(self, seed: int) -> None:
        from lexmove.agent.policy import PointerPolicy

        self._seed = seed
        self._policy = PointerPolicy.untrained()
        self._proposer = PolicyProposer(self._policy, sample=True, gated=True)
        self._earlier: list[str] = []
        self._num_learned = 0

    def propose(
        self, study: Study, rng: np.random.Generator, *, lane: int = 0
    ) -> Suggestion | None:
        num_ended = len(study.trials) - len(study.running)
        if num_ended - self._num_learned >= TRIALS_BETWEEN_UPDATES:
            self._learn(study, num_ended)
        # Episodes are made by lane, and a simulation gives all decisions the same.
        taken = {trial.lane for trial in study.running}
        free = next(index for index in range(len(taken) + 1) if index not in taken)
        return self._proposer.propose(study, rng, lane=free)

    def _learn(self, study: Study, num_ended: int) -> None:
        # RLlib takes seconds to load.
        from lexmove.agent.learning import MIN_TRIALS, learn

        if num_ended < MIN_TRIALS:
            return
        self._num_learned = num_ended
        result = learn(
            self._policy.state_dict(), study, seed=self._seed, earlier_versions=self._earlier
        )
        if result.applied:
            self._earlier.append(self._proposer.policy_version)
            self._policy.load_state_dict(dict(result.weights))
            self._proposer = PolicyProposer(self._policy, sample=True, gated=True)


def _arm(
    name: str,
    make: Callable[[int], Proposer],
    *,
    group: Group = "ablation",
    plan: Callable[[SearchTask], FidelityPlan] = paused,
    knows_time: bool = True,
) -> Arm:
    """An arm of ours; `make` is given the study's seed."""
    version = source_version(learns=make is OnlineProposer)
    return Arm(
        name=name,
        group=group,
        make=_starting(make),
        version=version,
        plan=plan,
        knows_time=knows_time,
    )


def _starting(make: Callable[[int], Proposer]) -> Make:
    def made(task: SearchTask, budget: Budget, *, seed: int, starts: Sequence[Config]) -> Proposer:
        return Begun(make(seed), asked_first(task, starts)) if starts else make(seed)

    return made


_MAKE: Mapping[str, Callable[[int], Proposer]] = {
    "lexmove": lambda seed: PolicyProposer(sample=True, gated=True),
    "lexmove − gate": lambda seed: PolicyProposer(sample=True),
    "lexmove floor": lambda seed: make_proposer("floor"),
    "lexmove, learning online": OnlineProposer,
    "hill climbing": lambda seed: make_proposer("hill_climbing"),
}

ARMS: tuple[Arm, ...] = tuple(
    _arm(name, make, group="ours" if name == "lexmove" else "ablation")
    for name, make in _MAKE.items()
)
"""In the order of the tables."""

EPOCH_ARMS: tuple[Arm, ...] = (
    *(arm for arm in ARMS if arm.name != "hill climbing"),
    _arm("lexmove − continue", _MAKE["lexmove"], plan=straight),
)

TIME_ARMS: tuple[Arm, ...] = (
    *(arm for arm in ARMS if arm.name in ("lexmove", "lexmove floor")),
    _arm("lexmove − cost", _MAKE["lexmove"], knows_time=False),
)
"""Without its weighing of time an arm searches as if trials were counted."""

ON_REQUEST = frozenset({"lexmove, learning online", "lexmove − gate"})
"""Played only where `--arms` names them: without trained weights the gate changes nothing."""
