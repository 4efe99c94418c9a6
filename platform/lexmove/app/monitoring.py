"""Monitoring: what a running study says of itself in numbers, for Prometheus and Grafana.

A study is read when something has happened to it, by its index and its new events; the gauges are
set once a second by a thread of their own, so that they grow with the time and stay in sight
through a long epoch. Left out: what goes on within a trial, which its log tells.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import fmean

from lexmove.app.stored import REPETITIONS
from lexmove.cluster.job_page import Show, open_job_page
from lexmove.cluster.metrics import Reading, StudyMetrics, open_metrics
from lexmove.coordinator.stage import Stage
from lexmove.job.spec import JobSpec
from lexmove.results.profile import profile_of
from lexmove.results.wording import say_metric, say_started
from lexmove.study.study import Study
from lexmove.study.trial import (
    Continued,
    Decision,
    Ended,
    Event,
    Measured,
    Started,
    Trial,
    TrialStatus,
)

_BEAT_S = 1.0
"""Between two settings of the gauges; Ray exports them every ten seconds."""

_HOUR_S = 3600.0

_MAX_ENDINGS = 1000
"""Trials that a rate is made of: more would say nothing new."""

_NUM_RECENT = 16
"""Decisions and rewards of which a mean is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What trials may take: `slots` run at once, each holds `gpus` GPUs."""

    slots: int
    gpus: float = 0.0


def standing(study: Study) -> tuple[Reading, ...]:
    """Where a study stands, whatever the time; without an incumbent none is told.

    Nor are trials left where time is the limit.
    """
    counts, best = study.counts, study.incumbent
    trials = [
        Reading("lexmove_trials", counts.get(status, 0), {"state": status.value})
        for status in TrialStatus
    ]
    found = trials
    if study.spec.wall_clock_s is None:
        found.append(Reading("lexmove_trials_left", study.num_trials_left))
    if best is not None:
        label = {"metric": say_metric(study.spec.metric)}
        found.append(Reading("lexmove_incumbent_value", best.value, label))
    return tuple(found)


def headline(stage: str, study: Study) -> dict[str, str]:
    """What the dashboard's page of a submitted job says of a stage's study.

    Repetitions have no incumbent: the judgement follows them.
    """
    num_ended = sum(count for status, count in study.counts.items() if status.is_final)
    found = {stage: f"{say_started(study.spec, num_ended)} trials ended"}
    if REPETITIONS not in study.spec.name and (best := study.incumbent) is not None:
        score = f"{say_metric(study.spec.metric)} {best.value:.4f}"
        found["incumbent"] = f"{score}, trial {best.trial_id} after {best.fidelity} epochs"
    return found


def occurrences(events: Iterable[Event]) -> Iterator[Reading]:
    """What counters and histograms hear of some events."""
    for event in events:
        if isinstance(event, Measured):
            yield Reading("lexmove_results", 1.0)
        elif isinstance(event, Started | Continued) and event.decision is not None:
            yield Reading("lexmove_suggestion_latency_seconds", event.decided_s)


def gate_weights(study: Study) -> tuple[Reading, ...]:
    """Who makes the next decision of a study that the policy serves."""
    from lexmove.agent.gate import gate_of

    share = gate_of(study).share
    return tuple(
        Reading("lexmove_gate_weight", weight, {"expert": expert})
        for expert, weight in (("policy", share), ("floor", 1.0 - share))
    )


class Tally:
    """What happened in a study since this process began with it, told event by event.

    Args:
        study: as it was then; what its trials took before counts into the GPU hours.
        room: what trials may take now.
    """

    def __init__(self, study: Study, room: Room) -> None:
        self._room = room
        self._since_s: float | None = None
        self._running: dict[int, float] = {}
        self._busy_s = 0.0
        profile = profile_of(study)
        self._earlier_s = sum(profile.phases_s.values()) + profile.handover_s
        self._endings: deque[float] = deque(maxlen=_MAX_ENDINGS)
        self._rewards: deque[float] = deque(maxlen=_NUM_RECENT)
        self._surprises: deque[float] = deque(maxlen=_NUM_RECENT)
        self._versions: dict[str, None] = {}
        for _, decision in study.decisions:
            self._decided(decision)

    def take_in(self, study: Study, event: Event) -> None:
        """Learns of one event of `study`, which may hold later ones, too."""
        if isinstance(event, Started | Continued):
            self._since_s = event.at_s if self._since_s is None else self._since_s
            self._running[event.trial_id] = event.at_s
            if event.decision is not None:
                self._decided(event.decision)
        elif isinstance(event, Ended):
            trial = study.trials[event.trial_id]
            begun_s = self._running.pop(event.trial_id, event.at_s)
            self._busy_s += event.at_s - begun_s
            if event.seq == _first_ending(trial):
                self._endings.append(event.at_s)
            gain = study.realised_gain(trial)
            if gain is not None and event.status in (TrialStatus.PAUSED, TrialStatus.COMPLETED):
                self._rewards.append(gain)

    def _decided(self, decision: Decision) -> None:
        if decision.policy_version is None:
            self._surprises.clear()  # there is no policy, or it was switched off
            return
        self._versions[decision.policy_version] = None
        if decision.log_probability is not None:
            self._surprises.append(-decision.log_probability)

    def readings(self, now_s: float) -> tuple[Reading, ...]:
        """All that is known at this Unix time; what is not is left out."""
        known = {
            "lexmove_trials_per_hour": self._trials_per_hour(now_s),
            "lexmove_utilisation": self._utilisation(now_s),
            "lexmove_gpu_hours": self._gpu_hours(now_s),
            "lexmove_policy_entropy_nats": fmean(self._surprises) if self._surprises else None,
            "lexmove_policy_updates": len(self._versions) - 1 if self._versions else None,
            "lexmove_reward": self._rewards[-1] if self._rewards else None,
            "lexmove_reward_mean": fmean(self._rewards) if self._rewards else None,
        }
        return tuple(Reading(name, value) for name, value in known.items() if value is not None)

    def _busy_until(self, now_s: float) -> float:
        """Seconds that slots have had a trial since this process began."""
        return self._busy_s + sum(now_s - begun_s for begun_s in self._running.values())

    def _utilisation(self, now_s: float) -> float | None:
        if self._since_s is None or now_s <= self._since_s:
            return None
        return self._busy_until(now_s) / (self._room.slots * (now_s - self._since_s))

    def _gpu_hours(self, now_s: float) -> float:
        return (self._earlier_s + self._busy_until(now_s)) * self._room.gpus / _HOUR_S

    def _trials_per_hour(self, now_s: float) -> float | None:
        if self._since_s is None or not self._endings:
            return None
        is_full = len(self._endings) == _MAX_ENDINGS
        begun_s = max(self._endings[0] if is_full else self._since_s, now_s - _HOUR_S)
        num = sum(at_s > begun_s for at_s in self._endings)
        return num * _HOUR_S / (now_s - begun_s) if now_s > begun_s else None


def _first_ending(trial: Trial) -> int | None:
    """The event with which a trial's first segment was over, not just its worker."""
    endings = (event for event in trial.events if isinstance(event, Ended))
    return next((end.seq for end in endings if end.status is not TrialStatus.PREEMPTED), None)


