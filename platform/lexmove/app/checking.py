"""What is checked before a study is created, and again before one goes on: words, data, room."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lexmove.app.preparing import check_files, task_of
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import InvalidConfigError, TaskError, UsageError
from lexmove.job.own_code import is_own
from lexmove.job.spec import JobSpec
from lexmove.space.domain import Integer, Ordinal
from lexmove.space.search_space import SearchSpace

if TYPE_CHECKING:
    from lexmove.trials.tasks.task import TaskData

_MAX_LISTED = 10
"""Rows that are named one by one when they are left out."""


def check(job: JobSpec, space: SearchSpace) -> tuple[str, ...]:
    """Finds what would fail every trial, before anything is created.

    Returns:
        What the user should hear of the data: how many rows were left out, and the first of them.

    Raises:
        LexmoveError: an unknown hyperparameter or proposer, policy weights that cannot be read,
            unfit data, an unusable model, a comparison outside the space, or a tracker that is not
            installed.
    """
    from lexmove.app.outlets.trackers import check_tracker

    check_words(job, space)
    for name in job.track:
        check_tracker(name)
    task = task_of(job.task)
    check_data(job, space, task)
    return left_out(task)


def check_words(job: JobSpec, space: SearchSpace, *, is_sent: bool = False) -> None:
    """What can be found without a look at data or model: names, policy weights, an own proposer.

    With `is_sent`, what is not on this machine is left for those to check who run the job.

    Raises:
        LexmoveError: as `check`.
    """
    from lexmove.app.own_proposer import check_own_proposer
    from lexmove.trials.measuring import check_metric
    from lexmove.trials.recipe import check_hyperparameters

    if not is_own(job.metric.name):  # a function of one's own is tried once the classes are known
        check_metric(job.metric.name)
    check_hyperparameters(space.names)
    check_own_proposer(job, space, is_sent=is_sent)
    if job.agent.weights is not None:
        from lexmove.agent.policy import load_weights

        load_weights(Path(job.agent.weights))
    asked = {f"agent.starts[{index}]": start for index, start in enumerate(job.agent.starts)}
    asked |= {f"finalists.compare {item.name!r}": item.config for item in job.finalists.compare}
    for where, config in asked.items():
        try:
            space.config(config)
        except InvalidConfigError as error:
            raise InvalidConfigError(f"{where}: {error}") from None


def check_data(job: JobSpec, space: SearchSpace, task: "TaskData") -> None:
    """Whether space, metric and model fit the data.

    Raises:
        LexmoveError: as `check`.
    """
    from lexmove.trials.measuring import check_metric
    from lexmove.trials.model import check_model
    from lexmove.trials.recipe import check_labelling

    if len(np.unique(task.train.labels)) < 2:
        raise TaskError(
            "all training examples have the same label, and a classifier needs two: give more of "
            "them (task.max_train)"
        )
    check_labelling(
        space.names,
        is_multi_label=task.is_multi_label,
        is_multiple_choice=task.is_multiple_choice,
        has_pairs=task.train.pairs is not None,
    )
    _check_decisions(job, space, task)
    check_metric(job.metric.name, num_labels=len(task.labels), is_multi_label=task.is_multi_label)
    check_model(job.model)
    _check_layers(job, space)


def _check_layers(job: JobSpec, space: SearchSpace) -> None:
    """Refuses a space that reaches beyond the model's layers: those trials would be lost."""
    from lexmove.trials.model import num_layers

    whole = job.model.model_copy(update={"num_hidden_layers": None})
    bounds = {
        "model.freeze_layers": num_layers(job.model),
        "model.num_hidden_layers": num_layers(whole),
    }
    for item in space.hyperparameters:
        if item.name not in bounds:
            continue
        domain, known = item.domain, bounds[item.name]
        highest = domain.high if isinstance(domain, Integer) else None
        if isinstance(domain, Ordinal):
            highest = max(int(value) for value in domain.values)
        if highest is not None and highest > known:
            raise UsageError(
                f"{item.name} goes up to {highest}, but the model has {known} layers: lower it in"
                " the space, or raise model.num_hidden_layers"
            )


