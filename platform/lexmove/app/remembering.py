"""What past studies teach a new one: those of its store, else the shipped tables."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lexmove.app.stored import REPETITIONS, repetitions_of, store_url
from lexmove.coordinator.store import open_store
from lexmove.errors import LexmoveError
from lexmove.job.loading import job_from_json
from lexmove.job.spec import JobSpec
from lexmove.results.summary import DEFAULT_ARM, arm_name, repeated_arms
from lexmove.space.domain import Domain, Value
from lexmove.space.search_space import SearchSpace
from lexmove.space.translation import translate
from lexmove.study.past import PastResults
from lexmove.study.starts import PlannedStart
from lexmove.study.study import Study
from lexmove.study.trial import Measured, Trial

if TYPE_CHECKING:
    from lexmove.agent.memory import PastStudy

MAX_READ = 48
"""Past studies that are read, the newest: about 20 ms each."""

_MAX_TOLD = 5
"""Past studies left out that are told one by one."""

_USING_STARTS = ("policy", "floor")

_OTHER_MODEL, _OTHER_METRIC, _OTHER_TASK = 0.2, 0.7, 0.5
"""Weight of a past study that differs in this from the job: what suits one model least suits
another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a new study begins with, and what was left out of account.

    `past` is what the studies behind the starts found. `is_shipped` tells a table of the package
    from studies of the store. `left_out` holds a sentence for each past study that could not be
    used.
    """

    starts: tuple[PlannedStart, ...] = ()
    past: tuple[PastResults, ...] = ()
    is_shipped: bool = False
    left_out: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """The past studies, or the table, that the starts come from, each once."""
        return tuple(dict.fromkeys(start.source for start in self.starts))

    @property
    def lines(self) -> tuple[str, ...]:
        """What a user is told: where the starts come from, and the first studies left out."""
        told = [f"not used: {reason}" for reason in self.left_out[:_MAX_TOLD]]
        if (num_more := len(self.left_out) - _MAX_TOLD) > 0:
            told.append(f"not used: {num_more} more past studies")
        known = [f"memory: {self._origin()}"] if self.starts else []
        if self.past:
            num_results = sum(len(results.scores) for results in self.past)
            known.append(
                f"memory: {num_results} results of {_studies(len(self.past))} count beside this "
                "study's own, as far as they rank its trials right"
            )
        return (*known, *told)

    def _origin(self) -> str:
        """`3 starts from 2 past studies: contracts, tos`."""
        studies, names = _studies(len(self.sources)), ", ".join(self.sources)
        starts = "1 start" if len(self.starts) == 1 else f"{len(self.starts)} starts"
        return f"{starts} from {'the shipped table' if self.is_shipped else studies}: {names}"


def _studies(num: int) -> str:
    return "1 past study" if num == 1 else f"{num} past studies"


def recall(job: JobSpec, space: SearchSpace, *, store: str | None = None) -> Memory:
    """What the studies of a store teach the study of a job; nothing is written.

    Nothing that is wrong with a past study stands in the way of a new one: it is left out, with
    a sentence that says why.
    """
    if not job.agent.memory or job.agent.proposer not in _USING_STARTS or not space.searched:
        return Memory()
    from lexmove.agent.memory import learn_portfolio, past_results
    from lexmove.agent.shipped_starts import shipped_starts, shipped_tables

    fit, left_out = _past_studies(job, space, store_url(job, store))
    starts = learn_portfolio(fit, space)
    if starts:
        past = past_results(fit, space)
        return Memory(starts=starts, past=past, left_out=tuple(left_out))
    if any(item.prior is not None for item in space.searched):
        return Memory(left_out=tuple(left_out))  # the user knows better than a table for anybody
    starts = shipped_starts(space, model=job.model.name, tables=shipped_tables())
    return Memory(starts=starts, is_shipped=True, left_out=tuple(left_out))


def _past_studies(
    job: JobSpec, space: SearchSpace, url: str
) -> tuple[list["PastStudy"], list[str]]:
    """The newest studies that teach something, newest first, and why others do not."""
    from lexmove.agent.memory import PastStudy, why_unfit

    fit: list[PastStudy] = []
    left_out: list[str] = []
    if not _exists(url):
        return fit, left_out
    try:
        store = open_store(url)
        names = [name for name in store.names() if REPETITIONS not in name and name != job.name]
    except LexmoveError as error:
        return fit, [f"past studies: {error}"]
    for name in reversed(names[-MAX_READ:]):
        try:
            study = store.load(name)
        except LexmoveError as error:
            left_out.append(str(error))
            continue
        study = as_repeated(study, repetitions_of(store, study))
        past = PastStudy.from_study(study, weight=weight_of(study, job))
        reason = why_unfit(past, space) if _has_ended(study) else "it has not ended"
        if reason is None:
            fit.append(past)
        else:
            left_out.append(f"study {name!r}: {reason}{_way_out(study, space)}")
    return fit, left_out


def _way_out(study: Study, space: SearchSpace) -> str:
    """How to try the best of a study that shares too little, to paste into the job; or nothing."""
    from lexmove.agent.memory import shares_enough

    best = study.incumbent
    if best is None or shares_enough(study.spec.space, space):
        return ""
    config = study.trials[best.trial_id].config
    nearest = translate(config, space).config
    shared = ", ".join(
        f"{item.name}: {_as_yaml(nearest[item.name], item.domain)}"
        for item in space.searched
        if item.name in config and item.name in nearest
    )
    if not shared or space.is_forbidden(nearest):
        return ""
    return f"; its best can be tried first: agent: {{starts: [{{{shared}}}]}}"


def _as_yaml(value: Value, domain: Domain) -> str:
    """A value of a domain, with no more digits than it takes."""
    short = float(f"{value:.3g}") if isinstance(value, float) else value
    return json.dumps(short if domain.contains(short) else value)


def as_repeated(study: Study, repetitions: Study | None) -> Study:
    """The study with what its best configs reached when they were trained again as long.

    What won a search was lucky, too: its repeated mean stands for it, and no earlier epoch of its
    is better than that. By as much as the winners fell, all else falls that was not repeated: left
    with its own luck, it would pass those that were.
    """
    if repetitions is None:
        return study
    means = {arm.name: arm.validation.mean for arm in repeated_arms(repetitions) if arm.validation}
    lengths = {trial.decision.expert: trial.until for trial in repetitions.trials}
    by_trial = {
        trial.trial_id: means[name]
        for trial in study.trials
        if (name := _arm_of(trial, study)) in means and lengths[name] == trial.fidelity
    }
    if not by_trial:
        return study
    luck = _luck(study, by_trial)
    events = [
        event
        if not isinstance(event, Measured)
        else _at_most(event, by_trial[event.trial_id], study)
        if event.trial_id in by_trial
        else _without(luck, event, study)
        for event in study.events
    ]
    return Study.from_events(study.spec, events)


def _luck(study: Study, by_trial: Mapping[int, float]) -> float:
    """By how much the winners' scores fell on average, ≥ 0; the default was not chosen by any."""
    falls = [
        score - study.sign * mean
        for trial, mean in ((study.trials[trial_id], mean) for trial_id, mean in by_trial.items())
        if _arm_of(trial, study) != DEFAULT_ARM
        and (score := study.score_at(trial, trial.fidelity)) is not None
    ]
    return max(0.0, sum(falls) / len(falls)) if falls else 0.0


