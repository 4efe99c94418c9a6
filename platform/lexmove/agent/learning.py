"""Learning from the running job: policy-gradient steps on its own lanes, off the suggestion path.

A job has few rewards, so every step is small and watched: nothing happens before
`MIN_TRIALS`, and steps of the network end where the policy would leave the one that made the
decisions. Its direction, one number that a prior holds back, may turn further. RLlib is imported by
the process that learns, not by the one that serves: it takes seconds. Left out: virtual episodes on
posterior samples, and prioritised replay.
"""

import logging
import math
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import ray
import torch
from ray.exceptions import RayError

from lexmove.agent.policy import PointerPolicy, weights_hash
from lexmove.study.study import Study
from lexmove.study.trial import TrialStatus

if TYPE_CHECKING:
    from ray.rllib.env.single_agent_episode import SingleAgentEpisode

MIN_TRIALS = 8
"""Trials that must have ended or paused before the direction may change.

From 16 trials on it came too late.
"""

MIN_NETWORK_TRIALS = 16
"""Trials that must have ended or paused before the network may change, too.

The observation adapts to the job long before; from 8 trials on, trials in rungs did worse.
"""

NUM_HALVINGS = 10
"""A step that leads too far is halved so often before it is given up."""

_DIRECTION = "direction"
"""Its name among the weights of a `PointerPolicy`."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningSettings:
    """How far one call of `learn` may go.

    `num_epochs` is the number of gradient steps, each on all transitions; `learning_rate` that of
    Adam; `max_kl` the mean KL divergence in nats, from the policy before to the policy after. A
    step that leads beyond it is halved until it does not, and the network learns no more in that
    call. `max_turn_kl` bounds what the policy's direction adds to it: that one is what the evidence
    says and no step of a few percent, so that it may lead further.
    """

    learning_rate: float = 5e-4
    num_epochs: int = 8
    max_kl: float = 0.01
    max_turn_kl: float = 2.0
    min_trials: int = MIN_TRIALS
    min_network_trials: int = MIN_NETWORK_TRIALS


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningResult:
    """What learning led to.

    `weights` are the ones to serve next, `policy_version` their hash; without `applied` they are
    the ones that came in. `mean_kl` is the divergence of the new policy from the old in nats,
    `loss` that of the last step taken, NaN if none was.
    """

    weights: Mapping[str, torch.Tensor]
    policy_version: str
    num_transitions: int
    mean_kl: float
    loss: float
    applied: bool


def learn(
    weights: Mapping[str, torch.Tensor],
    study: Study,
    *,
    seed: int,
    earlier_versions: Collection[str] = (),
    settings: LearningSettings | None = None,
) -> LearningResult:
    """Improves a policy on what its decisions brought in `study`, if there is enough of it.

    θ ← θ + α ∇J(θ) with PPO's clipped surrogate of ∇J (Schulman et al. 2017, arXiv 1707.06347,
    algorithm 1), advantages by GAE over the lanes. The KL divergence bounds it by the backtracking
    line search of TRPO (Schulman et al. 2015, arXiv 1502.05477, appendix C): how far a step of Adam
    leads depends on how sharp the weights are. The policy's direction is turned beside that, by a
    bound of its own (`policy_learner.HindsightLearner`). A function of its arguments.

    Args:
        weights: the policy's weights; not changed.
        study: the study so far.
        seed: of RLlib's learner.
        earlier_versions: hashes of former weights of this job whose decisions count too.
        settings: how far to go.
    """
    from lexmove.agent.lanes import episodes
    from lexmove.agent.policy_learner import PolicyLearner

    settings = settings or LearningSettings()
    num_open = len(study.with_status(TrialStatus.RUNNING, TrialStatus.PREEMPTED))
    num_ended = len(study.trials) - num_open
    if num_ended < settings.min_trials:
        return _unchanged(weights)
    policy = _policy(weights)
    lanes = episodes(study, policy, earlier_versions=earlier_versions)
    num_transitions = sum(map(len, lanes))
    if not num_transitions:
        return _unchanged(weights)
    learner = PolicyLearner(weights, learning_rate=settings.learning_rate, seed=seed)
    accepted, mean_kl, loss = weights, 0.0, math.nan
    for _ in range(settings.num_epochs):
        step_loss = learner.step(lanes)
        if num_ended < settings.min_network_trials or not math.isfinite(step_loss):
            break
        stepped = {**learner.weights, _DIRECTION: weights[_DIRECTION]}
        step = _bounded(accepted, stepped, lanes, max_kl=settings.max_kl)
        if step is None:
            break
        accepted, mean_kl, loss = step.weights, step.mean_kl, step_loss
        if step.is_shortened:
            break
    turned = {**accepted, _DIRECTION: learner.weights[_DIRECTION]}
    turn = _bounded(accepted, turned, lanes, max_kl=settings.max_turn_kl)
    if turn is not None:
        accepted, mean_kl = turn.weights, turn.mean_kl
    return LearningResult(
        weights=accepted,
        policy_version=weights_hash(accepted),
        num_transitions=num_transitions,
        mean_kl=mean_kl,
        loss=loss,
        applied=weights_hash(accepted) != weights_hash(weights),
    )


def _unchanged(weights: Mapping[str, torch.Tensor]) -> LearningResult:
    return LearningResult(
        weights=weights,
        policy_version=weights_hash(weights),
        num_transitions=0,
        mean_kl=0.0,
        loss=math.nan,
        applied=False,
    )


class _Step(NamedTuple):
    weights: Mapping[str, torch.Tensor]
    mean_kl: float
    is_shortened: bool


def _bounded(
    before: Mapping[str, torch.Tensor],
    after: Mapping[str, torch.Tensor],
    lanes: "list[SingleAgentEpisode]",
    *,
    max_kl: float,
) -> _Step | None:
    """The step from `before` to `after`, halved until it is within `max_kl`; None if it never is.

    NaN is beyond any bound.
    """
    from lexmove.agent.lanes import mean_divergence

    for halvings in range(NUM_HALVINGS + 1):
        share = 0.5**halvings
        weights = {name: before[name] + share * (after[name] - before[name]) for name in before}
        mean_kl = mean_divergence(lanes, _policy(weights))
        if mean_kl <= max_kl:
            return _Step(weights, mean_kl, is_shortened=halvings > 0)
    return None


def _policy(weights: Mapping[str, torch.Tensor]) -> PointerPolicy:
    policy = PointerPolicy.untrained()
    policy.load_state_dict(dict(weights))
    return policy.eval()


class OnlineLearner:
    """Runs `learn` in a Ray actor of its own, beside a running job; never blocks.

    The actor asks for no CPU, so that it takes no slot from a trial. If it dies or `learn` fails,
    that is logged once, kept in `failure`, and the job goes on with the weights it has. Ray must
    be running.

    Args:
        weights: those that the job starts with.
        seed: of RLlib's learner.
        earlier_versions: hashes of the weights that the job had before, if it was resumed.
        settings: how far each call of `learn` may go.
    """

    def __init__(
        self,
        weights: Mapping[str, torch.Tensor],
        *,
        seed: int,
        earlier_versions: Collection[str] = (),
        settings: LearningSettings | None = None,
    ) -> None:
        self._weights = {name: tensor.detach().clone() for name, tensor in weights.items()}
        self._versions = [*earlier_versions, weights_hash(weights)]
        self._seed = seed
        self._settings = settings
        self._pending: ray.ObjectRef[LearningResult] | None = None
        self.failure: str | None = None
        # Two threads on a network this small are many times slower than one.
        runtime_env = {"env_vars": {"OMP_NUM_THREADS": "1"}}
        actor = ray.remote(_LearnActor).options(num_cpus=0, runtime_env=runtime_env)
        self._actor: Any = actor.remote()

    @property
    def is_busy(self) -> bool:
        """Whether a study is being learned from, or its result waits for `poll`."""
        return self._pending is not None

    @property
    def pid(self) -> int:
        """The process in which it learns; waits until it is up and idle."""
        return int(ray.get(self._actor.pid.remote()))

    def submit(self, study: Study) -> bool:
        """Starts learning from `study`; False, and nothing happens, if busy or failed."""
        if self.is_busy or self.failure is not None:
            return False
        self._pending = self._actor.learn.remote(
            self._weights,
            study,
            seed=self._seed,
            earlier_versions=tuple(self._versions[:-1]),
            settings=self._settings,
        )
        return True

    def poll(self) -> LearningResult | None:
        """The result of the last `submit`, once; None while there is none."""
        if self._pending is None:
            return None
        ready, _ = ray.wait([self._pending], timeout=0)
        if not ready:
            return None
        self._pending = None
        try:
            result: LearningResult = ray.get(ready[0])
        except RayError as error:
            cause = str(error).strip().splitlines()[-1]
            self.failure = f"learning ended, the job goes on without it: {cause}"
            _LOG.warning(self.failure)
            return None
        if result.applied:
            self._weights = dict(result.weights)
            self._versions.append(result.policy_version)
        return result

    def close(self) -> None:
        """Ends the actor; a result that was not polled is lost."""
        ray.kill(self._actor)
        self._pending = None


class _LearnActor:
    """`learn` in a process of its own."""

    def learn(
        self, weights: Mapping[str, torch.Tensor], study: Study, **settings: Any
    ) -> LearningResult:
        return learn(weights, study, **settings)

    def pid(self) -> int:
        return os.getpid()
