"""What one trial demands of a GPU: memory and the device's time, measured on a few steps."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from lexmove.job.spec import ModelSpec, TaskSpec
from lexmove.space.domain import Value
from lexmove.trials.fine_tuning import FineTuning, Plan
from lexmove.trials.model import load_pretrained, resolve_precision
from lexmove.trials.prepared import Preparation, prepare
from lexmove.trials.recipe import Recipe

_CONTEXT_BYTES = 600 * 2**20
"""What CUDA, its libraries and kernels take per process beside torch's own memory."""

_WARM_UP, _MEASURED = 3, 8
"""Steps: the first ones compile kernels and fill the allocator."""

_MEMORY_SHARE = 0.9
"""Of a GPU's memory that is dealt out; what does not fit after all is trained in halves."""

_MOST_PER_GPU = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuDemand:
    """One trial's `peak_bytes` of a GPU's `total_bytes`; it is at work `busy` (0 to 1) of the time.

    `busy` is the share of wall-clock time in which the device computes, not its utilisation inside.
    """

    peak_bytes: int
    total_bytes: int
    busy: float

    @property
    def trials_per_gpu(self) -> int:
        """How many trials share a GPU: as many as have room and find time on it, 1 to 8."""
        room = int(_MEMORY_SHARE * self.total_bytes // max(1, self.peak_bytes))
        time_left = math.floor(1 / max(self.busy, 1e-3) + 0.5)
        return max(1, min(room, time_left, _MOST_PER_GPU))


def measure_gpu_demand(
    task: TaskSpec, model: ModelSpec, config: Mapping[str, Value], *, data: str
) -> GpuDemand:
    """Trains a few steps of the longest examples on this process's GPU.

    Args:
        task: the data.
        model: the model.
        config: the most demanding one of a search space.
        data: fingerprint of the task.

    Raises:
        LexmoveError: data or model cannot be used.
        torch.OutOfMemoryError: not even one example has room.
    """
    recipe = Recipe.from_config(config, model)
    tokens = prepare(Preparation.of(recipe, task=task, data=data, model_name=model.name))
    plan = Plan(
        recipe=recipe,
        num_labels=len(tokens.labels),
        max_epochs=1,
        seed=0,
        precision=resolve_precision(model.precision),
    )
    training = FineTuning(
        load_pretrained(model.name, recipe.num_hidden_layers), tokens.splits["train"], plan
    )
    longest = np.argsort(-tokens.splits["train"].areas, kind="stable")[: recipe.batch_size]
    try:
        torch.cuda.reset_peak_memory_stats()
        for _ in range(_WARM_UP):
            training.train_step([longest])
        busy = _busy(training, longest)
        peak = torch.cuda.max_memory_reserved() + _CONTEXT_BYTES
    finally:
        training.close()
    total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    return GpuDemand(peak_bytes=peak, total_bytes=total, busy=busy)


def _busy(training: FineTuning, index: np.ndarray) -> float:
    """Time that the device computes over wall-clock time: the host makes it wait for the rest."""
    from torch.profiler import ProfilerActivity, profile

    torch.cuda.synchronize()
    begun_s = time.perf_counter()
    for _ in range(_MEASURED):
        training.train_step([index])
    torch.cuda.synchronize()
    wall_s = time.perf_counter() - begun_s
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        for _ in range(_MEASURED):
            training.train_step([index])
        torch.cuda.synchronize()
    device_s: float = sum(item.self_device_time_total for item in profiled.key_averages()) / 1e6
    return min(1.0, device_s / wall_s)
