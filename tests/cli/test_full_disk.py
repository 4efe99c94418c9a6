"""A disk that fills up: one message, and nothing that is half there."""

import resource
from pathlib import Path

import pytest

from cli.test_bad_input import JOB, ROWS, left_in
from lexmove_process import begun


def shrink_the_disk() -> None:
    """No file may grow beyond 4 kB: an empty store is larger, and so is the job's schema."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000))


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [(("tune", "job.yaml"), 1, "studies.db"), (("init", "--out", "other.yaml"), 2, "schema")],
)
def test_a_full_disk(
    words: tuple[str, ...], code: int, named: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "clauses.csv").write_text(ROWS)
    (tmp_path / "job.yaml").write_text(JOB)
    process = begun(tmp_path, *words, environment=environment, preexec_fn=shrink_the_disk)
    _, said = process.communicate()
    assert process.returncode == code, said
    assert said.count("error:") == 1
    assert named in said
    assert "Traceback" not in said
    assert "bug in lexmove" not in said
    empty_store = {"studies.db", "studies.db-wal", "studies.db-shm", "studies.db-journal"}
    assert set(left_in(tmp_path)) - empty_store == {"clauses.csv", "job.yaml"}
