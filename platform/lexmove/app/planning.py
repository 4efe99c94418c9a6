"""The dry run: what a job would do, how long it would take, and whether it fits; starts nothing.

Offline, nothing heavy is imported and neither the data nor the model is looked at.
"""

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lexmove.agent.continuation import MAX_ASKED_PILOTS, MAX_RECALLED_PILOTS
from lexmove.app.checking import check_data, check_words, left_out
from lexmove.app.forecast import repetition_epochs
from lexmove.app.preparing import fidelity_plan, study_spec
from lexmove.app.remembering import Memory, recall
from lexmove.app.submitting import check_storage
from lexmove.cluster.dashboard import Node, find_dashboard
from lexmove.job.spec import JobSpec, ResourcesSpec
from lexmove.space.search_space import SearchSpace
from lexmove.study.allowance import expected_epochs, most_epochs
from lexmove.study.study import Study, decision_rng
from lexmove.study.trial import Measurement, Segment, Started, Suggestion

if TYPE_CHECKING:
    from lexmove.trials.tasks.data_card import DataCard
    from lexmove.trials.tasks.task import TaskData

_SPLITS = ("train", "validation", "test")
_STEP = ("per_device_train_batch_size", "gradient_accumulation_steps")
_NUM_SUGGESTIONS = 4
_TIMED_EXAMPLES = 192
"""Training examples of the timed epoch: seconds on one core, yet some dozen batches."""

_TIMED_EPOCHS = 2
"""The first epoch pays for loading; the last one is the measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Extrapolated from one small epoch of the default config on this machine; seconds, hours.

    `epoch_s` is one epoch on the whole task, `search_s` and `repetitions_s` wall-clock times with
    `parallel` trials at once, in which `search_trials` have room. `search_most_s` is the search
    with the epochs that ASHA's promotions may add; with them, `gpu_hours` is what search and
    repetitions take of GPUs. The job's `wall_clock` cuts the search.
    """

    epoch_s: float
    search_s: float
    search_most_s: float
    search_trials: int
    repetitions_s: float
    gpu_hours: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Whether the trials that should run at once have room on this machine, or on a cluster's.

    `num_gpus` is None where no one looked; `num_slots` how many trials have room at once.
    `is_fitting` is None where that hangs on GPUs that no one looked at.
    `num_nodes` are a cluster's that are up now, None for this machine alone.
    """

    num_cpus: int
    num_gpus: int | None
    num_slots: int
    is_fitting: bool | None
    num_nodes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a job would do. `card`, of its data, and `estimate` are None offline.

    `left_out` lists the rows that could not be used.

    The search takes `search_epochs` to `search_most_epochs`; `num_pilots` trials may be trained to
    the end before all else.
    """

    job: JobSpec
    space: SearchSpace
    card: "DataCard | None"
    left_out: tuple[str, ...]
    memory: Memory
    suggestions: tuple[Suggestion, ...]
    rungs: tuple[int, ...]
    num_pilots: int
    search_epochs: int
    search_most_epochs: int
    repetition_epochs: int
    estimate: Estimate | None
    fit: Fit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Epochs:
    search: int
    search_most: int
    repetitions: int


def plan_job(
    job: JobSpec,
    space: SearchSpace,
    *,
    offline: bool,
    address: str | None = None,
    store: str | None = None,
) -> Plan:
    """Plans a job.

    Args:
        job: what to do.
        space: what may be tried.
        offline: look at neither data nor model, measure nothing, import nothing heavy.
        address: of a cluster whose nodes the trials would run on; None for this machine.
        store: whose studies are remembered; None for the job's own.

    Raises:
        LexmoveError: the job cannot be run as it stands.
    """
    check_words(job, space)
    fidelity, num_trials = fidelity_plan(job), job.num_search_trials
    memory = recall(job, space, store=store)
    num_pilots = _num_pilots(job, memory)
    epochs = _Epochs(
        search=expected_epochs(fidelity, num_trials),
        search_most=most_epochs(fidelity, num_trials, num_pilots=num_pilots),
        repetitions=repetition_epochs(job),
    )
    if address is None:
        fit = fit_here(job, num_gpus=None if offline else _count_gpus())
    else:
        dashboard = find_dashboard(address)
        check_storage(job, dashboard)
        fit = fit_there(job, dashboard.nodes())
    task = None if offline else _load_task(job)
    if task is not None:
        check_data(job, space, task)
    return Plan(
        job=job,
        space=space,
        card=None if task is None else _card(job, space, task),
        left_out=() if task is None else left_out(task),
        memory=memory,
        suggestions=first_suggestions(job, space, memory),
        rungs=fidelity.rungs,
        num_pilots=num_pilots,
        search_epochs=epochs.search,
        search_most_epochs=epochs.search_most,
        repetition_epochs=epochs.repetitions,
        estimate=None if task is None else _estimate(job, space, task, fit, epochs),
        fit=fit,
    )


def _num_pilots(job: JobSpec, memory: Memory) -> int:
    """How many trials the agent may train to the end before all else."""
    if job.agent.starts:
        num = min(MAX_ASKED_PILOTS, len(job.agent.starts))
    else:
        num = MAX_RECALLED_PILOTS if memory.past and job.fidelity.promotion == "asha" else 1
    return min(num, job.num_search_trials)


def first_suggestions(job: JobSpec, space: SearchSpace, memory: Memory) -> tuple[Suggestion, ...]:
    """What the agent would start first, before anything is measured."""
    from lexmove.app.own_proposer import planned_proposer

    propose = planned_proposer(job.agent.proposer)
    study = Study(spec=study_spec(job, space, starts=memory.starts, past=memory.past))
    suggestions: list[Suggestion] = []
    num = max(_NUM_SUGGESTIONS, 1 + len(job.agent.starts))
    for _ in range(min(num, job.num_search_trials)):
        suggestion = propose(study, decision_rng(study))
        if suggestion is None:
            break
        suggestions.append(suggestion)
        study = study.with_event(_started(study, suggestion))
    return tuple(suggestions)


