"""cluster.yaml, the other providers in its comments, and the file for a list of hosts.

As Ray's own launcher judges them.
"""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from lexmove.cluster.deployments import hosts
from lexmove.errors import UsageError

PATH = Path(__file__).parents[2] / "cluster.yaml"
_WORKER_PORTS = range(10002, 20000)


def written() -> dict[str, Any]:
    return yaml.safe_load(PATH.read_text(encoding="utf-8"))


def commented(provider: str) -> dict[str, Any]:
    """The block of a provider in the comments, laid over the file as its instructions say."""
    text = PATH.read_text(encoding="utf-8")
    block = re.search(rf"^# --- {provider}\n((?:#(?! ---).*\n)+)", text, re.MULTILINE)
    assert block is not None
    lines = [line.removeprefix("#").removeprefix(" ") for line in block[1].splitlines()]
    return {**written(), **yaml.safe_load("\n".join(lines))}


def on_hosts(*workers: str) -> dict[str, Any]:
    return yaml.safe_load(hosts("10.0.0.1", workers, user="jo", key="~/.ssh/key"))


@pytest.fixture(params=["aws", "gcp", "azure", "local"])
def config(request) -> dict[str, Any]:
    if request.param == "local":
        chosen = on_hosts("10.0.0.2", "node3.lan")
    else:
        chosen = written() if request.param == "aws" else commented(request.param)
    assert chosen["provider"]["type"] == request.param
    return chosen


def start_command(config: dict[str, Any], kind: str) -> str:
    return next(line for line in config[f"{kind}_start_ray_commands"] if "ray start" in line)


def test_ray_accepts_it(config):
    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    assert start_command(prepared, "head") == start_command(config, "head")
    assert all("s3-us-west-2" not in line for line in prepared["head_setup_commands"])


def test_the_head_takes_no_trials(config):
    assert "--num-cpus=0" in start_command(config, "head").split()
    assert "--num-gpus=0" in start_command(config, "head").split()
    if config["provider"]["type"] != "local":
        head = config["available_node_types"][config["head_node_type"]]
        assert head["resources"] == {"CPU": 0, "GPU": 0}


@pytest.mark.parametrize("config", ["aws", "gcp", "azure"], indirect=True)
def test_gpu_workers_grow_with_the_work(config):
    prepared = prepare_config(copy.deepcopy(config))
    for name, node in prepared["available_node_types"].items():
        if name != prepared["head_node_type"]:
            assert 0 <= node["min_workers"] < node["max_workers"] <= prepared["max_workers"]
            assert node["resources"]["GPU"] >= 1


def test_all_hosts_of_a_list_are_used():
    config = on_hosts("10.0.0.2", "node3.lan")
    assert config["provider"] == {
        "type": "local",
        "head_ip": "10.0.0.1",
        "worker_ips": ["10.0.0.2", "node3.lan"],
    }
    assert config["auth"] == {"ssh_user": "jo", "ssh_private_key": "~/.ssh/key"}
    prepared = prepare_config(copy.deepcopy(config))
    (node,) = prepared["available_node_types"].values()
    assert (node["min_workers"], node["max_workers"], prepared["max_workers"]) == (2, 2, 2)


def test_hosts_are_set_up_and_started_as_the_cloud_is():
    cloud, own = written(), on_hosts("10.0.0.2")
    assert own["docker"]["image"] == cloud["docker"]["image"]
    for key in (
        "file_mounts",
        "rsync_exclude",
        "rsync_filter",
        "setup_commands",
        "head_start_ray_commands",
        "worker_start_ray_commands",
    ):
        assert own[key] == cloud[key]


@pytest.mark.parametrize(
    ("named", "why"),
    [
        (["10.0.0.1"], "'10.0.0.1' is named twice"),
        (["10.0.0.2", "10.0.0.2"], "'10.0.0.2' is named twice"),
        (["jo@10.0.0.2"], "'jo@10.0.0.2' is neither a name nor an address"),
        (["10.0.0.2]\nx: ["], "is neither a name nor an address"),
        ([""], "'' is neither a name nor an address"),
    ],
)
def test_what_is_no_list_of_hosts_is_refused(named, why):
    with pytest.raises(UsageError, match=re.escape(why)):
        on_hosts(*named)


@pytest.mark.parametrize("kind", ["head", "worker"])
def test_every_node_wants_the_token(config, kind):
    command = start_command(config, kind)
    export = 'export RAY_AUTH_MODE=token RAY_AUTH_TOKEN="$(cat ~/.lexmove_token)"; ray start'
    assert export in command
    assert config["file_mounts"]["~/.lexmove_token"] == "~/.lexmove_token"
    assert "chmod 600 ~/.lexmove_token" in config["setup_commands"]


def test_the_dashboard_is_reached_by_tunnel_only(config):
    assert "--dashboard-host=127.0.0.1" in start_command(config, "head").split()


@pytest.mark.parametrize("kind", ["head", "worker"])
def test_ports_leave_the_workers_theirs(config, kind):
    ports = [int(port) for port in re.findall(r"port=(\d+)", start_command(config, kind))]
    assert len(ports) == len(set(ports)) >= 3
    assert not set(ports) & set(_WORKER_PORTS)


def test_nodes_install_what_is_pinned_here():
    import ray

    config = written()
    install = config["setup_commands"][-1]
    assert "--constraint constraints.txt" in install
    assert (PATH.parent / "constraints.txt").exists()
    assert config["docker"]["image"] == f"rayproject/ray:{ray.__version__}-py311-gpu"
