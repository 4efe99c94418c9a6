"""The way to Ray: what goes wrong there is said in a sentence."""

import pytest
import ray
from ray.exceptions import AuthenticationError

from lexmove.cluster.connection import connected
from lexmove.errors import ClusterError


def test_a_refused_token_says_which_variables_to_set(monkeypatch: pytest.MonkeyPatch):
    def refuse(**_: object) -> None:
        raise AuthenticationError("InvalidAuthToken: the token does not match")

    monkeypatch.setattr(ray, "init", refuse)
    refused = pytest.raises(ClusterError, match="refuses the token: set RAY_AUTH_MODE")
    with refused, connected("10.0.0.1:6379"):
        pass
