"""Reads studies from their store, with all that belongs to them; starts nothing."""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from lexmove.app.claiming import is_folder_of, store_file
from lexmove.app.inputs import with_storage
from lexmove.coordinator.backup import backup_file, is_backup_of
from lexmove.coordinator.heartbeats import runner_of
from lexmove.coordinator.remote_storage import RemoteStorage
from lexmove.coordinator.store import open_reader, open_store
from lexmove.coordinator.store_rules import without_password
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import StorageError, StudyNotFoundError, UsageError
from lexmove.job.loading import job_from_json, job_to_json
from lexmove.job.spec import JobSpec
from lexmove.job.storage import is_remote
from lexmove.results.judgement import Judgement, Winner
from lexmove.results.notebook import outcome_html, outcome_line
from lexmove.results.summary import Arm, best_json, repeated_arms, winner_of
from lexmove.study.protocols import TrialReader
from lexmove.study.study import Study
from lexmove.trials.tasks.published_scores import PublishedScore, published_scores

DEFAULT_STORE = "sqlite:///studies.db"
DEFAULT_STORAGE = "studies"
REPETITIONS = ".repetitions."

SEARCHED = "searched"
"""The file in a study's folder that says after how many trials its clock ended the search."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A study with what was learned after its search.

    `state` is `running` while a process holds the study, `finished` when nothing is left to do,
    `without its folder` where what was learned after its search is not where it was kept, else
    `interrupted`.
    """

    study: Study
    state: str
    arms: tuple[Arm, ...]
    reference: Mapping[str, Any] | None
    judgement: Judgement | None = None
    task_name: str | None = None

    def __repr__(self) -> str:
        return f"<Outcome of {outcome_line(self.study, self.state)}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return outcome_html(
            self.study,
            self.state,
            arms=self.arms,
            reference=self.reference,
            judgement=self.judgement,
        )

    @property
    def winner(self) -> Winner | None:
        """What won its repetitions; before them the incumbent."""
        return winner_of(self.study, self.judgement)

    @property
    def published(self) -> tuple[PublishedScore, ...]:
        """Test scores of other models on this task, from the literature."""
        return () if self.task_name is None else published_scores(self.task_name)

    def best_json(self) -> dict[str, Any]:
        """`best --json`."""
        found = best_json(
            self.study, arms=self.arms, reference=self.reference, judgement=self.judgement
        )
        published = [asdict(item) for item in self.published]
        return found | {"state": self.state, "published": published}

    def trials_dataframe(self) -> Any:
        """The trials as a pandas DataFrame: a row per trial by its number, as `trial_table`."""
        import pandas as pd  # comes with `datasets`, and takes long to load

        from lexmove.results.summary import trial_table

        return pd.DataFrame(trial_table(self.study)).set_index("trial")


def store_url(job: JobSpec | None = None, override: str | None = None) -> str:
    """The store to use: the override, the job's, `LEXMOVE_STORE`, or studies.db here."""
    return (
        override or (job.store if job else None) or os.environ.get("LEXMOVE_STORE") or DEFAULT_STORE
    )


def store_option(url: str | None) -> str:
    """` --store URL` where a later command would not find the study without it."""
    return "" if url is None or url == store_url() else f" --store {without_password(url)}"


def load(name: str, *, store: str | None = None) -> Outcome:
    """Reads a study and what belongs to it.

    Raises:
        StudyNotFoundError: no study of that name.
    """
    opened = open_store(url := store_url(None, store))
    return outcome_of(opened, opened.load(name), url)


def look(name: str, *, store: str | None = None) -> Outcome:
    """As `load`, for those who look at a few trials only: the others are not read.

    Raises:
        StudyNotFoundError: no study of that name.
    """
    opened = open_reader(url := store_url(None, store))
    return outcome_of(opened, opened.look(name), url)


def look_all(*, store: str | None = None) -> tuple[Outcome, ...]:
    """As `load_all`, without reading the trials."""
    opened = open_reader(url := store_url(None, store))
    names = [name for name in opened.names() if REPETITIONS not in name]
    return tuple(outcome_of(opened, opened.look(name), url) for name in names)


def load_all(*, store: str | None = None) -> tuple[Outcome, ...]:
    """Every study of a store, oldest first; repetitions belong to their study."""
    opened = open_store(url := store_url(None, store))
    names = [name for name in opened.names() if REPETITIONS not in name]
    return tuple(outcome_of(opened, opened.load(name), url) for name in names)


