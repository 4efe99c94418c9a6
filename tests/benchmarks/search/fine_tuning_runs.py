"""Measured fine-tunings: scores and costs, epoch by epoch; a crash-safe log, and the table."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from lexmove.space.domain import Value

TABLE = Path(__file__).parent / "measured" / "fine_tuning.parquet"

Key = tuple[str, int, int]
"""Task, number of the config, number of the repeat."""

Status = Literal["completed", "failed", "infeasible"]

SERIES = (
    "train_loss",
    "validation_f1_macro",
    "validation_f1_micro",
    "test_f1_macro",
    "test_f1_micro",
    "train_s",
    "evaluation_s",
)
"""What is kept of every epoch; the last two are seconds of processor time."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One fine-tuning with one seed.

    `epochs` holds, for every name of `SERIES`, a value per epoch: as many as were trained before
    the run ended. `status` other than `completed` comes with a `reason` of one line.
    """

    task: str
    config_id: int
    repeat: int
    seed: int
    config: Mapping[str, Value]
    status: Status
    reason: str | None
    epochs: Mapping[str, tuple[float, ...]]

    @property
    def key(self) -> Key:
        """What no other run shares."""
        return self.task, self.config_id, self.repeat

    @property
    def num_epochs(self) -> int:
        """Epochs that were trained and measured."""
        return len(self.epochs["validation_f1_macro"])


def append(log: Path, run: Run) -> None:
    """Adds a run to the log; on disk when it returns."""
    log.parent.mkdir(parents=True, exist_ok=True)
    is_torn = log.exists() and log.read_bytes()[-1:] not in (b"", b"\n")
    with log.open("a", encoding="utf-8") as file:
        # What a crash left of a line gets an end of its own, or it would swallow this one.
        file.write(("\n" if is_torn else "") + json.dumps(asdict(run)) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_log(log: Path) -> list[Run]:
    """The runs of a log, in their order; lines that a crash cut short are passed over."""
    if not log.exists():
        return []
    runs = []
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
        except json.JSONDecodeError:
            continue
        runs.append(_run(values))
    return runs


def _run(values: dict[str, Any]) -> Run:
    epochs = {name: tuple(values["epochs"][name]) for name in SERIES}
    return Run(**(values | {"epochs": epochs}))


def merged(*sources: Iterable[Run]) -> list[Run]:
    """All runs by task, config and repeat, each once; the earlier source wins."""
    found: dict[Key, Run] = {}
    for source in sources:
        for run in source:
            found.setdefault(run.key, run)
    return [found[key] for key in sorted(found)]


def write_table(runs: Iterable[Run], about: Mapping[str, Any], path: Path = TABLE) -> None:
    """Writes the table aside and renames it; `about` says in JSON under what it was measured."""
    rows = [
        {
            "task": run.task,
            "config_id": run.config_id,
            "repeat": run.repeat,
            "seed": run.seed,
            "config": json.dumps(dict(run.config)),
            "status": run.status,
            "reason": run.reason,
            **{name: list(run.epochs[name]) for name in SERIES},
        }
        for run in runs
    ]
    schema = pa.schema(
        [
            ("task", pa.string()),
            ("config_id", pa.int16()),
            ("repeat", pa.int8()),
            ("seed", pa.int32()),
            ("config", pa.string()),
            ("status", pa.string()),
            ("reason", pa.string()),
            *((name, pa.list_(pa.float32())) for name in SERIES),
        ],
        metadata={"about": json.dumps(about)},
    )
    aside = path.with_name(f".{path.name}.aside")
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), aside, compression="zstd")
    aside.replace(path)


def read_table(path: Path = TABLE) -> tuple[list[Run], dict[str, Any]]:
    """The table's runs, and what `write_table` was told about them; nothing if there is none."""
    if not path.exists():
        return [], {}
    table = pq.read_table(path)
    runs = []
    for row in table.to_pylist():
        series = {name: tuple(row.pop(name)) for name in SERIES}
        runs.append(Run(**(row | {"config": json.loads(row["config"]), "epochs": series})))
    return runs, json.loads(table.schema.metadata[b"about"])
