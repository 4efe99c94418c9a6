"""A disk that fills up: one message, and nothing that is half there."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from cli.test_bad_input import JOB, ROWS, left_in


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
    done = subprocess.run(
        [sys.executable, "-m", "lexmove", *words],
        cwd=tmp_path,
        env=environment,
        preexec_fn=shrink_the_disk,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert done.stderr.count("error:") == 1
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert "bug in lexmove" not in done.stderr
    empty_store = {"studies.db", "studies.db-wal", "studies.db-shm", "studies.db-journal"}
    assert set(left_in(tmp_path)) - empty_store == {"clauses.csv", "job.yaml"}
