"""Lanes: the decisions of a study in hindsight, one RLlib episode per parallel slot.

A lane is what one slot did, decision after decision; a straggler holds up its own lane only. An
episode leaves out the decisions whose outcome is not known yet, so that lanes that are busy are
collected like idle ones.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from lexmove.agent.observation import STD, Observation, observe
from lexmove.agent.policy import PointerPolicy, weights_hash
from lexmove.agent.rl_module import action_space, observation_space
from lexmove.study.study import Study, decision_rng
from lexmove.study.trial import (
    Continued,
    Decision,
    Ended,
    Event,
    Measured,
    Started,
    Trial,
    TrialStatus,
)

FAILURE_REWARD = -0.1
"""Reward of a trial that failed: a little worse than one that brought nothing new."""

SURPRISE = "surprise"
"""Column of an episode beside RLlib's own: see `Transition`."""

MAX_DECISIONS = 256
"""Decisions that episodes are made of at most, the latest: each is seen again, in a study as long
as it was then, at every update (6 s of one core for 224 of 100 trials, 38 s for 642 of 300)."""

_MAX_SURPRISE = 3.0

_NO_INCUMBENT_QUANTILE = 0.5
"""What the first trials have to beat: the median of the study."""

Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One decision of the policy with its outcome: what was seen, done and earned.

    `surprise` is by how many standard deviations of all scores a started trial ended above what
    the surrogate had predicted, within ±3; NaN for one that did not reach the end, or was not
    predicted, and where a paused trial was continued.
    """

    observation: Arrays
    action: int
    log_probability: float
    reward: float
    surprise: float


def episodes(
    study: Study, policy: PointerPolicy, *, earlier_versions: Collection[str] = ()
) -> list[SingleAgentEpisode]:
    """The study's lanes as episodes, for RLlib's learners; lanes without a transition are left out.

    Of a long study the latest decisions alone, at most `MAX_DECISIONS`. Observations are computed
    again from the study as it was at each decision. `ACTION_LOGP` is the one recorded with the
    decision, `ACTION_DIST_INPUTS` are the logits of `policy`.

    Args:
        study: the study so far; trials may be running.
        policy: the policy that learns.
        earlier_versions: hashes of the weights whose decisions count beside those of `policy`;
            decisions of all other versions and proposers are skipped.
    """
    versions = {weights_hash(policy.state_dict()), *earlier_versions}
    by_lane: dict[int, list[tuple[int, Transition | None]]] = {}
    for event, decision in study.decisions[-MAX_DECISIONS:]:
        if decision.policy_version in versions and decision.lane is not None:
            transition = _transition(study, event, decision)
            by_lane.setdefault(decision.lane, []).append((event.seq, transition))
    collected = [_episode(study, policy, lane, by_lane[lane]) for lane in sorted(by_lane)]
    return [episode for episode in collected if episode is not None]


def logits_of(policy: PointerPolicy, observations: Sequence[Arrays]) -> NDArray[np.float32]:
    """Logits (B, K) of `policy` for B observations."""
    batch = {
        name: torch.from_numpy(np.stack([item[name] for item in observations]))
        for name in observations[0]
    }
    with torch.no_grad():
        logits_BK, _ = policy(
            batch["features"], batch["globals"], batch["mask"], batch["prior_logits"]
        )
    logits: NDArray[np.float32] = logits_BK.numpy()
    return logits


def mean_divergence(lanes: list[SingleAgentEpisode], policy: PointerPolicy) -> float:
    """Mean KL divergence in nats from the logits recorded in `lanes` to those of `policy`."""
    divergences: list[torch.Tensor] = []
    for lane in lanes:
        recorded = np.stack(lane.get_extra_model_outputs(Columns.ACTION_DIST_INPUTS))
        now = logits_of(policy, lane.get_observations(slice(0, len(lane))))
        old_BK = torch.from_numpy(recorded).log_softmax(-1)
        new_BK = torch.from_numpy(now).log_softmax(-1)
        divergences.append((old_BK.exp() * (old_BK - new_BK)).sum(-1))
    return float(torch.cat(divergences).mean())


def _transition(study: Study, event: Event, decision: Decision) -> Transition | None:
    """The decision of an event; None while its outcome is unknown or if it was no sample."""
    reward = reward_of(study, event.seq)
    if reward is None or decision.action is None or decision.log_probability is None:
        return None
    observation = _observation_at(study, event.seq)
    if not _is_carried_out(observation, decision.action, event):
        return None
    return Transition(
        observation=observation.arrays(),
        action=decision.action,
        log_probability=decision.log_probability,
        reward=reward,
        surprise=_surprise(study, event, observation, decision.action),
    )


def _is_carried_out(observation: Observation, action: int, event: Event) -> bool:
    """Whether the action is what the event did.

    With rungs, a study that was extended meanwhile offers another slate for some of its decisions.
    """
    if not observation.mask[action]:
        return False
    chosen = observation.candidates[action]
    match event:
        case Started():
            is_same = chosen.trial_id is None and chosen.config == event.config
        case Continued():
            is_same = chosen.trial_id == event.trial_id
        case _:
            return False
    return is_same and chosen.until == event.until


def _observation_at(study: Study, num_events: int) -> Observation:
    then = study.prefix(num_events)
    return observe(then, decision_rng(then))


def _surprise(study: Study, event: Event, observation: Observation, action: int) -> float:
    """What `Transition` says of it."""
    trial, chosen = study.trials[event.trial_id], observation.candidates[action]
    realised = study.realised_gain(trial)
    if (
        not isinstance(event, Started)
        or trial.status is not TrialStatus.COMPLETED
        or realised is None
        or chosen.predicted_gain is None
        or not chosen.predicted_gain_std
    ):
        return math.nan
    deviations = (realised - chosen.predicted_gain) / chosen.predicted_gain_std
    # The feature is the same standard deviation in units of that of all scores.
    surprise = deviations * float(observation.features[action, STD])
    return float(np.clip(surprise, -_MAX_SURPRISE, _MAX_SURPRISE))


def _episode(
    study: Study,
    policy: PointerPolicy,
    lane: int,
    decisions: list[tuple[int, Transition | None]],
) -> SingleAgentEpisode | None:
    known = [transition for _, transition in decisions if transition is not None]
    if not known:
        return None
    last_seq, last = decisions[-1]
    # What the lane saw next: its open decision, or what it would decide on now.
    end = _observation_at(study, study.num_events if last is not None else last_seq).arrays()
    episode = SingleAgentEpisode(
        id_=f"{study.spec.name}-lane-{lane}",
        observation_space=observation_space(),
        action_space=action_space(),
        observations=[*(item.observation for item in known), end],
        actions=[item.action for item in known],
        rewards=[item.reward for item in known],
        # Nothing more is added to the chunk; the value of `end` stands for what follows.
        truncated=True,
        extra_model_outputs={
            Columns.ACTION_LOGP: [item.log_probability for item in known],
            Columns.ACTION_DIST_INPUTS: list(
                logits_of(policy, [item.observation for item in known])
            ),
            SURPRISE: [item.surprise for item in known],
        },
        len_lookback_buffer=0,
    )
    episode.validate()
    return episode


def reward_of(study: Study, seq: int) -> float | None:
    """What the decision of event `seq` brought; None while its segment runs.

    The improvement of the segment's best measurement over the incumbent at the time of the
    decision, in quantiles of the best scores of all trials: in [0, 1], whatever the objective's
    scale, and whatever the order in which other trials ended meanwhile. `FAILURE_REWARD` if the
    trial failed.
    """
    event = next(event for event in study.events if event.seq == seq)
    trial = study.trials[event.trial_id]
    status, scores = _outcome(study, trial, seq)
    if status is None:
        return None
    if status in (TrialStatus.FAILED, TrialStatus.INFEASIBLE) or not scores:
        return FAILURE_REWARD
    everyone = sorted(study.sign * item.value for item in study.ranking)
    before = study.prefix(seq).incumbent
    to_beat = (
        _NO_INCUMBENT_QUANTILE if before is None else _quantile(everyone, study.sign * before.value)
    )
    return max(0.0, _quantile(everyone, max(scores)) - to_beat)


def _outcome(study: Study, trial: Trial, seq: int) -> tuple[TrialStatus | None, list[float]]:
    """How the segment that a decision began ended, and the scores it measured.

    A preempted segment goes on when the trial does, without a new decision.
    """
    scores: list[float] = []
    for event in trial.events:
        if event.seq <= seq:
            continue
        if isinstance(event, Measured):
            score = study.score_at(trial, event.measurement.fidelity)
            scores += [] if score is None else [score]
        elif isinstance(event, Ended) and event.status is not TrialStatus.PREEMPTED:
            return event.status, scores
        elif isinstance(event, Started | Continued) and event.decision is not None:
            break
    return None, scores


def _quantile(ordered: list[float], score: float) -> float:
    """The share of `ordered` that lies below `score`, ties counting half."""
    below, up_to = np.searchsorted(ordered, score, "left"), np.searchsorted(ordered, score, "right")
    return float(below + up_to) / (2 * len(ordered))
