"""Which stores of a real cluster are looked into, and that one which refuses is left as it was."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.head import Head, running_head
from cluster.submitted import LONG_S, jobs_of, lexmove, write_job
from lexmove.coordinator.store import open_store
from lexmove.space.loading import load_job_and_space
from lexmove.space.search_space import SearchSpace
from lexmove.study.study import StudySpec
from lexmove_process import begun


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    home = tmp_path_factory.mktemp("home")
    with running_head(token=secrets.token_hex(32), home=home) as found:
        yield found


def load_space(folder: Path) -> SearchSpace:
    """That of the job."""
    write_job(folder, name="any")
    return load_job_and_space(folder / "job.yaml")[1]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_studies_of_all_stores_of_a_cluster_are_found(head: Head, tmp_path: Path) -> None:
    """Also after a job was sent to a store that lacks its study."""
    Path(head.store.removeprefix("sqlite:///")).parent.mkdir(exist_ok=True)
    space = load_space(tmp_path)
    open_store(head.store).create(StudySpec(name="begun", space=space))
    own = f"sqlite:///{tmp_path}/own.db"
    write_job(tmp_path, name="elsewhere", store=own, budget={"trials": 3}, finalists={"top": 0})
    done = lexmove(head, tmp_path, "submit", "job.yaml", "--wait")
    assert done.returncode == 0, done.stderr
    nowhere = f"sqlite:///{tmp_path}/nowhere.db"
    words = ["submit", "--resume", "elsewhere", "--store", nowhere, "--wait"]
    words += ["--storage", str(tmp_path / "nothing")]  # where no backup is
    failed = lexmove(head, tmp_path, *words)
    assert failed.returncode == 2, failed.stderr
    assert "no study 'elsewhere'" in failed.stderr
    best = lexmove(head, tmp_path, "best", "elsewhere", "--json")
    assert best.returncode == 0, best.stderr
    listed = lexmove(head, tmp_path, "ls", "--json")
    assert listed.returncode == 0, listed.stderr
    assert {"begun", "elsewhere"} <= {
        item["study"] for item in json.loads(listed.stdout)["studies"]
    }
    listed = lexmove(head, tmp_path, "ls")
    assert f"{own}:" in listed.stderr
    readers = [job.job_id for job in jobs_of(head).all() if "reader" in job.job_id]
    assert len(readers) <= 1, "what Ray puts back on its list is gone after the next call"

    server = "postgresql+psycopg://me@127.0.0.1:1/studies"
    sent = lexmove(head, tmp_path, "submit", "--resume", "unknown", LEXMOVE_STORE=server)
    assert f"store      {server}" in sent.stderr


@pytest.mark.slow  # Ray tries a wrong token for twenty seconds
def test_a_cluster_that_refuses_leaves_no_study_behind(head: Head, tmp_path: Path) -> None:
    write_job(tmp_path, name="refused")
    environment = head.environment | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    words = ("tune", "job.yaml", "--address", head.gcs)
    process = begun(tmp_path, *words, environment=environment)
    out, err = process.communicate(timeout=LONG_S)
    assert (process.returncode, out) == (4, ""), err
    assert "does not let this process in" in err
    assert open_store(f"sqlite:///{tmp_path}/studies.db").names() == ()
    assert not (tmp_path / "studies" / "refused").exists()


@pytest.mark.slow  # it starts a head
def test_the_dashboards_address_is_no_drivers(head: Head, tmp_path: Path) -> None:
    write_job(tmp_path, name="there")
    done = lexmove(head, tmp_path, "tune", "job.yaml")
    assert done.returncode == 2
    assert f"{head.address} is the address of a dashboard" in done.stderr
    assert f"`lexmove submit JOB --address {head.address}` runs the driver there" in done.stderr
    assert not (tmp_path / "studies.db").exists()
