"""The door to Ray Tune: a Tune trial per lane, whose worker evaluates segment after segment.

Tune finds the resources, starts the workers and tells when one dies; it never decides. A trial
that goes wrong is a letter of its lane like any other, so that a Tune error always means that a
worker died. Lanes and not one Tune trial per segment: what Tune does for a trial costs a hundred
times a letter (see the README).
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast
from uuid import uuid4

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.search import Searcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lexmove.coordinator.desk import Answer, Desk, Letter
from lexmove.coordinator.dispatch import Dispatch
from lexmove.coordinator.lane import Lane
from lexmove.coordinator.stage import Work
from lexmove.errors import ClusterError, UsageError

_PATIENCE_S = 0.2
"""How long to wait for letters before looking for dead workers and an interruption."""

_GOODBYE_S = 10.0
"""How long the lanes may take to leave when all is done."""

LEASE_S = 60.0
"""A lane that was silent for so long has lost its trial; it renews its lease six times as often."""

_POSTS_S = 1.0
"""Seconds between two posts of where the study stands."""

_NAMESPACE = "lexmove"

_NAME_TAKEN_S = 30.0
"""The desk of a driver that died goes with it, but not at once."""

_MAX_STILLBORN = 5
"""So many workers in a row may die before they say anything."""

_QUIET = {"RAY_AIR_NEW_OUTPUT": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"}
"""What Tune reads from the environment when it starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """What runs at once: `parallel` segments, each with `cpu` CPUs and `gpu` GPUs."""

    parallel: int = 1
    cpu: float = 1.0
    gpu: float = 0.0


def desk_name(name: str) -> dict[str, str]:
    """What `ray.get_actor` takes to find the desk of a job."""
    return {"name": f"lexmove-{name}", "namespace": _NAMESPACE}


class Lanes:
    """The lanes as Tune runs them: where their letters come in, and which of them are lost.

    Raises:
        UsageError: the cluster runs a job of that name.
    """

    def __init__(
        self,
        works: Mapping[str, Work],
        *,
        name: str,
        slots: Slots,
        tune_dir: Path,
        lease_s: float = LEASE_S,
    ) -> None:
        self._desk = _opened_desk(name)
        self._lease_s = lease_s
        self._looked_at_s = self._posted_at_s = time.monotonic()
        self.is_closed = threading.Event()
        self._died: SimpleQueue[tuple[str, str]] = SimpleQueue()
        self._workers: dict[str, Any] = {}
        self._num_stillborn = 0
        self._pool = ThreadPoolExecutor(1, "tune")
        self._run: Future[Any] = self._pool.submit(self._fit, works, slots, tune_dir)

    def _fit(self, works: Mapping[str, Work], slots: Slots, tune_dir: Path) -> None:
        """Lets Tune keep the slots filled with lanes until this is closed."""
        trainable = tune.with_parameters(
            _run_lane, works=dict(works), desk=self._desk, renewal_s=self._lease_s / 6
        )
        with _shared(self) as key:
            tune.Tuner(
                tune.with_resources(trainable, {"cpu": slots.cpu, "gpu": slots.gpu}),
                tune_config=tune.TuneConfig(
                    search_alg=_LaneSearcher(key),
                    num_samples=-1,
                    max_concurrent_trials=slots.parallel,
                    trial_dirname_creator=_lane_name,
                    trial_name_creator=_lane_name,
                ),
                run_config=tune.RunConfig(
                    name=time.strftime("%Y%m%d-%H%M%S-") + uuid4().hex[:4],
                    storage_path=str(tune_dir.resolve()),
                    callbacks=[_Obituary(key)],
                    stop=_Stop(key),
                    verbose=0,
                ),
            ).fit()

    def letters(self) -> list[Letter]:
        """What has come in, after a short wait for something.

        Raises:
            ClusterError: Tune ended, or the desk cannot be reached and not be made again.
        """
        if self._run.done():
            raise ClusterError("Ray Tune ended before the study did") from self._run.exception()
        try:
            letters: list[Letter] = ray.get(self._desk.collect.remote(_PATIENCE_S))
        except RayError as error:
            first_line = str(error).strip().partition("\n")[0]
            raise ClusterError(
                f"the cluster is lost: {first_line}; what was recorded is in the store, and "
                "`lexmove resume` goes on with it when there is a cluster again"
            ) from error
        for letter in letters:
            self._workers[letter.lane] = letter.worker
            self._num_stillborn = 0
        return letters

    def hand_out(self, *answers: Answer) -> None:
        """Lets lanes go on."""
        if answers:
            self._desk.hand_out.remote(answers)

    def died(self, lane: str, why: str) -> None:
        """Told by Tune, in its own thread."""
        self._died.put((lane, why))

    def post(self, status: Callable[[], Mapping[str, Any]]) -> None:
        """Lets others see where the study stands, now and then."""
        now_s = time.monotonic()
        if now_s - self._posted_at_s > _POSTS_S:
            self._posted_at_s = now_s
            self._desk.post.remote(status())

    def lost(self) -> Iterator[tuple[str, str]]:
        """The lanes that were lost since the last call, and how.

        Raises:
            ClusterError: one more of them has died before it said anything.
        """
        while not self._died.empty():
            lane, why = self._died.get()
            self._desk.forget.remote(lane)
            if self._workers.pop(lane, None) is None:
                self._num_stillborn += 1
            if self._num_stillborn >= _MAX_STILLBORN:
                raise ClusterError(
                    f"{self._num_stillborn} workers in a row died before they took a trial: {why}"
                )
            yield lane, "its worker died"
        yield from self._overdue()

    def _overdue(self) -> Iterator[tuple[str, str]]:
        """Those whose worker is silent, which is ended: a machine may be cut off, or hang."""
        now_s = time.monotonic()
        if now_s - self._looked_at_s < self._lease_s / 6:
            return
        self._looked_at_s = now_s
        silent: list[str] = ray.get(self._desk.overdue.remote(self._lease_s))
        for lane in silent:
            if lane in self._workers:
                ray.kill(self._workers[lane])
                yield lane, f"its worker was silent for more than {self._lease_s:g} s"

    def dismiss(self, dispatch: Dispatch) -> None:
        """Lets the lanes leave, those that come only now, too."""
        self.is_closed.set()
        until_s = time.monotonic() + _GOODBYE_S
        while not self._run.done() and time.monotonic() < until_s:
            letters: list[Letter] = ray.get(self._desk.collect.remote(_PATIENCE_S))
            self.hand_out(*dispatch.receive(letters), *dispatch.answers())

    def close(self) -> None:
        """Ends whatever is still there."""
        self.is_closed.set()
        if not self._run.done():
            for worker in self._workers.values():
                ray.kill(worker)
        ray.kill(self._desk)
        self._pool.shutdown(wait=True)


