"""Ray for the few tests here that need it, and one study that the policy served."""

import pytest

from agent_rllib.tasks import serve
from lexmove.agent.policy import PointerPolicy
from lexmove.study.study import Study
from ray_fixture import ray_session

__all__ = ["ray_session"]


@pytest.fixture(scope="session")
def policy() -> PointerPolicy:
    return PointerPolicy.untrained().eval()


@pytest.fixture(scope="session")
def served(policy: PointerPolicy) -> Study:
    """18 trials on 3 lanes, paused and continued at rungs, failures among them, all ended."""
    return serve(policy, num_trials=18, parallel=3)
