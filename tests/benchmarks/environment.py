"""What a benchmark on Ray sets in its environment, before anything that reads it is imported."""

import os
import secrets
from pathlib import Path


def prepare_for_ray() -> None:
    """One thread for each process, a throw-away token, Tune's plain output, absolute paths."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(16))
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    # Workers run in folders of their own, where a relative path leads nowhere.
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(str(Path(path).resolve()) for path in paths)