def _check_decisions(job: JobSpec, space: SearchSpace, task: "TaskData") -> None:
    """Refuses settings that would be without effect on a task's kind."""
    if job.decide.threshold == "fitted" and not task.is_multi_label:
        raise UsageError(
            "decide.threshold: fitted is for tasks of several labels per text, and this one has one"
            " class each: leave it out"
        )
    if job.decide.threshold == "fitted" and "model.threshold" in space.names:
        raise UsageError(
            "decide.threshold: fitted leaves model.threshold nothing to decide: take one out"
        )
    if job.model.max_segments is not None and (task.is_multiple_choice or task.train.pairs):
        raise UsageError(
            "model.max_segments reads long texts, and this task has pairs or endings: leave it out"
        )


def left_out(task: "TaskData") -> tuple[str, ...]:
    """The rows of a task that could not be used, counted and listed; nothing where all could."""
    if not task.skipped:
        return ()
    listed = task.skipped[:_MAX_LISTED]
    more = len(task.skipped) - len(listed)
    rows = "row was" if len(task.skipped) == 1 else "rows were"
    return (
        f"{len(task.skipped)} {rows} left out:",
        *(f"  {line}" for line in listed),
        *([f"  and {more} more"] if more else []),
    )


def check_same_data(job: JobSpec, study_dir: StudyDir, *, is_new: bool) -> None:
    """Keeps what a new study's data are, and refuses others for one that goes on.

    Raises:
        TaskError: texts, labels or splits have changed since the study began.
    """
    fingerprint = task_of(job.task).fingerprint
    kept = study_dir.read_json("data")
    if is_new or kept is None:
        study_dir.write_json("data", fingerprint)
    elif kept != fingerprint:
        raise TaskError(
            f"the data of study {job.name!r} are not those that it began with: texts, labels or"
            " splits have changed since, and scores would not compare; restore them, or start a"
            " new study under another name"
        )


def check_still_there(job: JobSpec) -> None:
    """Finds data or an own proposer gone, or broken, before a study goes on and Ray is started.

    Raises:
        LexmoveError: one is.
    """
    check_files(job.task)
    if is_own(job.agent.proposer):
        from lexmove.app.own_proposer import load_own_proposer

        load_own_proposer(job.agent.proposer)


def check_room(job: JobSpec, *, num_cpus: float, num_gpus: float) -> None:
    """Finds trials that would wait for ever, on a machine that gets no more than it has.

    Raises:
        UsageError: a single trial asks for more than these CPUs and GPUs.
    """
    asked = job.resources
    if asked.cpu > num_cpus or asked.gpu > num_gpus:
        raise UsageError(
            f"a trial asks for {asked.cpu:g} CPUs and {asked.gpu:g} GPUs, but this machine has "
            f"{num_cpus:g} and {num_gpus:g}: lower `resources` in the job, or run it on a cluster "
            "with --address"
        )


def check_room_here(job: JobSpec) -> None:
    """`check_room` before Ray runs, which may find less than this if a container is limited.

    Raises:
        UsageError: as `check_room`.
    """
    import torch

    check_room(job, num_cpus=os.cpu_count() or 1, num_gpus=torch.cuda.device_count())


def within_room(job: JobSpec, *, num_cpus: float, num_gpus: float) -> JobSpec:
    """The job with no more trials at once than have room, on a machine that gets no more.

    What is started beyond that would wait, decided without what the trials before it found.

    Raises:
        UsageError: not even one trial has room.
    """
    check_room(job, num_cpus=num_cpus, num_gpus=num_gpus)
    room = num_cpus // job.resources.cpu
    if job.resources.gpu:
        room = min(room, num_gpus // job.resources.gpu)
    parallel = min(job.budget.parallel, int(room))
    return job.model_copy(update={"budget": job.budget.model_copy(update={"parallel": parallel})})
