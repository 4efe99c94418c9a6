"""The study that faults are thrown at: what it is about, its objective, how it is run."""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import StorageError
from lexmove.space.domain import Categorical, Float
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.protocols import Report
from lexmove.study.study import StudySpec
from lexmove.study.trial import Measurement, Segment
from lexmove.trials.simulated import Fault, SimulatedObjective

NAME = "chaos"
KEPT_BEST = 3
FIDELITY = FidelityPlan(maximum=4, eta=2, first=1)

SPACE = SearchSpace(
    hyperparameters=(
        Hyperparameter(name="lr", domain=Float(low=1e-6, high=1e-3, log=True)),
        Hyperparameter(name="decay", domain=Float(low=0.0, high=0.3)),
        Hyperparameter(name="pooling", domain=Categorical(values=("mean", "cls", "max"))),
    )
)

_LATE_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How a driver runs the study, as a file beside it that a next driver reads.

    `url` is the store. `address` is that of a cluster; None starts Ray here, with a CPU a lane.
    `epoch_s` is the length of an epoch in seconds; `slow` says by how much it is stretched, by
    trial. `faults` are the simulated objective's. With `misreports`, trials tell things twice,
    late and out of order (`Misreporting`). The rest is as everywhere.
    """

    folder: str
    url: str
    seed: int = 0
    num_trials: int = 60
    parallel: int = 2
    epoch_s: float = 0.1
    slow: Mapping[int, float] = field(default_factory=dict)
    faults: Mapping[int, Fault] = field(default_factory=dict)
    misreports: bool = False
    proposer: str = "floor"
    max_failures: int = 1000
    lease_s: float = 60.0
    segment_limit_s: float | None = None
    address: str | None = None

    @property
    def spec(self) -> StudySpec:
        """What the study is about."""
        return StudySpec(
            name=NAME,
            space=SPACE,
            num_trials=self.num_trials,
            parallel=self.parallel,
            fidelity=FIDELITY,
            seed=self.seed,
        )

    @property
    def objective(self) -> SimulatedObjective:
        """What trials do; what it measures depends on `seed` alone."""
        kind = Misreporting if self.misreports else Stretched
        return kind(
            space=SPACE,
            seed=self.seed,
            max_fidelity=FIDELITY.maximum,
            noise_std=0.02,
            epoch_s=self.epoch_s,
            faults=self.faults,
            write_checkpoints=True,
            slow=self.slow,
        )

    @property
    def study_dir(self) -> StudyDir:
        """Where the trials write."""
        return StudyDir(Path(self.folder) / NAME)

    def write(self) -> Path:
        """Leaves the setting for drivers; returns where."""
        path = Path(self.folder) / "setting.json"
        path.write_text(json.dumps(asdict(self)))
        return path

    @classmethod
    def read(cls, path: Path) -> "Setting":
        """What `write` left."""
        data: dict[str, Any] = json.loads(path.read_text())
        for name in ("slow", "faults"):  # the keys of a JSON object are strings
            data[name] = {int(trial_id): value for trial_id, value in data[name].items()}
        return cls(**data)


def file_setting(folder: Path, **changes: Any) -> Setting:
    """One whose store is a SQLite file beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    return Setting(folder=str(folder), url=f"sqlite:///{folder}/studies.db", **changes)


@dataclass(frozen=True, kw_only=True)
class Stretched(SimulatedObjective):
    """The epochs of some trials take longer; a disk that cannot be written is no trial's fault."""

    slow: Mapping[int, float] = field(default_factory=dict)

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        epoch_s = self.epoch_s * self.slow.get(segment.trial_id, 1.0)
        # Of the base class: a subclass's own reports would stretch it again.
        plain = SimulatedObjective(
            **{
                name: getattr(self, name)
                for name in SimulatedObjective.__dataclass_fields__
                if name != "epoch_s"
            },
            epoch_s=epoch_s,
        )
        try:
            plain(segment, trial_dir=trial_dir, report=report)
        except OSError as error:
            raise StorageError(f"{trial_dir} cannot be written: {error.strerror}") from error


class Misreporting(Stretched):
    """Of five trials one reports twice, one late, one out of order; what is told again is wrong.

    Late: from a thread, when the segment is over and the worker has turned to another one.
    """

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        told: list[Measurement] = []
        way = segment.trial_id % 5

        def misreport(measurement: Measurement) -> None:
            told.append(measurement)
            if way != 2:
                report(measurement)
            if way == 0:
                report(_wrong(measurement))

        super().__call__(segment, trial_dir=trial_dir, report=misreport)
        if way == 1:
            threading.Thread(target=_late, args=(report, _wrong(told[0])), daemon=True).start()
        if way == 2:
            for measurement in reversed(told):
                report(measurement)


def _late(report: Report, measurement: Measurement) -> None:
    time.sleep(_LATE_S)
    report(measurement)


def _wrong(measurement: Measurement) -> Measurement:
    return replace(measurement, metrics=dict.fromkeys(measurement.metrics, 10.0))
