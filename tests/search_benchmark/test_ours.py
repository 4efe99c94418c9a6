"""The project's own arms: their records expire with what decides, and with nothing else."""

from pathlib import Path

import lexmove
from benchmarks.search.ours import _behind

ROOT = Path(lexmove.__file__).parent


def test_what_decides_is_followed_through_imports() -> None:
    behind = {path.relative_to(ROOT).as_posix() for path in _behind(ROOT, ["agent.proposer"])}
    assert {"agent/proposer.py", "agent/acquisition.py", "space/domain.py"} <= behind
    assert not {"agent/pretraining/run.py", "agent/pretraining/task_families.py"} & behind
