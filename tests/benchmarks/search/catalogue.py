"""All tasks of the search benchmark by name and by family; each is built when first called."""

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from benchmarks.search import crash_noise, curve_tasks, functions, tables
from benchmarks.search.task import SearchTask

FAMILIES = (
    "hpobench",
    "fcnet",
    "nasbench201",
    "functions",
    "crash_noise",
    "curves",
    "fine_tuning",
)
"""In the order of the tables; `fine_tuning` has no task where its data is missing."""

_MEASURED = "benchmarks.search.fine_tuning_table"
_MEASURED_RUNS = Path(__file__).parent / "measured" / "fine_tuning.parquet"


def _measured() -> dict[str, Callable[[], SearchTask]]:
    """The project's own table of fine-tunings; nothing before it has been recorded."""
    if not _MEASURED_RUNS.exists() or find_spec(_MEASURED) is None:
        return {}
    found: dict[str, Callable[[], SearchTask]] = import_module(_MEASURED).tasks()
    return {name: cache(make) for name, make in found.items()}


_BY_FAMILY: Mapping[str, dict[str, Callable[[], SearchTask]]] = {
    **tables.by_family(),
    functions.FAMILY: functions.tasks(),
    crash_noise.FAMILY: crash_noise.tasks(),
    curve_tasks.FAMILY: curve_tasks.tasks(),
    "fine_tuning": _measured(),
}

TASKS: dict[str, Callable[[], SearchTask]] = {
    name: make for family in FAMILIES for name, make in _BY_FAMILY[family].items()
}
"""Every task by name, families together. A call builds the task once in a process."""


def names(family: str | None = None) -> tuple[str, ...]:
    """The names of all tasks, or of one family's; builds nothing."""
    return tuple(TASKS if family is None else _BY_FAMILY[family])


def by_family(family: str) -> tuple[SearchTask, ...]:
    """The tasks of one family, built."""
    return tuple(make() for make in _BY_FAMILY[family].values())