def _opened_desk(name: str) -> Any:
    """A desk beside this process, under the job's name.

    Raises:
        UsageError: there is one.
    """
    here = ray.get_runtime_context().get_node_id()
    desk = ray.remote(Desk).options(
        **desk_name(name),
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=-1,
        scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False),
    )
    until_s = time.monotonic() + _NAME_TAKEN_S
    while True:
        try:
            return desk.remote()
        except ValueError as error:  # the name is taken
            if time.monotonic() > until_s:
                raise UsageError(
                    f"study {name!r} is being run on this cluster by another process; wait for it,"
                    f" or end it by `lexmove stop {name}`"
                ) from error
        time.sleep(_PATIENCE_S)


def _lane_name(trial: Any) -> str:
    return f"lane_{trial.trial_id}"


def _run_lane(_: dict[str, Any], *, works: Mapping[str, Work], desk: Any, renewal_s: float) -> None:
    """Runs in the worker."""
    name = str(tune.get_context().get_trial_id())
    has_left = threading.Event()

    def hand_in(letter: Letter) -> Answer:
        answer: Answer = ray.get(desk.hand_in.remote(letter))
        return answer

    def renew() -> None:
        while not has_left.wait(renewal_s):
            desk.renew.remote(name)

    worker = ray.get_runtime_context().current_actor
    lane = Lane(name, works, hand_in, worker=worker, logs=_ray_logs(), name_process=_name_process)
    threading.Thread(target=renew, name="renew", daemon=True).start()
    try:
        lane.run()
    finally:
        has_left.set()


def _name_process(name: str) -> None:
    """What `ps`, `nvidia-smi` and the dashboard's list of a node's workers call this process."""
    ray._raylet.setproctitle(f"ray::{name}")  # type: ignore[attr-defined] # no public way


def _ray_logs() -> Path | None:
    """The folder whose files the dashboard shows, on this node."""
    node = ray._private.worker._global_node  # there is no public way
    return None if node is None else Path(node.get_logs_dir_path())


_SHARED: dict[str, Lanes] = {}
"""Tune pickles searchers, callbacks and stoppers when a Tuner is built; these find theirs here."""


@contextmanager
def _shared(lanes: Lanes) -> Iterator[str]:
    key = uuid4().hex
    _SHARED[key] = lanes
    try:
        yield key
    finally:
        del _SHARED[key]


class _LaneSearcher(Searcher):
    """Gives Tune a lane for every free slot."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        # Tune's own signature leaves its FINISHED marker, a string, out.
        is_closed = _SHARED[self._key].is_closed.is_set()
        return cast("None", Searcher.FINISHED) if is_closed else {}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: what was found came by letter."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the store is the truth."""


class _Obituary(TrialProgressCallback):
    """Tells of the lanes that died; takes the place of Tune's own, which prints every trial."""

    def __init__(self, key: str) -> None:
        self._key = key

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        why = str(trial.get_error()).strip().splitlines() or ["no cause is known"]
        _SHARED[self._key].died(trial.trial_id, why[-1])

    def on_trial_result(self, *_: Any, **__: Any) -> None:
        """Nothing."""

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        """Nothing."""


class _Stop(tune.Stopper):
    """Ends the whole run when all lanes may leave, those that wait for a slot, too."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return _SHARED[self._key].is_closed.is_set()


@contextmanager
def quiet_tune() -> Iterator[None]:
    """Keeps Tune's own console off: lexmove tells the story, and the causes, in one line each.

    And its log files, which say less than the store and cost more.
    """
    logger = logging.getLogger("ray.tune")
    level, before = logger.level, {name: os.environ.get(name) for name in _QUIET}
    logger.setLevel(logging.CRITICAL)
    os.environ.update(_QUIET)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
