"""The process that runs the study of a setting, or goes on with it: the way of `lexmove tune`.

    python -m benchmarks.chaos.driver setting.json

Exits with 0 when the study is over and with 3, the cause on stderr, where it had to stop.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.chaos.setting import KEPT_BEST, NAME, Setting
from lexmove.agent.baselines import make_proposer
from lexmove.coordinator.coordinator import Coordinator
from lexmove.coordinator.stage import Stage, Work
from lexmove.coordinator.store import open_store
from lexmove.errors import LexmoveError
from lexmove.study.protocols import TrialStore
from lexmove.study.starts import PlannedStart
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Event

NUM_WRITES = "CHAOS_WRITES"
"""The variable that says after how many writes to the store the driver kills itself."""

STOPPED = 3
"""The exit status of a driver that had to stop."""


class MortalStore:
    """A store whose process is killed when it has written `num_left` times."""

    def __init__(self, store: TrialStore, num_left: int) -> None:
        self._store = store
        self._num_left = num_left

    def append(self, name: str, *events: Event) -> Study:
        study = self._store.append(name, *events)
        self._num_left -= 1
        if self._num_left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return study

    def create(self, spec: StudySpec) -> None:
        self._store.create(spec)

    def load(self, name: str) -> Study:
        return self._store.load(name)

    def look(self, name: str) -> Study:
        return self._store.look(name)

    def names(self) -> tuple[str, ...]:
        return self._store.names()

    def extend(self, name: str, num_trials: int, starts: Sequence[PlannedStart] = ()) -> None:
        self._store.extend(name, num_trials, starts)

    def plan_requests(self, name: str) -> Study | None:
        return self._store.plan_requests(name)


def begun(setting: Setting, store: TrialStore) -> Stage:
    """The study as a stage, made or recovered; its folder must be locked."""
    if NAME not in store.names():
        store.create(setting.spec)
    coordinator = Coordinator(
        store=store,
        name=NAME,
        proposer=make_proposer(setting.proposer),
        max_failures=setting.max_failures,
    )
    coordinator.recover()
    return Stage(
        name=NAME,
        coordinator=coordinator,
        study_dir=setting.study_dir,
        on_change=lambda study: None,
        kept_best=KEPT_BEST,
    )


def store_of(setting: Setting) -> TrialStore:
    """The store, mortal where the environment says so."""
    store = open_store(setting.url)
    num_writes = int(os.environ.get(NUM_WRITES) or 0)
    return MortalStore(store, num_writes) if num_writes else store


def run(setting: Setting) -> None:
    """Runs the study to its end on Ray.

    Raises:
        LexmoveError: it had to stop; the next driver goes on.
    """
    from lexmove.cluster.connection import connected
    from lexmove.coordinator.run import run_stages
    from lexmove.coordinator.tune import Slots

    study_dir = setting.study_dir
    study_dir.create()
    store = store_of(setting)
    with (
        study_dir.locked(),
        connected(setting.address, num_cpus=setting.parallel),
    ):
        stage = begun(setting, store)
        work = Work(objective=setting.objective, segment_limit_s=setting.segment_limit_s)
        try:
            run_stages(
                iter([stage]),
                {NAME: work},
                name=NAME,
                slots=Slots(parallel=setting.parallel),
                tune_dir=study_dir.tune,
                lease_s=setting.lease_s,
            )
        except KeyboardInterrupt:
            stage.coordinator.recover()
            raise


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status."""
    try:
        run(Setting.read(Path(arguments[0])))
    except LexmoveError as error:
        print(error, file=sys.stderr, flush=True)
        return STOPPED
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
