"""The trial stores: in memory, or an Optuna study in a database or a journal file, by URL."""

from collections.abc import Sequence
from dataclasses import replace

from lexmove.coordinator.sqlite_reader import SqliteReader
from lexmove.coordinator.store_rules import extended, is_new, no_such_study, requested, study_exists
from lexmove.coordinator.store_url import locate_store
from lexmove.errors import StoreError, StudyNotFoundError
from lexmove.study.heartbeat import Heartbeat
from lexmove.study.protocols import TrialReader, TrialStore
from lexmove.study.starts import PlannedStart
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Event

MEMORY_URL = "memory://"
"""The store that ends with its process."""


class MemoryStore:
    """A `TrialStore` that ends with its process: for `AskTell`, simulations and tests."""

    def __init__(self) -> None:
        self._studies: dict[str, Study] = {}
        self._heartbeats: dict[str, Heartbeat | None] = {}
        self._requests: dict[str, tuple[PlannedStart, ...]] = {}

    def create(self, spec: StudySpec) -> None:
        if spec.name in self._studies:
            raise StoreError(study_exists(spec.name, MEMORY_URL))
        self._studies[spec.name] = Study(spec=spec)

    def append(self, name: str, *events: Event) -> Study:
        study = self.load(name)
        for event in events:
            if is_new(study, event):
                study = self._studies[name] = study.with_event(event)
        return study

    def load(self, name: str) -> Study:
        if name not in self._studies:
            raise StudyNotFoundError(no_such_study(name, self.names(), MEMORY_URL))
        return self._studies[name]

    def look(self, name: str) -> Study:
        return self.load(name)

    def names(self) -> tuple[str, ...]:
        return tuple(self._studies)

    def extend(self, name: str, num_trials: int, starts: Sequence[PlannedStart] = ()) -> None:
        study = self.load(name)
        self._studies[name] = replace(study, spec=extended(study.spec, num_trials, starts))

    def request(self, name: str, start: PlannedStart) -> None:
        self._requests[name] = (*self.requests(name), start)

    def requests(self, name: str) -> tuple[PlannedStart, ...]:
        return self._requests.get(self.load(name).spec.name, ())

    def plan_requests(self, name: str) -> Study | None:
        study = self.load(name)
        spec = requested(study, self._requests.pop(name, ()))
        if spec is None:
            return None
        self._studies[name] = replace(study, spec=spec)
        return self._studies[name]

    def delete(self, name: str) -> None:
        del self._studies[self.load(name).spec.name]
        self._requests.pop(name, None)

    def heartbeat(self, name: str) -> Heartbeat | None:
        return self._heartbeats.get(self.load(name).spec.name)

    def beat(
        self, name: str, heartbeat: Heartbeat | None, *, instead_of: Heartbeat | None = None
    ) -> bool:
        if instead_of is not None and self.heartbeat(name) != instead_of:
            return False
        self._heartbeats[self.load(name).spec.name] = heartbeat
        return True


def open_reader(url: str) -> TrialReader:
    """What reads the store at a URL and writes nothing; loads no database driver for SQLite.

    Raises:
        UsageError: not a URL of a store.
    """
    if not url.startswith("sqlite:"):
        return open_store(url)
    return SqliteReader(locate_store(url), whole=lambda: open_store(url))


def open_store(url: str, *, patience_s: float | None = None) -> TrialStore:
    """The store at a URL.

    `sqlite:///studies.db` (three slashes: below the current folder; four: an absolute path),
    `postgresql+psycopg://user@host/database`, `journal:///studies.log` or just a path ending in
    `.log` (Optuna's journal file, for shared file systems), or `memory://`. Nothing is created
    before a study is.

    `patience_s` is how long a database server that goes away in mid-study is waited for (default:
    a minute); one that does not answer at first is an error at once.

    Raises:
        UsageError: not a URL of a store.
    """
    if url == MEMORY_URL:
        return MemoryStore()
    from lexmove.coordinator.optuna_store import OptunaStore

    return OptunaStore(url) if patience_s is None else OptunaStore(url, patience_s=patience_s)