def _without(luck: float, event: Measured, study: Study) -> Measured:
    metric, measurement = study.spec.metric, event.measurement
    value = measurement.metrics.get(metric)
    if value is None or not luck:
        return event
    metrics = {**measurement.metrics, metric: value - study.sign * luck}
    return replace(event, measurement=replace(measurement, metrics=metrics))


def _arm_of(trial: Trial, study: Study) -> str:
    return DEFAULT_ARM if trial.config == study.spec.space.default else arm_name(trial.trial_id)


def _at_most(event: Measured, mean: float, study: Study) -> Measured:
    """A measurement that is no better than the mean; the trial's last one is the mean."""
    metric, measurement = study.spec.metric, event.measurement
    value = measurement.metrics.get(metric)
    is_last = measurement.fidelity == study.trials[event.trial_id].fidelity
    if value is None or (not is_last and study.sign * value <= study.sign * mean):
        return event
    metrics = {**measurement.metrics, metric: mean}
    return replace(event, measurement=replace(measurement, metrics=metrics))


def _exists(url: str) -> bool:
    """Whether there may be a store: looking for a file needs no database library."""
    scheme, _, path = url.partition(":///")
    if scheme in ("sqlite", "journal"):
        return Path(path).expanduser().exists()
    return "://" in url or Path(url).exists()


def _has_ended(study: Study) -> bool:
    return all(trial.status.is_final for trial in study.trials)


def weight_of(study: Study, job: JobSpec) -> float:
    """How much a past study counts for a job, in (0, 1]; 1 is the same model, metric and task."""
    try:
        past = job_from_json(study.spec.job)
    except LexmoveError:
        return _OTHER_MODEL * _OTHER_TASK
    weight = 1.0 if _last(past.model.name) == _last(job.model.name) else _OTHER_MODEL
    weight *= 1.0 if study.spec.metric == job.metric.name else _OTHER_METRIC
    return weight * (1.0 if _data(past) == _data(job) else _OTHER_TASK)


def _data(job: JobSpec) -> str:
    files = job.task.files
    return f"task {job.task.name}" if files is None else f"file {_last(files.train)}"


def _last(path: str) -> str:
    """A stored job has absolute paths, a new one those of its file."""
    return Path(path).name
