"""Checkpoints of a trial: a folder per epoch, written aside and renamed, read without pickle."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from uuid import uuid4

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lexmove.errors import TrialFailedError

_WEIGHTS, _OPTIMIZER, _NOTE = "model.safetensors", "optimizer.pt", "state.json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrialState:
    """All that a trial needs to go on.

    `weights` are the trained parameters by name (frozen ones are those of the pretrained model).
    `optimizer` holds the states of the optimizer and the schedule. `note` says what was trained:
    JSON values, compared at loading. Random states are absent: every epoch seeds its own.
    """

    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    note: Mapping[str, Any]


def save_state(folder: Path, state: TrialState) -> None:
    """Writes a checkpoint; `folder` appears complete or not at all, and replaces an older one."""
    aside = folder.with_name(f".{folder.name}.{uuid4().hex}")
    aside.mkdir(parents=True)
    try:
        save_file({name: t.contiguous() for name, t in state.weights.items()}, aside / _WEIGHTS)
        torch.save(dict(state.optimizer), aside / _OPTIMIZER)
        (aside / _NOTE).write_text(json.dumps(dict(state.note)), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        aside.replace(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def load_state(folder: Path, *, note: Mapping[str, Any], device: torch.device) -> TrialState:
    """Reads a checkpoint of exactly what `note` says.

    Raises:
        TrialFailedError: it is missing, damaged, or of another training.
    """
    try:
        found = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
        weights = load_file(folder / _WEIGHTS, device=str(device))
        optimizer = torch.load(folder / _OPTIMIZER, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise TrialFailedError(f"cannot continue: checkpoint {folder} is missing") from None
    # torch has no one error for a damaged archive; UnpicklingError: more than weights are in it.
    except (OSError, ValueError, RuntimeError, EOFError, SafetensorError, UnpicklingError) as error:
        raise TrialFailedError(
            f"cannot continue: checkpoint {folder} is damaged ({type(error).__name__})"
        ) from error
    for name, value in note.items():
        if found.get(name) != value:
            raise TrialFailedError(
                f"cannot continue: checkpoint {folder} has {name} = {found.get(name)!r},"
                f" not {value!r}"
            )
    return TrialState(weights=weights, optimizer=optimizer, note=found)
