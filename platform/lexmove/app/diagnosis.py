"""What `doctor` looks at: the machine, the packages of the built-in task and model, the store."""

import os
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile

from lexmove.app.stored import store_url
from lexmove.cluster.doctor import Check, check_machine, guarded
from lexmove.coordinator.store import open_store
from lexmove.coordinator.store_rules import without_password
from lexmove.errors import StoreError, TaskError


def diagnose(*, store: str | None, network: bool) -> tuple[Check, ...]:
    """Every check, in order.

    Args:
        store: URL of the study store; None for the default one.
        network: whether the model hub may be asked.
    """
    offline = "pip install lexmove[offline]"
    url = store_url(None, store)
    return (
        *check_machine(folder=Path.cwd(), network=network),
        guarded("built-in tasks", _look_at_tasks, fix=offline),
        guarded("built-in model", _look_at_model, fix=offline),
        guarded("store", lambda: _look_at_store(url), fix="choose another with --store"),
    )


def _look_at_tasks() -> str:
    from lexmove.trials.tasks.license import PACKAGE, VERSION

    installed = version(PACKAGE)
    if installed != VERSION:
        raise TaskError(f"{PACKAGE} is {installed}, but the tasks are made from {VERSION}")
    return f"{PACKAGE} {installed}"


def _look_at_model() -> str:
    from lexmove.trials.model import MINILM_SHA256, load_pretrained

    load_pretrained("minilm", 1)
    return f"minilm loads, sha256 {MINILM_SHA256[:12]}… is right"


def _look_at_store(url: str) -> str:
    """Reads the store's studies and tries its folder; the store itself stays as it is."""
    from lexmove.coordinator.store_url import locate_store

    num_studies = len(open_store(url).names())
    path = locate_store(url).path
    if path is not None:
        folder = next(item for item in path.parents if item.exists())
        with TemporaryFile(dir=folder):
            pass
        if path.exists() and not os.access(path, os.W_OK):
            raise StoreError(f"{path} cannot be written")
    return f"{without_password(url)}, {num_studies} studies"
