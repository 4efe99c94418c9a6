"""Where a submitted study is kept, whether its cluster will do, and how many trials have room."""

import json
from pathlib import Path

import pytest

from cluster.answering import FITTING, answering, nodes
from lexmove.app.diagnosis import diagnose
from lexmove.app.planning import fit_there, plan_job
from lexmove.app.submitting import (
    HEAD_STORAGE,
    HEAD_STORE,
    _head_store,
    _placed,
    check_storage,
    store_of,
)
from lexmove.cluster import arrival
from lexmove.cluster.dashboard import Node, find_dashboard
from lexmove.cluster.jobs import STORE, STUDY, Job
from lexmove.errors import UsageError
from lexmove.job.spec import JobSpec
from lexmove.space.loading import space_from_mapping

JOB = {"name": "s", "task": {"name": "license_role"}, "space": "space.yaml"}
PLAIN = {"parameters": {"learning_rate": {"min": 1e-5, "max": 1e-2}}}
SPACE = space_from_mapping(PLAIN)
SERVER = "postgresql+psycopg://me@db/studies"


def job(**changes: object) -> JobSpec:
    return JobSpec.model_validate(JOB | changes)


@pytest.mark.parametrize(
    ("given", "there"),
    [
        (None, HEAD_STORE),
        ("sqlite:///studies.db", HEAD_STORE),
        ("sqlite:///some/where/other.db", "sqlite:///~/lexmove/other.db"),
        ("sqlite:////data/studies.db", "sqlite:////data/studies.db"),
        ("sqlite:///~/mine.db", "sqlite:///~/mine.db"),
        ("journal:////mnt/studies.log", "journal:////mnt/studies.log"),
        ("journal:///studies.log", "journal:///~/lexmove/studies.log"),
        (SERVER, SERVER),
    ],
)
def test_a_store_is_where_it_outlives_its_job(
    monkeypatch: pytest.MonkeyPatch, given: str | None, there: str
) -> None:
    monkeypatch.delenv("LEXMOVE_STORE", raising=False)
    assert _head_store(given) == there


def test_a_server_of_the_clients_is_used_and_a_file_of_its_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEXMOVE_STORE", SERVER)
    assert _head_store(None) == SERVER
    monkeypatch.setenv("LEXMOVE_STORE", "sqlite:////home/me/studies.db")
    assert _head_store(None) == HEAD_STORE


@pytest.mark.parametrize(
    ("given", "there"),
    [
        (None, HEAD_STORAGE),
        ("studies", HEAD_STORAGE),
        ("/mnt/studies", "/mnt/studies"),
        ("~/mine", "~/mine"),
    ],
)
def test_studies_are_kept_where_they_outlive_their_job(given: str | None, there: str) -> None:
    assert _placed(job(storage=given), HEAD_STORE).storage == there


HEAD = {"is_head_node": True, "state": "ALIVE", "resources_total": {"CPU": 4.0}}
BARE_HEAD = HEAD | {"resources_total": {"memory": 1e9}}
WORKER = {"is_head_node": False, "state": "ALIVE", "resources_total": {"CPU": 8.0, "GPU": 2.0}}


@pytest.mark.parametrize(("placed", "health"), [({}, "fail"), ({"storage": "/mnt/studies"}, "ok")])
def test_a_doctor_says_what_submit_would_refuse(
    tmp_path: Path, placed: dict[str, str], health: str
) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps({**JOB, "space": PLAIN, **placed}))
    with answering(FITTING | nodes(HEAD, WORKER)) as address:
        checks = diagnose(store=None, network=False, job=path, address=address)
    (found,) = [item for item in checks if item.name == "storage there"]
    assert found.health == health


def of_store(store: str, status: str) -> Job:
    return Job(job_id="j", status=status, metadata={STUDY: "s", STORE: store})


def test_a_job_that_failed_does_not_hide_the_store_of_one_that_did_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEXMOVE_STORE", SERVER)
    assert store_of([]) == SERVER
    good, late = of_store("sqlite:////a.db", "SUCCEEDED"), of_store("sqlite:////b.db", "FAILED")
    assert store_of([good, late]) == "sqlite:////a.db"
    assert store_of([late]) == "sqlite:////b.db"
    assert store_of([good, of_store("sqlite:////c.db", "RUNNING")]) == "sqlite:////c.db"


def test_trials_on_other_nodes_need_a_folder_that_all_have() -> None:
    for found in ([HEAD, WORKER], [BARE_HEAD], [BARE_HEAD, WORKER]):
        with answering(FITTING | nodes(*found)) as address:
            dashboard = find_dashboard(address)
            with pytest.raises(UsageError, match="set `storage` in the job to a folder that all"):
                check_storage(job(), dashboard)
            check_storage(job(storage="/mnt/studies"), dashboard)
            with pytest.raises(UsageError, match="set `storage` in the job"):
                plan_job(job(), SPACE, offline=True, address=address)
    with answering(FITTING | nodes(HEAD, WORKER | {"state": "DEAD"})) as address:
        check_storage(job(), find_dashboard(address))


def test_no_trial_straddles_two_nodes() -> None:
    found = (
        Node(is_head=True, num_cpus=3.0, num_gpus=0.0),
        Node(is_head=False, num_cpus=3.0, num_gpus=1.0),
    )
    two_cpus = fit_there(job(resources={"cpu": 2.0}), found)
    assert (two_cpus.num_slots, two_cpus.num_nodes, two_cpus.num_cpus) == (2, 2, 6)
    gpus = fit_there(job(resources={"cpu": 1.0, "gpu": 0.5}, budget={"parallel": 3}), found)
    assert (gpus.num_slots, gpus.is_fitting) == (2, False)


def test_a_cluster_is_asked_for_all_that_lexmove_needs() -> None:
    import tomllib

    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    needed = [
        line.partition("[")[0].partition(">")[0].partition("=")[0]
        for line in tomllib.loads(text)["project"]["dependencies"]
    ]
    for_reports = {"jinja2", "plotly"}  # which are written where they are looked at
    assert set(arrival.NEEDED) == set(needed) - for_reports
    assert arrival.missing() == []


def test_a_package_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(arrival, "NEEDED", {"numpy": "numpy", "no-such": "no_such.module"})
    with pytest.raises(SystemExit) as ended:
        arrival.main()
    assert ended.value.code == 4
    assert "has no no-such\n" in capsys.readouterr().err