def _started(study: Study, suggestion: Suggestion) -> Started:
    return Started(
        seq=study.num_events,
        at_s=0.0,
        trial_id=len(study.trials),
        config=dict(suggestion.config),
        until=suggestion.until,
        seed=0,
        decision=suggestion.decision,
    )


def fit_here(job: JobSpec, *, num_gpus: int | None) -> Fit:
    """How many of the job's trials have room on this machine at once."""
    num_cpus = os.cpu_count() or 1
    slots = int(num_cpus / job.resources.cpu)
    if job.resources.gpu and num_gpus is not None:
        slots = min(slots, _gpu_slots(job.resources, num_gpus))
    is_fitting = slots >= job.budget.parallel
    is_open = is_fitting and bool(job.resources.gpu) and num_gpus is None
    return Fit(
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        num_slots=slots,
        is_fitting=None if is_open else is_fitting,
    )


def fit_there(job: JobSpec, nodes: Sequence[Node]) -> Fit:
    """How many of the job's trials have room on these nodes at once; none straddles two."""
    slots = sum(_slots_of(job.resources, node) for node in nodes)
    return Fit(
        num_cpus=int(sum(node.num_cpus for node in nodes)),
        num_gpus=int(sum(node.num_gpus for node in nodes)),
        num_slots=slots,
        is_fitting=slots >= job.budget.parallel,
        num_nodes=len(nodes),
    )


def _slots_of(resources: ResourcesSpec, node: Node) -> int:
    slots = int(node.num_cpus / resources.cpu)
    return min(slots, _gpu_slots(resources, int(node.num_gpus))) if resources.gpu else slots


def _gpu_slots(resources: ResourcesSpec, num_gpus: int) -> int:
    """Fractions share one GPU and never straddle two."""
    if resources.gpu < 1:
        return num_gpus * int(1 / resources.gpu)
    return int(num_gpus / resources.gpu)


def _count_gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _load_task(job: JobSpec) -> "TaskData":
    from lexmove.trials.tasks.task import load_task

    return load_task(job.task)


def _card(job: JobSpec, space: SearchSpace, task: "TaskData") -> "DataCard":
    """What the data hold, with lengths in the tokens of the job's model."""
    from lexmove.trials.model import load_tokenizer
    from lexmove.trials.recipe import Recipe
    from lexmove.trials.tasks.data_card import data_card
    from lexmove.trials.tokens import token_counts

    tokenizer = load_tokenizer(job.model.name)
    lengths = {name: token_counts(task.split(name), tokenizer) for name in _SPLITS}
    recipe = Recipe.from_config(space.default, job.model)
    highest = {name: space[name].domain.from_unit(1.0) for name in _STEP if name in space}
    largest = Recipe.from_config({**space.default, **highest}, job.model)
    return data_card(
        task,
        lengths,
        recipe.max_length * (recipe.max_segments or 1),
        in_segments=recipe.max_segments is not None,
        examples_per_step=largest.batch_size * largest.accumulation,
    )


def _estimate(
    job: JobSpec, space: SearchSpace, task: "TaskData", fit: Fit, epochs: _Epochs
) -> Estimate:
    epoch_s = time_epoch(job, space, task)
    lanes = max(1, min(job.budget.parallel, fit.num_slots))
    limit_s = job.budget.wall_clock or math.inf
    search_s = epochs.search * epoch_s / lanes
    search_most_s = min(limit_s, epochs.search_most * epoch_s / lanes)
    repetitions_s = epochs.repetitions * epoch_s / lanes
    return Estimate(
        epoch_s=epoch_s,
        search_s=min(limit_s, search_s),
        search_most_s=search_most_s,
        search_trials=math.ceil(job.num_search_trials * min(1.0, limit_s / search_s)),
        repetitions_s=repetitions_s,
        gpu_hours=(search_most_s + repetitions_s) * lanes * job.resources.gpu / 3600,
    )


def time_epoch(job: JobSpec, space: SearchSpace, task: "TaskData") -> float:
    """Seconds of one epoch of the default config on the whole task.

    Trains on a small part of it, with the validation split cut alike, and extrapolates linearly.

    Raises:
        TrialError: the default config cannot be trained.
    """
    from lexmove.trials.objective import FineTuningObjective

    share = min(1.0, _TIMED_EXAMPLES / len(task.train))
    max_train = _cut(len(task.train), share, len(task.labels))
    share = max_train / len(task.train)
    small = job.task.model_copy(
        update={
            "max_train": max_train,
            "max_validation": _cut(len(task.validation), share, len(task.labels)),
        }
    )
    objective = FineTuningObjective(
        task=small, model=job.model, max_epochs=max(_TIMED_EPOCHS, job.fidelity.max_epochs)
    )
    measured: list[Measurement] = []
    segment = Segment(trial_id=0, config=space.default, seed=job.seed, until=_TIMED_EPOCHS)
    with tempfile.TemporaryDirectory() as folder, _threads(job.resources.cpu):
        objective(segment, trial_dir=Path(folder), report=measured.append)
    return measured[-1].duration_s / share


def _cut(size: int, share: float, num_labels: int) -> int:
    return min(size, max(num_labels, round(size * share)))


@contextmanager
def _threads(num_cpus: float) -> Iterator[None]:
    """As many torch threads as a trial would have."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, int(num_cpus)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
