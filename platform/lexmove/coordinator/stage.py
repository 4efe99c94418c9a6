"""Stages: parts of a job that follow each other in the same workers, each a study of its own."""

from collections.abc import Callable
from dataclasses import dataclass

from lexmove.coordinator.coordinator import Coordinator
from lexmove.coordinator.study_dir import StudyDir
from lexmove.study.protocols import Objective
from lexmove.study.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the workers need for a stage, known before the first one starts.

    `objective` evaluates its configs; a segment that runs longer than `segment_limit_s` seconds is
    ended, None for no limit. `warm_up` is what a worker does before it asks for its first segment;
    what goes wrong in it will do so again in a trial, and be told there.
    """

    objective: Objective
    segment_limit_s: float | None = None
    warm_up: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One study to run: what decides and records, made when it is this stage's turn.

    `name` is that of its `Work`. `on_change` is called after every recorded event with the study.
    Checkpoints of the `kept_best` best trials stay at the end.
    """

    name: str
    coordinator: Coordinator
    study_dir: StudyDir
    on_change: Callable[[Study], None]
    kept_best: int = 3