def outcome_of(store: TrialReader, study: Study, url: str | None = None) -> Outcome:
    """A loaded study, as `located`, with its repetitions and its reference.

    `url` is the store's; without it, that of `store_url`.
    """
    study = located(study, url)
    job = job_of(study) if study.spec.job else None
    study_dir = _as_far_as_reachable(study_dir_of(job)) if job else None
    repetitions = repetitions_of(store, study)
    judgement = None if study_dir is None else judgement_of(study, repetitions, study_dir)
    is_done = is_over(
        study,
        repetitions,
        job,
        is_judged=judgement is not None,
        has_timed_out=study_dir is not None and is_timed_out(study, study_dir),
    )
    is_held = study_dir is not None and study_dir.is_locked()
    is_running = is_held or runner_of(store, study.spec.name) is not None
    is_requested = is_done and bool(store.requests(study.spec.name))
    state = "finished" if is_done and not is_requested else "interrupted"
    if url is not None and study_dir is not None and _is_missing(study_dir, url):
        _warn(_say_missing(study.spec.name, study_dir.root))
        state = "without its folder" if state == "interrupted" else state
    return Outcome(
        study=study,
        state="running" if is_running else state,
        arms=repeated_arms(repetitions),
        reference=_reference(study_dir, is_judged=judgement is not None) if study_dir else None,
        judgement=judgement,
        # Published scores are of the whole test split.
        task_name=job.task.name if job and job.task.max_test is None else None,
    )


def _is_missing(study_dir: StudyDir, url: str) -> bool:
    """Whether the folder of a study is not there, nor that of the project that it was in.

    A server's store and a remote storage are for machines of which each may lack the folder.
    """
    is_here = study_dir.storage is None and store_file(url) is not None
    return is_here and not study_dir.root.parent.parent.exists()


def check_there(study: Study, study_dir: StudyDir, url: str) -> None:
    """Raises: UsageError: it is not there, nor the project that it was in."""
    if _is_missing(study_dir, url):
        raise UsageError(_say_missing(study.spec.name, study_dir.root))


def _say_missing(name: str, root: Path) -> str:
    return (
        f"the folder of study {name!r}, {root}, is not there: move {root.parent} back, or beside "
        f"the store, or say where it is now: `lexmove resume {name} --storage FOLDER`"
    )


@cache
def _warn(words: str) -> None:
    """Once a process: who looks may look again and again."""
    _LOG.warning("%s", words)


def _reference(study_dir: StudyDir, *, is_judged: bool) -> Any:
    """The scores of the reference; its test score was added when the finalists were judged."""
    reference = study_dir.read_json("reference")
    if is_judged and reference is not None and reference.get("test") is None:
        return study_dir.read_json("reference", is_newest=True)  # it was read here before that
    return reference


def _as_far_as_reachable(study_dir: StudyDir) -> StudyDir:
    """Without its remote storage where that does not answer: results are in the store."""
    is_reachable = study_dir.storage is None or _answers(study_dir.storage)
    return study_dir if is_reachable else StudyDir(study_dir.root)


@cache
def _answers(storage: str) -> bool:
    """Whether a remote storage can be read from here; asked once."""
    try:
        RemoteStorage(storage).has("lexmove")
    except StorageError:
        return False
    return True


def judgement_name(study: Study) -> str:
    """Under which name the study's folder keeps the judgement on its repetitions."""
    return f"judgement_{len(study.trials)}"


def judgement_of(study: Study, repetitions: Study | None, study_dir: StudyDir) -> Judgement | None:
    """What was judged of just these repetitions; None before that."""
    data = study_dir.read_json(judgement_name(study))
    if data is None or repetitions is None or data.get("key") != repetitions_key(repetitions):
        return None
    judgement = Judgement.from_json(data)
    if judgement.model is None or study_dir.storage is not None:
        return judgement
    return replace(judgement, model=str(study_dir.here(judgement.model)))


def repetitions_key(repetitions: Study) -> str:
    """Tells these repetitions from any others: of their configs, seeds and scores."""
    told = [
        [trial.decision.expert, trial.segment.seed, [m.metrics for m in trial.measurements]]
        for trial in repetitions.trials
    ]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def is_over(
    study: Study,
    repetitions: Study | None,
    job: JobSpec | None,
    *,
    is_judged: bool,
    has_timed_out: bool = False,
) -> bool:
    """Whether search and repetitions have come to their end, and these were judged.

    Repetitions begin where the search has ended, be it before its budget was used up: by the
    clock, or because the space holds no other config. What was asked for since makes it go on.
    """
    if not all(status.is_final for status in study.counts) or is_asked_for_more(study):
        return False
    if repetitions is not None:
        return is_searched(repetitions) and (is_judged or job is None)
    repeats = job is not None and job.repetitions.top and study.incumbent is not None
    return (is_searched(study) or has_timed_out) and not repeats


