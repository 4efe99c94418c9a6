"""The RLlib module is the policy: same outputs, same weights, nothing of its own."""

import numpy as np
import pytest
import torch
from ray.rllib.core.columns import Columns

from agent_rllib.tasks import IdentityEnv
from lexmove.agent.lanes import logits_of
from lexmove.agent.observation import NUM_CANDIDATES, observe
from lexmove.agent.policy import PointerPolicy, weights_hash
from lexmove.agent.rl_module import (
    PointerRLModule,
    action_space,
    assert_same_weights,
    from_module_state,
    module_spec,
    observation_space,
    quiet_rllib,
    to_module_state,
)
from lexmove.study.study import Study, decision_rng


@pytest.fixture(scope="module")
def module() -> PointerRLModule:
    with quiet_rllib():
        return module_spec().build()


@pytest.fixture(scope="module")
def perturbed() -> PointerPolicy:
    """A policy that is not the one every module starts with."""
    policy = PointerPolicy.untrained()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return policy.eval()


def a_batch(size: int = 5) -> list[dict[str, np.ndarray]]:
    env = IdentityEnv({})
    return [env.reset(seed=seed)[0] for seed in range(size)]


def stacked(observations: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    return {
        name: torch.from_numpy(np.stack([item[name] for item in observations]))
        for name in observations[0]
    }


@pytest.mark.parametrize("phase", ["forward_inference", "forward_exploration", "forward_train"])
def test_every_phase_gives_the_policys_logits(
    module: PointerRLModule, perturbed: PointerPolicy, phase: str
) -> None:
    module.set_state(to_module_state(perturbed.state_dict()))
    observations = a_batch()
    batch = {Columns.OBS: stacked(observations)}
    logits = getattr(module, phase)(batch)[Columns.ACTION_DIST_INPUTS].detach().numpy()
    assert np.array_equal(logits, logits_of(perturbed, observations))
    assert set(batch[Columns.OBS]) == set(observations[0]), "the observations are read again later"


def test_values_are_the_policys(module: PointerRLModule, perturbed: PointerPolicy) -> None:
    module.set_state(to_module_state(perturbed.state_dict()))
    batch = stacked(a_batch())
    _, value_B = perturbed(
        batch["features"], batch["globals"], batch["mask"], batch["prior_logits"]
    )
    assert torch.equal(module.compute_values({Columns.OBS: batch}), value_B)


def test_masked_candidates_are_never_sampled(module: PointerRLModule) -> None:
    batch = stacked(a_batch())
    logits = module.forward_exploration({Columns.OBS: batch})[Columns.ACTION_DIST_INPUTS]
    distribution = module.get_exploration_action_dist_cls().from_logits(logits)
    for _ in range(50):
        chosen = distribution.sample()
        assert (batch["mask"].gather(1, chosen[:, None]) == 1).all()


def test_weights_pass_through_unchanged(module: PointerRLModule, perturbed: PointerPolicy) -> None:
    weights = perturbed.state_dict()
    module.set_state(to_module_state(weights))
    returned = from_module_state(module.get_state())
    assert weights_hash(returned) == weights_hash(weights)
    assert_same_weights(module.get_state(), weights)


def test_a_scalar_weight_comes_back_with_its_type() -> None:
    # RLlib's states hold tensors without dimensions as Python floats.
    assert from_module_state({"policy.scale": 0.1})["scale"].dtype is torch.float32


def test_a_restore_that_rllib_ignores_is_noticed(
    module: PointerRLModule, perturbed: PointerPolicy
) -> None:
    module.set_state(to_module_state(PointerPolicy.untrained().state_dict()))
    misnamed = {f"other.{name}": value.numpy() for name, value in perturbed.state_dict().items()}
    module.set_state(misnamed)
    with pytest.raises(AssertionError, match="the module holds the weights"):
        assert_same_weights(module.get_state(), perturbed.state_dict())


def test_real_observations_are_in_the_space(served: Study) -> None:
    assert action_space().n == NUM_CANDIDATES
    for num_events in (0, 1, 7, 30, served.num_events):
        study = served.prefix(num_events) if num_events else Study(spec=served.spec)
        assert observation_space().contains(observe(study, decision_rng(study)).arrays())
