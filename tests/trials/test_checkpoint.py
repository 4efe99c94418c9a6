"""Checkpoints that cannot be written: the disk's fault, not the trial's, and nothing half there."""

import resource
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from lexmove.errors import StorageError
from lexmove.trials.checkpoint import TrialState, load_state, save_state

NOTE = {"fidelity": 1}
SMALL = 4_000


def state(*, weights: int = SMALL, optimizer: int = SMALL, logits: int = 10) -> TrialState:
    """One of so many numbers."""
    return TrialState(
        weights={"w": torch.ones(weights)},
        optimizer={"m": torch.ones(optimizer)},
        note=NOTE,
        logits={"validation": np.zeros((logits, 1), dtype=np.float32)},
    )


@contextmanager
def no_file_beyond(num_bytes: int):
    """The system refuses to let a file grow further, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("large", ["weights", "optimizer", "logits"])
def test_a_file_that_does_not_fit_is_told_and_the_older_checkpoint_stays(tmp_path, large):
    folder = tmp_path / "epoch_1"
    save_state(folder, state())
    said = r"epoch_1 cannot be written: .*File too large"
    with no_file_beyond(200_000), pytest.raises(StorageError, match=said):
        save_state(folder, state(**{large: 10 * 200_000}))
    assert [path.name for path in tmp_path.iterdir()] == ["epoch_1"]
    kept = load_state(folder, note=NOTE, device=torch.device("cpu"))
    assert kept.weights["w"].shape == (SMALL,)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        save_state(tmp_path / "file" / "epoch_1", state())