def is_asked_for_more(study: Study) -> bool:
    """Whether the user has asked for a config since the last trial was started."""
    return num_asked_for(study) > 0


def num_asked_for(study: Study) -> int:
    """How many configs the user has asked for since the last trial was started."""
    num = len(study.trials)
    return sum(start.is_asked and start.after >= num > 0 for start in study.spec.starts)


def is_timed_out(study: Study, study_dir: StudyDir) -> bool:
    """Whether the clock has ended the search, and no trial was started since."""
    noted = study_dir.read_json(SEARCHED)
    return noted is not None and noted["num_trials"] == len(study.trials)


def is_searched(study: Study) -> bool:
    """Whether every trial of the budget was started and has ended."""
    return not study.num_trials_left and all(status.is_final for status in study.counts)


def repetitions_name(study: Study) -> str:
    """The name under which the store keeps the repetitions of a study, once searched.

    Another one for each number of trials: a study that goes on may have other finalists.
    """
    return f"{study.spec.name}{REPETITIONS}{len(study.trials)}"


def repetitions_before(study: Study, names: Iterable[str]) -> dict[int, str]:
    """Those names that are of repetitions of this study, by how many trials it had then."""
    prefix = f"{study.spec.name}{REPETITIONS}"
    ends = {name: name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    return {int(end): name for name, end in ends.items() if end.isdecimal()}


def repetitions_dir(study: Study, study_dir: StudyDir) -> StudyDir:
    """The folder of the repetitions, within that of their study."""
    return study_dir.below(repetitions_name(study).removeprefix(study.spec.name + "."))


def repetitions_of(store: TrialReader, study: Study) -> Study | None:
    """The repetitions of a study; None before they began."""
    try:
        return store.look(repetitions_name(study))
    except StudyNotFoundError:
        return None


def settled_storage(job: JobSpec) -> str:
    """Where a job's studies are, the same from any folder: a path or a URI."""
    return absolute_storage(job.storage or DEFAULT_STORAGE)


def absolute_storage(storage: str) -> str:
    """The same from any folder; a URI as it is."""
    return storage if is_remote(storage) else str(Path(storage).expanduser().resolve())


def located(study: Study, url: str | None = None, *, storage: str | None = None) -> Study:
    """The study with the places in its job where they are by now: its project may be moved.

    Args:
        study: as its store has it.
        url: of that store; None for `store_url`.
        storage: what the user calls so, which comes first; None for what the job says.
    """
    job = json.loads(study.spec.job) if study.spec.job else {}
    recorded = job.get("storage")
    if recorded is None or is_remote(recorded) or is_remote(storage or ""):
        return study
    given = None if storage is None else absolute_storage(storage)
    found = _storage_now(study, job["name"], recorded, store_url(None, url), given)
    if found == recorded:
        return study
    moved = with_storage(job_from_json(study.spec.job), found)
    return replace(study, spec=replace(study.spec, job=job_to_json(moved)))


def _storage_now(study: Study, name: str, recorded: str, url: str, given: str | None) -> str:
    """The folder with the folder of a study.

    The first of these that holds it: the given one, the recorded one, the one beside the store.
    Where all have lost it, the given one, unless there is something in the recorded one.
    """

    def has_it(storage: str) -> bool:
        return is_backup_of(StudyDir.at(storage, name), study)

    if given is not None and has_it(given):
        return given
    at, file = StudyDir.at(recorded, name), store_file(url)
    if file is not None and not (backup_file(at).exists() and is_folder_of(at, url)):
        beside = str(file.parent / Path(recorded).name)
        if beside != recorded and has_it(beside):
            return beside
    return recorded if given is None or at.root.exists() else given


def study_dir_of(job: JobSpec) -> StudyDir:
    """The folder of a job's study; of a study that may have been moved, by its job as `located`."""
    return StudyDir.at(job.storage or DEFAULT_STORAGE, job.name)


def job_of(study: Study) -> JobSpec:
    """The job that made a study, its budget with the trials that were bought since.

    Raises:
        UsageError: it was not made from a job.
    """
    if not study.spec.job:
        raise UsageError(
            f"study {study.spec.name!r} has no job: it was not made by `lexmove tune` and cannot "
            "be resumed by lexmove"
        )
    job = job_from_json(study.spec.job)
    bought = study.spec.num_trials - job.num_search_trials
    if bought <= 0 or REPETITIONS in study.spec.name:
        return job
    # A study that was given more trials has more to repeat its best with, too.
    trials = job.budget.trials + bought
    return job.model_copy(update={"budget": job.budget.model_copy(update={"trials": trials})})
