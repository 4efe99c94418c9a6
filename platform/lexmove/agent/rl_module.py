"""The policy as RLlib sees it: `PointerPolicy` inside a `TorchRLModule`; ray enters here.

The module holds the policy and nothing else, so that weights pass in and out unchanged and the
policy is served without ray.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule

from lexmove.agent.observation import NUM_CANDIDATES, NUM_FEATURES, NUM_GLOBALS
from lexmove.agent.policy import PointerPolicy, weights_hash

Weights = Mapping[str, torch.Tensor]
"""The `state_dict` of a `PointerPolicy`."""

_BOUND = 1e10
"""No number of an observation is larger; a finite bound is what environment checkers ask for."""

_POLICY = "policy."
"""What RLlib's state puts before the names of the inner policy's weights."""


def observation_space() -> gymnasium.spaces.Dict:
    """The space of `Observation.arrays()`: K candidates of F features and G globals."""

    def box(*shape: int) -> gymnasium.spaces.Box:
        return gymnasium.spaces.Box(-_BOUND, _BOUND, shape, np.float32)

    return gymnasium.spaces.Dict(
        {
            "features": box(NUM_CANDIDATES, NUM_FEATURES),
            "globals": box(NUM_GLOBALS),
            "mask": gymnasium.spaces.Box(0.0, 1.0, (NUM_CANDIDATES,), np.float32),
            "prior_logits": box(NUM_CANDIDATES),
        }
    )


def privileged_space() -> gymnasium.spaces.Dict:
    """What a simulated environment knows beside the observation: see `TrainingEnv`."""
    return gymnasium.spaces.Dict(
        {
            "truth": gymnasium.spaces.Box(-_BOUND, _BOUND, (NUM_CANDIDATES,), np.float32),
            "reached": gymnasium.spaces.Box(-_BOUND, _BOUND, (1,), np.float32),
        }
    )


def action_space() -> gymnasium.spaces.Discrete[np.int64]:
    """The index of a candidate."""
    return gymnasium.spaces.Discrete(NUM_CANDIDATES)


class PointerRLModule(TorchRLModule, ValueFunctionAPI):
    """Masked logits and values of one `PointerPolicy`; the same in every phase."""

    def setup(self) -> None:
        """Builds the policy; RLlib calls it once."""
        self.policy = PointerPolicy.untrained()

    def train(self, mode: bool = True) -> "PointerRLModule":
        """Training or not; RLlib says so before every decision, mostly what it said before."""
        if self.training != mode:
            super().train(mode)
        return self

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        # Exploration, inference and training differ in RLlib's own wrapping only.
        logits_BK, _value_B = self._policy_outputs(batch)
        return {Columns.ACTION_DIST_INPUTS: logits_BK}

    def compute_values(
        self,
        batch: dict[str, Any],
        embeddings: Any = None,
    ) -> torch.Tensor:
        """Values (B,) of the observations in `batch`."""
        return self._policy_outputs(batch)[1]

    def _policy_outputs(self, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        # RLlib reads the observations again after this: nothing may be popped from them.
        observations = batch[Columns.OBS]
        outputs: tuple[torch.Tensor, torch.Tensor] = self.policy(
            observations["features"],
            observations["globals"],
            observations["mask"],
            observations["prior_logits"],
        )
        return outputs


def module_spec() -> RLModuleSpec:
    """What RLlib needs to build the module, with or without an environment."""
    return RLModuleSpec(
        module_class=PointerRLModule,
        observation_space=observation_space(),
        action_space=action_space(),
    )


def network_parameters(module: torch.nn.Module) -> list[torch.nn.Parameter]:
    """What gradients of the logits and values reach: all but the policy's direction."""
    named = module.named_parameters()
    return [parameter for name, parameter in named if not name.endswith(".direction")]


def to_module_state(weights: Weights) -> dict[str, Any]:
    """A policy's weights under the names that the module's state has."""
    return {_POLICY + name: tensor.detach().cpu().numpy() for name, tensor in weights.items()}


def from_module_state(state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The weights of the policy in a module's state, copied; heads beside the policy stay out."""
    # RLlib hands out tensors without dimensions as Python floats: without the dtype they would
    # come back as doubles.
    return {
        name.removeprefix(_POLICY): torch.as_tensor(np.array(value, dtype=np.float32))
        for name, value in state.items()
        if name.startswith(_POLICY)
    }


def assert_same_weights(state: Mapping[str, Any], weights: Weights) -> None:
    """Asserts that a module holds `weights`.

    To be called after every restore: RLlib's `set_state` ignores unknown and missing names.
    """
    held, meant = weights_hash(from_module_state(state)), weights_hash(weights)
    assert held == meant, f"the module holds the weights {held}, not {meant}"


_TALKATIVE = (
    "ray._common.deprecation",
    "ray.rllib.algorithms.algorithm_config",
    "ray.tune.utils.util",
)
"""Loggers that warn about RLlib's own insides whenever it is built."""


@contextmanager
def quiet_rllib() -> Iterator[None]:
    """While RLlib builds its parts, keeps back its warnings about itself; errors still show."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # RLlib registers its environment anew with every algorithm.
            warnings.filterwarnings("ignore", ".*already in registry", UserWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
