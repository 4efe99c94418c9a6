"""The network: the floor until it is trained, blind to order, safe on empty decisions, on disk."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.landscapes import MIXED, SPACES, random_study
from lexmove.agent.floor import FloorProposer
from lexmove.agent.observation import (
    IS_CONTINUE,
    NET_STEP,
    NUM_CANDIDATES,
    NUM_FEATURES,
    NUM_GLOBALS,
    observe,
)
from lexmove.agent.policy import (
    MASKED_LOGIT,
    PointerPolicy,
    load_weights,
    save_weights,
    weights_hash,
)
from lexmove.agent.proposer import PolicyProposer, policy_logits
from lexmove.errors import ModelError
from lexmove.study.study import decision_rng
from lexmove.study.trial import event_to_json


def _trained() -> PointerPolicy:
    """A policy whose residual is not zero."""
    policy = PointerPolicy.untrained()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        torch.nn.init.normal_(policy.residual.weight, std=12.0)
    return policy


def _inputs(batch: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return (
        torch.randn(batch, NUM_CANDIDATES, NUM_FEATURES, generator=g),
        torch.randn(batch, NUM_GLOBALS, generator=g),
        torch.rand(batch, NUM_CANDIDATES, generator=g) < 0.7,
        torch.randn(batch, NUM_CANDIDATES, generator=g),
    )


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(sorted(SPACES)), st.integers(0, 14), st.integers(0, 99))
def test_the_untrained_policy_decides_as_the_floor(space: str, num_trials: int, seed: int) -> None:
    study = random_study(SPACES[space], num_trials=num_trials, seed=seed)
    ours = PolicyProposer().propose(study, decision_rng(study))
    floor = FloorProposer().propose(study, decision_rng(study))
    if ours is None or floor is None:
        assert ours is floor
        return
    assert (ours.config, ours.until, ours.trial_id) == (floor.config, floor.until, floor.trial_id)
    assert ours.decision.action == floor.decision.action
    assert ours.decision.expert == floor.decision.expert
    assert ours.decision.log_probability == floor.decision.log_probability
    assert ours.decision.runners_up == floor.decision.runners_up


def test_untrained_logits_are_the_prior_and_masked_ones_finite() -> None:
    features, globals_, mask, prior = _inputs()
    logits, value = PointerPolicy.untrained()(features, globals_, mask, prior)
    assert torch.equal(logits[mask], prior[mask])
    assert torch.all(logits[~mask] == MASKED_LOGIT)
    assert value.shape == (3,)


def test_an_empty_decision_is_no_nan_forwards_or_backwards() -> None:
    features, globals_, _, prior = _inputs()
    policy = _trained()
    logits, value = policy(features, globals_, torch.zeros(3, NUM_CANDIDATES), prior)
    (logits.sum() + value.sum()).backward()
    assert torch.isfinite(logits).all()
    gradients = [p.grad for p in policy.parameters() if p.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_the_order_of_the_slots_and_masked_slots_do_not_matter() -> None:
    features, globals_, mask, prior = _inputs()
    policy = _trained()
    order = torch.randperm(NUM_CANDIDATES, generator=torch.Generator().manual_seed(2))
    logits, value = policy(features, globals_, mask, prior)
    shuffled, same = policy(features[:, order], globals_, mask[:, order], prior[:, order])
    assert torch.allclose(shuffled, logits[:, order], atol=1e-4)
    assert torch.allclose(same, value, atol=1e-5)
    noisy = torch.where(mask[..., None], features, features + 100.0)
    assert torch.allclose(policy(noisy, globals_, mask, prior)[0], logits, atol=1e-4)


@pytest.mark.parametrize("is_trained", [False, True])
@pytest.mark.parametrize("direction", [0.0, -7.0])
def test_serving_gives_the_logits_of_the_network(direction: float, *, is_trained: bool) -> None:
    """Where the residual is zero it leaves the network out: the same logits to the last bit."""
    features, globals_, mask, prior = _inputs()
    policy = _trained() if is_trained else PointerPolicy.untrained()
    with torch.no_grad():
        policy.direction.fill_(direction)
        served = policy.logits(features, globals_, mask, prior)
        assert torch.equal(served, policy(features, globals_, mask, prior)[0])
    is_floor = not is_trained and not direction
    assert torch.equal(served[mask], prior[mask]) is is_floor


def test_the_network_is_small() -> None:
    assert sum(p.numel() for p in PointerPolicy.untrained().parameters()) < 50_000


def test_building_a_policy_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    first, second = PointerPolicy.untrained(), PointerPolicy.untrained()
    assert torch.equal(torch.get_rng_state(), state)
    assert weights_hash(first.state_dict()) == weights_hash(second.state_dict())


def test_a_trained_policy_departs_from_the_floor_and_says_so() -> None:
    study = random_study(MIXED, num_trials=12)
    policy = _trained()
    suggestion = PolicyProposer(policy).propose(study, decision_rng(study))
    floor = FloorProposer().propose(study, decision_rng(study))
    assert suggestion is not None
    assert floor is not None
    assert suggestion.config != floor.config
    assert suggestion.decision.expert == "policy"
    assert suggestion.decision.policy_version == weights_hash(policy.state_dict())


@pytest.mark.parametrize("direction", [40.0, -40.0])
def test_a_policy_with_a_direction_raises_or_lowers(direction: float) -> None:
    study = random_study(MIXED, num_trials=12)
    observation = observe(study, decision_rng(study))
    policy = PointerPolicy.untrained()
    with torch.no_grad():
        policy.direction.fill_(direction)
    gained = policy_logits(policy, observation) - observation.prior_logits
    steps = observation.features[:, NET_STEP]
    is_open = observation.mask
    turned = direction * steps[is_open]
    assert np.ptp(gained[is_open] - turned) == pytest.approx(0.0, abs=1e-3)
    assert steps[is_open].min() < 0.0 < steps[is_open].max()
    suggestion = PolicyProposer(policy).propose(study, decision_rng(study))
    assert suggestion is not None
    action = suggestion.decision.action
    assert action is not None
    assert np.sign(steps[action]) == np.sign(direction)


@pytest.mark.parametrize("direction", [40.0, -40.0])
def test_a_direction_leaves_paused_trials_their_share(direction: float) -> None:
    features, globals_, mask, prior = _inputs()
    features[:, ::4, NET_STEP] = 0.0
    features[..., IS_CONTINUE] = (torch.arange(NUM_CANDIDATES) % 4 == 0).float()
    policy = PointerPolicy.untrained()

    def shares() -> torch.Tensor:
        return policy(features, globals_, mask, prior)[0].softmax(-1)

    before = shares()
    with torch.no_grad():
        policy.direction.fill_(direction)
    after = shares()
    assert torch.allclose(after[:, ::4], before[:, ::4], atol=1e-5)
    is_start = features[..., IS_CONTINUE] == 0.0
    assert not torch.allclose(after[is_start], before[is_start], atol=1e-2)


def test_sampling_follows_the_probabilities() -> None:
    study = random_study(MIXED, num_trials=12)
    proposer = PolicyProposer(sample=True)
    drawn = [proposer.propose(study, np.random.default_rng([1, seed])) for seed in range(40)]
    actions = [s.decision.action for s in drawn if s is not None]
    probabilities = [s.decision.probability for s in drawn if s is not None]
    # The greedy choice is drawn most, others too; its own probability is about .1 here.
    assert len(set(actions)) > 3
    assert all(p is not None and 0 < p <= 1 for p in probabilities)


def test_the_decision_tells_the_whole_story() -> None:
    study = random_study(MIXED, num_trials=12)
    suggestion = PolicyProposer().propose(study, decision_rng(study), lane=3)
    assert suggestion is not None
    decision = suggestion.decision
    observation = observe(study, decision_rng(study))
    assert decision.action is not None
    chosen = observation.candidates[decision.action]
    assert (decision.text, decision.move) == (chosen.text, chosen.move)
    assert decision.expert in ("floor:EI", "floor:UCB")
    assert decision.lane == 3
    assert decision.predicted_gain == chosen.predicted_gain
    assert decision.probability is not None
    others = [other.probability for other in decision.runners_up]
    assert len(others) == 3
    assert others == sorted(others, reverse=True)
    assert others[0] <= decision.probability
    assert decision.probability + sum(others) <= 1.0 + 1e-9


_SCRIPT = """
import sys
from lexmove.agent.proposer import PolicyProposer, policy_logits
from lexmove.study.study import Study, StudySpec, decision_rng
from lexmove.study.trial import event_from_json
import json
spec, *lines = sys.stdin.read().splitlines()
events = [event_from_json(line) for line in lines]
study = Study.from_events(StudySpec.from_json(json.loads(spec)), events)
s = PolicyProposer().propose(study, decision_rng(study))
print(json.dumps([dict(s.config), s.decision.action, s.decision.log_probability,
                  s.decision.policy_version]))
