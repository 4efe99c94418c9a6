"""Checkpoints of a trial: a folder per epoch, written aside and renamed, read without pickle."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lexmove.errors import StorageError, TaskError, TrialFailedError

_WEIGHTS, _OPTIMIZER, _NOTE = "model.safetensors", "optimizer.pt", "state.json"
_LOGITS = "logits.safetensors"

WEIGHT_FILES = (_WEIGHTS, _OPTIMIZER)
"""Without them a checkpoint cannot be continued; by far the largest."""

LOGIT_FILES = (_LOGITS, _NOTE)
"""What `load_logits` reads."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrialState:
    """All that a trial needs to go on.

    `weights` are the trained parameters by name (frozen ones are those of the pretrained model).
    `optimizer` holds the states of the optimizer and the schedule. `note` says what was trained:
    JSON values, compared at loading. Random states are absent: every epoch seeds its own. `logits`
    are what it said of whole splits, (N, C) by split; only some checkpoints have them.
    """

    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    note: Mapping[str, Any]
    logits: Mapping[str, NDArray[np.floating[Any]]] = field(default_factory=dict)


def save_state(folder: Path, state: TrialState) -> None:
    """Writes a checkpoint; `folder` appears complete or not at all, and replaces an older one.

    Raises:
        StorageError: it cannot be written.
    """
    aside = folder.with_name(f".{folder.name}.{uuid4().hex}")
    try:
        aside.mkdir(parents=True)
        save_file({name: t.contiguous() for name, t in state.weights.items()}, aside / _WEIGHTS)
        # To a path, torch says of a full disk that there was an "unexpected pos", and no more.
        with (aside / _OPTIMIZER).open("wb") as file:
            torch.save(dict(state.optimizer), file)
        if state.logits:
            kept = {name: torch.from_numpy(values) for name, values in state.logits.items()}
            save_file(kept, aside / _LOGITS)
        (aside / _NOTE).write_text(json.dumps(dict(state.note)), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        aside.replace(folder)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch has no error of its own
        told = error.__context__ if isinstance(error.__context__, OSError) else error
        first_line = str(told).partition("\n")[0]
        raise StorageError(f"checkpoint {folder} cannot be written: {first_line}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def load_state(folder: Path, *, note: Mapping[str, Any], device: torch.device) -> TrialState:
    """Reads a checkpoint of exactly what `note` says.

    Raises:
        TrialFailedError: it is missing, damaged, or of another training.
    """
    try:
        found = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
        _check(folder, found, note)
        weights = load_file(folder / _WEIGHTS, device=str(device))
        optimizer = torch.load(folder / _OPTIMIZER, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise TrialFailedError(f"cannot continue: checkpoint {folder} is missing") from None
    # torch has no one error for a damaged archive; UnpicklingError: more than weights are in it.
    except (OSError, ValueError, RuntimeError, EOFError, SafetensorError, UnpicklingError) as error:
        raise TrialFailedError(
            f"cannot continue: checkpoint {folder} is damaged ({type(error).__name__})"
        ) from error
    return TrialState(weights=weights, optimizer=optimizer, note=found)


def _check(folder: Path, found: Mapping[str, Any], note: Mapping[str, Any]) -> None:
    for name, value in note.items():
        if found.get(name) != value:
            raise TrialFailedError(
                f"cannot continue: checkpoint {folder} has {name} = {found.get(name)!r},"
                f" not {value!r}"
            )


def load_weights_of(folder: Path) -> dict[str, Tensor]:
    """The trained parameters of a checkpoint by name.

    Raises:
        TrialFailedError: they are missing or damaged.
    """
    try:
        return load_file(folder / _WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise TrialFailedError(f"checkpoint {folder} cannot be read: {error}") from error


def load_logits(folder: Path, *, data: str) -> dict[str, NDArray[np.float64]]:
    """What a checkpoint keeps of whole splits, (N, C) by split.

    Args:
        folder: the checkpoint.
        data: fingerprint of the task that it must have been trained on.

    Raises:
        TrialFailedError: nothing is kept there, or it is damaged.
        TaskError: it is of other data.
    """
    try:
        note = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
        kept = load_file(folder / _LOGITS)
    except (OSError, ValueError, SafetensorError) as error:
        raise TrialFailedError(
            f"what checkpoint {folder} says of validation and test cannot be read here"
            f" ({type(error).__name__})"
        ) from error
    if note.get("data") != data:
        raise TaskError(
            f"the data are not those that {folder} was trained on: texts, labels or splits have"
            " changed since; restore them, or start a new study under another name"
        )
    return {name: values.double().numpy() for name, values in kept.items()}
