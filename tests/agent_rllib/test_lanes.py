"""A study in hindsight: one episode per lane, rewards that no order or scale of values changes."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.rllib.core.columns import Columns

from agent_rllib.tasks import SPACE, serve
from lexmove.agent.lanes import FAILURE_REWARD, SURPRISE, episodes, logits_of, reward_of
from lexmove.agent.observation import observe
from lexmove.agent.policy import PointerPolicy, weights_hash
from lexmove.study.study import Study, StudySpec, decision_rng
from lexmove.study.trial import (
    Continued,
    Decision,
    Ended,
    Event,
    Measured,
    Measurement,
    Started,
    TrialStatus,
)


def test_every_lane_is_an_episode_with_all_its_decisions(
    served: Study, policy: PointerPolicy
) -> None:
    lanes = episodes(served, policy)
    decided = [[d for _, d in served.decisions if d.lane == lane] for lane in range(3)]
    assert [len(lane) for lane in lanes] == [len(decisions) for decisions in decided]
    for lane, decisions in zip(lanes, decided, strict=True):
        assert list(lane.get_actions()) == [decision.action for decision in decisions]
        recorded = lane.get_extra_model_outputs(Columns.ACTION_LOGP)
        assert list(recorded) == [decision.log_probability for decision in decisions]
        assert lane.is_truncated
        assert not lane.is_terminated


def test_of_a_long_study_the_latest_decisions_are_seen_again(
    served: Study, policy: PointerPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lexmove.agent.lanes.MAX_DECISIONS", 10)
    latest = [decision for _, decision in served.decisions][-10:]
    lanes = episodes(served, policy)
    assert sum(map(len, lanes)) == 10
    wanted = [[d.log_probability for d in latest if d.lane == lane] for lane in range(3)]
    recorded = [list(lane.get_extra_model_outputs(Columns.ACTION_LOGP)) for lane in lanes]
    assert recorded == wanted


def test_observations_are_those_of_the_decisions(served: Study, policy: PointerPolicy) -> None:
    first = episodes(served, policy)[0]
    sequence = [event.seq for event, decision in served.decisions if decision.lane == 0]
    for index, seq in enumerate(sequence):
        then = served.prefix(seq) if seq else Study(spec=served.spec)
        expected = observe(then, decision_rng(then)).arrays()
        found = first.get_observations(index)
        assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_the_policy_that_decided_recomputes_its_own_log_probabilities(
    served: Study, policy: PointerPolicy
) -> None:
    for lane in episodes(served, policy):
        logits = np.stack(lane.get_extra_model_outputs(Columns.ACTION_DIST_INPUTS))
        assert np.array_equal(logits, logits_of(policy, lane.get_observations(slice(0, len(lane)))))
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        taken = log_probabilities[np.arange(len(lane)), lane.get_actions()]
        assert taken == pytest.approx(lane.get_extra_model_outputs(Columns.ACTION_LOGP), abs=1e-4)


def test_busy_lanes_are_collected_without_their_open_decision(policy: PointerPolicy) -> None:
    study = serve(policy, num_trials=24, parallel=3, stop_after=14)
    busy = {trial.lane for trial in study.running}
    assert len(busy) == 3, "all lanes are busy right after a decision"
    lanes = episodes(study, policy)
    assert sum(map(len, lanes)) == 14 - 3
    for lane in lanes:
        assert len(lane.get_observations()) == len(lane) + 1


def test_decisions_of_other_policies_are_skipped(served: Study, policy: PointerPolicy) -> None:
    other = PointerPolicy.untrained()
    other.residual.bias.data.add_(1.0)
    assert episodes(served, other) == []
    version = weights_hash(policy.state_dict())
    assert len(episodes(served, other, earlier_versions={version})) == 3


def a_study(scores: list[float | None], order: list[int], *, goal: str = "maximize") -> Study:
    """Two trials one after the other, then the rest at once, ending in `order`; None fails."""
    spec = StudySpec(name="s", space=SPACE, goal=goal, num_trials=len(scores))
    events: list[Event] = []

    def start(trial_id: int) -> None:
        events.append(
            Started(
                seq=len(events),
                at_s=0.0,
                trial_id=trial_id,
                config=dict(SPACE.default),
                until=1,
                seed=0,
                decision=Decision(proposer="policy", lane=trial_id),
            )
        )

    def end(trial_id: int) -> None:
        score, status = scores[trial_id], TrialStatus.COMPLETED
        if score is None:
            status = TrialStatus.FAILED
        else:
            measurement = Measurement(fidelity=1, metrics={"value": score})
            events.append(
                Measured(seq=len(events), at_s=0.0, trial_id=trial_id, measurement=measurement)
            )
        events.append(Ended(seq=len(events), at_s=0.0, trial_id=trial_id, status=status))

    for trial_id in (0, 1):
        start(trial_id)
        end(trial_id)
    for trial_id in range(2, len(scores)):
        start(trial_id)
    for trial_id in order:
        end(trial_id)
    return Study.from_events(spec, events)


def rewards(study: Study) -> list[float | None]:
    return [reward_of(study, event.seq) for event, _ in study.decisions]


scores = st.lists(
    st.none() | st.floats(-5.0, 5.0).map(lambda x: round(x, 3)), min_size=3, max_size=8
)


@given(scores=scores, data=st.data())
def test_rewards_do_not_depend_on_the_order_of_arrival(scores, data) -> None:
    order = list(range(2, len(scores)))
    other = data.draw(st.permutations(order))
    assert rewards(a_study(scores, order)) == rewards(a_study(scores, other))


@given(scores=scores)
def test_rewards_do_not_depend_on_the_scale_of_the_objective(scores) -> None:
    order = list(range(2, len(scores)))
    bent = [None if score is None else math.exp(score) for score in scores]
    turned = [None if score is None else -score for score in scores]
    expected = rewards(a_study(scores, order))
    assert rewards(a_study(bent, order)) == expected
    assert rewards(a_study(turned, order, goal="minimize")) == expected
    assert all(reward == FAILURE_REWARD or 0.0 <= reward <= 1.0 for reward in expected)


def test_a_better_trial_earns_more_and_a_failed_one_a_little_less_than_nothing() -> None:
    earned = rewards(a_study([0.5, 0.6, 0.4, 0.8, 0.9, None], [5, 4, 3, 2]))
    # Quantiles of 0.4, 0.5, 0.6, 0.8, 0.9 are 0.1, 0.3, 0.5, 0.7, 0.9.
    assert earned == pytest.approx([0.0, 0.2, 0.0, 0.2, 0.4, FAILURE_REWARD])


def test_a_preempted_segment_is_one_decision() -> None:
    study = a_study([0.5, 0.6, 0.9], [])
    lost = study.with_event(
        Ended(seq=study.num_events, at_s=0.0, trial_id=2, status=TrialStatus.PREEMPTED)
    )
    assert rewards(lost)[2] is None
    again = lost.with_event(Continued(seq=lost.num_events, at_s=0.0, trial_id=2, until=1))
    measurement = Measurement(fidelity=1, metrics={"value": 0.9})
    measured = again.with_event(
        Measured(seq=again.num_events, at_s=0.0, trial_id=2, measurement=measurement)
    )
    done = measured.with_event(
        Ended(seq=measured.num_events, at_s=0.0, trial_id=2, status=TrialStatus.COMPLETED)
    )
    assert rewards(done)[2] == rewards(a_study([0.5, 0.6, 0.9], [2]))[2] > 0


@pytest.mark.parametrize("cut", [9, 30])
def test_a_prefix_of_a_study_gives_prefixes_of_its_lanes(served, policy, cut: int) -> None:
    whole = {lane.id_: list(lane.get_actions()) for lane in episodes(served, policy)}
    for lane in episodes(served.prefix(cut), policy):
        actions = list(lane.get_actions())
        assert actions == whole[lane.id_][: len(actions)]


def test_of_an_extended_study_only_what_was_carried_out_is_learned_from(
    policy: PointerPolicy,
) -> None:
    """Its greater budget offers other slates at some decisions, in which an action is another."""
    study = serve(policy, num_trials=18, parallel=3, seed=3)
    extended = replace(study, spec=replace(study.spec, num_trials=36))
    kept: dict[int | None, list[int | None]] = {0: [], 1: [], 2: []}
    for event, decision in study.decisions:
        then = extended.prefix(event.seq)
        chosen = observe(then, decision_rng(then)).candidates[decision.action]
        config = extended.trials[event.trial_id].config
        if (chosen.config, chosen.until) == (config, event.until):
            kept[decision.lane].append(decision.action)
    assert [list(lane.get_actions()) for lane in episodes(extended, policy)] == list(kept.values())
    assert sum(map(len, kept.values())) == len(study.decisions) - 1


def test_a_decision_that_was_no_sample_is_left_out(served: Study, policy: PointerPolicy) -> None:
    event, decision = served.decisions[0]
    unsampled = replace(event, decision=replace(decision, action=None))
    rest = [other for other in served.events if other.seq != event.seq]
    study = Study.from_events(served.spec, [unsampled, *rest])
    total = sum(map(len, episodes(served, policy)))
    assert sum(map(len, episodes(study, policy))) == total - 1


def test_surprises_are_what_trials_brought_beside_their_prediction(
    policy: PointerPolicy,
) -> None:
    study = serve(policy, num_trials=24, parallel=1)
    (lane,) = episodes(study, policy)
    surprises = lane.get_extra_model_outputs(SURPRISE)
    known = []
    for (event, decision), surprise in zip(study.decisions, surprises, strict=True):
        trial = study.trials[event.trial_id]
        ends = trial.status is TrialStatus.COMPLETED and isinstance(event, Started)
        if not ends or decision.predicted_gain is None:
            assert math.isnan(surprise)
        elif study.realised_gain(trial) is not None:
            brought = study.realised_gain(trial) - decision.predicted_gain
            assert math.copysign(1.0, brought) == math.copysign(1.0, surprise)
            assert abs(surprise) <= 3.0
            known.append(surprise)
    assert len(known) >= 5
    assert {trial.status for trial in study.trials} > {TrialStatus.COMPLETED}