class Monitor:
    """Follows one study and exports what it says.

    Args:
        study: as it stands.
        metrics: where its readings go.
        room: what its trials may take.
        has_policy: whether the policy serves it, and the gate with it.
        stage: what the study is called on the job's page.
        clock: Unix time in seconds.
    """

    def __init__(
        self,
        study: Study,
        metrics: StudyMetrics,
        room: Room,
        *,
        has_policy: bool = False,
        stage: str = "search",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._stage = stage
        self._metrics = metrics
        self._has_policy = has_policy
        self._clock = clock
        self._tally = Tally(study, room)
        self._num_seen = study.num_events
        self._standing, self._headline = standing(study), headline(stage, study)
        self._gate: tuple[Reading, ...] = ()
        self._gate_at_s = float("-inf")
        self._lock = threading.Lock()

    def see(self, study: Study) -> None:
        """Reads what has happened since; in the thread that runs the study, for it may go on."""
        events = study.events_since(self._num_seen)
        self._num_seen = study.num_events
        self._metrics.record(occurrences(events))
        with self._lock:
            for event in events:
                self._tally.take_in(study, event)
            self._standing, self._headline = standing(study), headline(self._stage, study)
            now_s = self._clock()
            if self._has_policy and now_s - self._gate_at_s >= _BEAT_S:
                # It ranks all trials, which takes milliseconds where there are thousands.
                self._gate, self._gate_at_s = gate_weights(study), now_s

    def beat(self) -> None:
        """Sets the gauges; in any thread."""
        with self._lock:
            found = (*self._standing, *self._tally.readings(self._clock()), *self._gate)
        self._metrics.record(found)

    @property
    def headline(self) -> dict[str, str]:
        """See `headline`; in any thread."""
        return self._headline


@contextmanager
def monitored(stage: Stage, job: JobSpec) -> Iterator[Stage]:
    """The stage with its study exported while the body runs; without Ray the stage as it is."""
    study = stage.coordinator.study
    metrics = open_metrics(study.spec.name)
    if metrics is None:
        yield stage
        return
    room = Room(slots=job.budget.parallel, gpus=job.resources.gpu)
    has_policy = stage.coordinator.proposer.name == "policy"
    monitor = Monitor(study, metrics, room, has_policy=has_policy, stage=stage.name)

    def on_change(study: Study) -> None:
        stage.on_change(study)
        monitor.see(study)

    with _beating(monitor, open_job_page()):
        yield replace(stage, on_change=on_change)


@contextmanager
def _beating(monitor: Monitor, show: Show | None) -> Iterator[None]:
    is_over = threading.Event()
    shown: dict[str, str] = {}

    def put_headline() -> None:
        nonlocal shown, show
        if show is None or monitor.headline == shown:
            return
        try:
            show(monitor.headline)
            shown = monitor.headline
        except Exception:  # noqa: BLE001 - Ray's own store: whatever it says, the study goes on
            show = None

    def beat() -> None:
        while not is_over.wait(_BEAT_S):
            monitor.beat()
            put_headline()

    thread = threading.Thread(target=beat, name="lexmove-metrics", daemon=True)
    monitor.beat()
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        monitor.beat()
        put_headline()