"""


def test_another_process_decides_the_same() -> None:
    study = random_study(MIXED, num_trials=12)
    text = "\n".join([json.dumps(study.spec.to_json()), *map(event_to_json, study.events)])
    answer = subprocess.run(
        [sys.executable, "-c", _SCRIPT], input=text, capture_output=True, text=True, check=True
    ).stdout
    here = PolicyProposer().propose(study, decision_rng(study))
    assert here is not None
    decision = here.decision
    assert json.loads(answer) == [
        dict(here.config),
        decision.action,
        decision.log_probability,
        decision.policy_version,
    ]


def test_weights_round_trip(tmp_path: Path) -> None:
    policy, path = _trained(), tmp_path / "new" / "policy.safetensors"
    version = save_weights(policy, path)
    loaded = load_weights(path)
    assert version == weights_hash(policy.state_dict()) == weights_hash(loaded.state_dict())
    assert len(version) == 16
    assert sorted(p.name for p in path.parent.iterdir()) == ["policy.json", "policy.safetensors"]


def test_the_hash_tells_names_types_and_shapes_apart() -> None:
    tensor = torch.arange(6, dtype=torch.float32)
    states = [
        {"a": tensor},
        {"b": tensor},
        {"a": tensor.reshape(2, 3)},
        {"a": tensor.view(torch.int32)},
        {"a": tensor + 1},
    ]
    assert len({weights_hash(state) for state in states}) == len(states)


def _remove(path: Path) -> None:
    path.unlink()


def _flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _forget_description(path: Path) -> None:
    path.with_suffix(".json").unlink()


def _written(
    change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]], **said: int
) -> Callable[[Path], None]:
    """Other weights in their place, with their own hash beside them."""

    def write(path: Path) -> None:
        from safetensors.torch import load_file, save_file

        state = change(load_file(path))
        save_file(state, path)
        about = json.loads(path.with_suffix(".json").read_text())
        about |= {"hash": weights_hash(state), **said}
        path.with_suffix(".json").write_text(json.dumps(about))

    return write


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_remove, "cannot be read"),
        (_flip_a_byte, "restore both from one source"),
        (_cut, "cannot be read"),
        (_forget_description, r"policy\.json of policy weights cannot be read"),
        (_written(dict, features=3), r"another network \(they say 3 features, this version has"),
        (_written(dict, globals=3), r"another network \(they say 3 globals, this version has"),
        (
            _written(lambda state: state | {"more": torch.zeros(2)}),
            r"another network \(more is in one of the two alone\)",
        ),
        (
            _written(lambda state: {name: item.half() for name, item in state.items()}),
            r"is float16 \(.*\), here float32",
        ),
        (
            _written(lambda state: {name: item * math.nan for name, item in state.items()}),
            "holds what is no number",
        ),
    ],
)
def test_damaged_weights_are_refused(damage: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.safetensors"
    save_weights(PointerPolicy.untrained(), path)
    damage(path)
    with pytest.raises(ModelError, match=message):
        load_weights(path)
