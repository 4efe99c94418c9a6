"""The trial stores: in memory, or an Optuna study in a database or a journal file, by URL."""

from dataclasses import replace

from lexmove.coordinator.store_rules import is_new, no_such_study, study_exists, with_budget
from lexmove.errors import StoreError, StudyNotFoundError
from lexmove.study.protocols import TrialStore
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Event

MEMORY_URL = "memory://"
"""The store that ends with its process."""


class MemoryStore:
    """A `TrialStore` that ends with its process: for `AskTell`, simulations and tests."""

    def __init__(self) -> None:
        self._studies: dict[str, Study] = {}

    def create(self, spec: StudySpec) -> None:
        if spec.name in self._studies:
            raise StoreError(study_exists(spec.name, MEMORY_URL))
        self._studies[spec.name] = Study(spec=spec)

    def append(self, name: str, event: Event) -> None:
        study = self.load(name)
        if is_new(study, event):
            self._studies[name] = study.with_event(event)

    def load(self, name: str) -> Study:
        if name not in self._studies:
            raise StudyNotFoundError(no_such_study(name, self.names(), MEMORY_URL))
        return self._studies[name]

    def names(self) -> tuple[str, ...]:
        return tuple(self._studies)

    def extend(self, name: str, num_trials: int) -> None:
        study = self.load(name)
        self._studies[name] = replace(study, spec=with_budget(study.spec, num_trials))


def open_store(url: str) -> TrialStore:
    """The store at a URL.

    `sqlite:///studies.db` (three slashes: below the current folder; four: an absolute path),
    `postgresql+psycopg://user@host/database`, `journal:///studies.log` or just a path ending in
    `.log` (Optuna's journal file, for shared file systems), or `memory://`. Nothing is created
    before a study is.

    Raises:
        UsageError: not a URL of a store.
    """
    if url == MEMORY_URL:
        return MemoryStore()
    from lexmove.coordinator.optuna_store import OptunaStore

    return OptunaStore(url)
