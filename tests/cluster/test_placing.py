"""Where a submitted study is kept, whether its cluster will do, and how many trials have room."""

from pathlib import Path

import pytest

from cluster.answering import FITTING, answering, nodes
from lexmove.app.planning import fit_there
from lexmove.app.submitting import HEAD_STORAGE, HEAD_STORE, _check_storage, _head_store, _placed
from lexmove.cluster import arrival
from lexmove.cluster.dashboard import Node, find_dashboard
from lexmove.errors import UsageError
from lexmove.job.spec import JobSpec

SERVER = "postgresql+psycopg://me@db/studies"


def job(**changes: object) -> JobSpec:
    told = {"name": "s", "task": {"name": "license_role"}, "space": "space.yaml"}
    return JobSpec.model_validate(told | changes)


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


def test_trials_on_other_nodes_need_a_folder_that_all_have() -> None:
    for found in ([HEAD, WORKER], [BARE_HEAD], [BARE_HEAD, WORKER]):
        with answering(FITTING | nodes(*found)) as address:
            dashboard = find_dashboard(address)
            with pytest.raises(UsageError, match="set `storage` in the job to a folder that all"):
                _check_storage(job(), dashboard)
            _check_storage(job(storage="/mnt/studies"), dashboard)
    with answering(FITTING | nodes(HEAD, WORKER | {"state": "DEAD"})) as address:
        _check_storage(job(), find_dashboard(address))


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
