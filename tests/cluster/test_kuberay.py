"""The YAML for KubeRay: no key that it does not know, a token on every pod, nothing open."""

import copy
from typing import Any

import jsonschema
import pytest
import ray
import yaml

from cluster.kuberay_schema import SCHEMAS
from lexmove.cluster.deployments import kuberay
from lexmove.coordinator.store_url import locate_store

KINDS = {"job": "RayJob", "cluster": "RayCluster"}
STUDIES, JOB = "/studies", "/job"


@pytest.fixture(params=list(KINDS))
def documents(request) -> dict[str, dict[str, Any]]:
    """The documents of a file by kind; each kind is there once."""
    found = [item for item in yaml.safe_load_all(kuberay(request.param)) if item is not None]
    by_kind = {item["kind"]: item for item in found}
    assert len(by_kind) == len(found)
    assert set(by_kind) == {"PersistentVolumeClaim", "NetworkPolicy", KINDS[request.param]}
    return by_kind


@pytest.fixture
def spec(documents) -> dict[str, Any]:
    """The cluster, on its own or of the job."""
    if "RayJob" in documents:
        return documents["RayJob"]["spec"]["rayClusterSpec"]
    return documents["RayCluster"]["spec"]


@pytest.fixture
def templates(spec) -> list[dict[str, Any]]:
    """The pods' templates, the head's first."""
    return [spec["headGroupSpec"]["template"], *(g["template"] for g in spec["workerGroupSpecs"])]


def mistakes(kind: str, document: dict[str, Any]) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMAS[kind])
    return [error.message for error in validator.iter_errors(document)]


def test_every_key_is_one_that_kubernetes_and_kuberay_know(documents):
    assert [mistakes(kind, item) for kind, item in documents.items()] == [[]] * len(documents)


def test_a_misspelt_key_is_found_wherever_it_stands(documents):
    """The schema is closed all the way down: no branch of the files is left unchecked."""
    for kind, document in documents.items():
        for path in paths(document):
            wrong = copy.deepcopy(document)
            *parents, key = path
            place = wrong
            for step in parents:
                place = place[step]
            place[f"{key}Misspelt"] = place.pop(key)
            assert mistakes(kind, wrong), path


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key of nested mappings, but for those that may be any text."""
    if isinstance(value, list):
        return [found for i, item in enumerate(value) for found in paths(item, (*path, i))]
    if not isinstance(value, dict) or path[-1:] in (("matchLabels",), ("labels",)):
        return []
    if path[-1:] in (("requests",), ("limits",), ("rayStartParams",)):
        return []
    own = [(*path, key) for key in value]
    return own + [found for key, item in value.items() for found in paths(item, (*path, key))]


def test_every_pod_wants_the_token_and_has_it_from_the_secret(spec, templates):
    assert spec["authOptions"] == {"mode": "token", "secretName": "lexmove-token"}
    for template in templates:
        for container in template["spec"]["containers"]:
            env = {item["name"]: item for item in container["env"]}
            assert env["RAY_AUTH_MODE"]["value"] == "token"
            assert env["RAY_AUTH_TOKEN"] == {
                "name": "RAY_AUTH_TOKEN",
                "valueFrom": {"secretKeyRef": {"name": "lexmove-token", "key": "auth_token"}},
            }


def test_no_service_is_open_to_the_outside(documents, spec, templates):
    head = spec["headGroupSpec"]
    assert head["serviceType"] == "ClusterIP"
    assert head["enableIngress"] is False
    policy = documents["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    chosen = policy["podSelector"]["matchLabels"].items()
    assert all(chosen <= template["metadata"]["labels"].items() for template in templates)
    for rule in policy["ingress"]:
        for peer in rule["from"]:
            assert peer["podSelector"]["matchLabels"], "a rule without a selector lets all in"
        if "kuberay-operator" not in str(rule):
            assert [port["port"] for port in rule["ports"]] == [8080]


def test_no_pod_may_more_than_it_needs(templates):
    for template in templates:
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True
        for container in template["spec"]["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}


def test_head_and_workers_share_what_is_kept(documents, templates):
    claim = documents["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for template in templates:
        volumes = {item["name"]: item for item in template["spec"]["volumes"]}
        (container,) = template["spec"]["containers"]
        mounts = {item["mountPath"]: volumes[item["name"]] for item in container["volumeMounts"]}
        claimed = mounts[STUDIES]["persistentVolumeClaim"]["claimName"]
        assert claimed == claim["metadata"]["name"]
        assert mounts["/dev/shm"]["emptyDir"]["medium"] == "Memory"
        env = {item["name"]: item.get("value") for item in container["env"]}
        store = locate_store(env["LEXMOVE_STORE"])
        assert store.is_journal, "SQLite is not safe on the file systems that many nodes mount"
        assert str(store.path).startswith(f"{STUDIES}/")


def test_trials_run_on_gpu_workers_that_come_and_go(spec):
    assert spec["enableInTreeAutoscaling"] is True
    start = spec["headGroupSpec"]["rayStartParams"]
    assert (start["num-cpus"], start["num-gpus"]) == ("0", "0")
    for group in spec["workerGroupSpecs"]:
        assert group["minReplicas"] == 0 < group["maxReplicas"]
        (container,) = group["template"]["spec"]["containers"]
        resources = container["resources"]
        assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"]
        assert resources["limits"]["memory"] == resources["requests"]["memory"]


def test_versions_and_ports_are_those_of_the_rest(spec, templates):
    assert spec["rayVersion"] == ray.__version__
    assert f"FROM rayproject/ray:{ray.__version__}-py311-gpu" in kuberay("job")
    assert f"FROM rayproject/ray:{ray.__version__}-py311-gpu" in kuberay("cluster")
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        assert group["rayStartParams"]["metrics-export-port"] == "8080"
    for template in templates:
        (container,) = template["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports["metrics"] == 8080
        assert not set(ports.values()) & set(range(10002, 20000)), "Ray puts its workers there"


def test_the_job_goes_on_where_it_was_lost_and_cleans_up():
    (job,) = [item for item in yaml.safe_load_all(kuberay("job")) if item and "Job" in item["kind"]]
    spec = job["spec"]
    first, _, second = spec["entrypoint"].partition(" || ")
    assert first.startswith("lexmove resume YOUR_STUDY ")
    assert second.startswith(f"lexmove tune {JOB}/job.yaml ")
    assert spec["backoffLimit"] > 0
    assert spec["shutdownAfterJobFinishes"] is True
    (head,) = spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"]
    assert JOB in [mount["mountPath"] for mount in head["volumeMounts"]]
