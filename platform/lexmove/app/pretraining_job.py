"""Pre-trains a policy in a folder of its own: checks what was asked, starts Ray, trains."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lexmove.app import stored
from lexmove.coordinator.store import MEMORY_URL, open_store
from lexmove.coordinator.store_rules import without_password
from lexmove.coordinator.store_url import locate_store
from lexmove.errors import UsageError

if TYPE_CHECKING:
    from lexmove.agent.pretraining.run import OnProgress, PretrainingResult, PretrainingSpec
    from lexmove.study.study import Study

_REQUEST = "request.json"
"""What a run was asked to do; a folder with it can be resumed."""

_STUDIES = "studies.db"
"""The past studies as they were when the run began: a store goes on growing."""

WEIGHTS_NAME = "policy.safetensors"
"""The weights, in the folder of a run; about them and their recipe stand beside."""

DEFAULT_DECISIONS = 1_000_000

_MAX_SEED = 2**31
"""What RLlib's workers are seeded with is below 2**32, and each has one of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingRequest:
    """What to pre-train on.

    `steps` counts decisions of the policy; `workers` are the processes that play studies;
    `from_studies` is the URL of a store whose studies are learned from beside the synthetic
    families.
    """

    steps: int = DEFAULT_DECISIONS
    seed: int = 0
    workers: int = 1
    from_studies: str | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "workers", "seed"):
            if type(getattr(self, name)) is not int:
                raise UsageError(f"{name} must be a whole number, not {getattr(self, name)!r}")
        if self.steps < 1:
            raise UsageError(f"steps must be 1 or more decisions, not {self.steps}")
        if self.workers < 1:
            raise UsageError(f"workers must be 1 or more processes, not {self.workers}")
        if not 0 <= self.seed < _MAX_SEED:
            raise UsageError(f"seed must be 0 to {_MAX_SEED - 1}, not {self.seed}")


def begin(out: Path, request: PretrainingRequest) -> None:
    """Makes the folder of a new run, with the past studies that it learns from.

    Raises:
        UsageError: something is there already, or the folder cannot be made.
        LexmoveError: the store of past studies cannot be read, or holds none to learn from.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        way = "--resume goes on with it" if (out / _REQUEST).is_file() else "it is no pre-training"
        raise UsageError(f"{out} exists and is not empty ({way}); choose another folder for --out")
    store = request.from_studies
    if store is not None and any(sign in str(out.absolute()) for sign in "?%"):
        raise UsageError(
            f"--out {out}: past studies are copied there, into a store whose path may hold neither "
            "? nor %; choose another folder"
        )
    studies = () if store is None else past_studies(store)
    shown = replace(request, from_studies=store and without_password(store))
    try:
        out.mkdir(parents=True, exist_ok=True)
        if studies:
            _copy(studies, _copied(out))
        (out / _REQUEST).write_text(json.dumps(asdict(shown)) + "\n")
    except OSError as error:
        raise UsageError(
            f"cannot write to {out}: {error.strerror}; choose another folder for --out"
        ) from error


def _copied(out: Path) -> str:
    return f"sqlite:///{out.absolute() / _STUDIES}"


def _copy(studies: "Iterable[Study]", url: str) -> None:
    store = open_store(url)
    for study in studies:
        store.create(study.spec)
        store.append(study.spec.name, *study.events)


def request_of(out: Path) -> PretrainingRequest:
    """What the run in `out` was asked to do.

    Raises:
        UsageError: there is no run, or its request is broken.
    """
    path = out / _REQUEST
    try:
        return PretrainingRequest(**json.loads(path.read_text()))
    except OSError:
        raise UsageError(
            f"{out} holds no pre-training to resume: {_REQUEST} is missing; leave --resume out to "
            "begin one"
        ) from None
    except (ValueError, TypeError, UsageError) as error:
        raise UsageError(
            f"{path} is broken ({error}): restore it, or begin again in another folder"
        ) from None


def past_studies(store: str) -> "tuple[Study, ...]":
    """The studies of a store that have enough results to learn from.

    Raises:
        StoreError: the store cannot be read.
        UsageError: it holds no such study.
    """
    from lexmove.agent.pretraining.study_tasks import MIN_RESULTS, usable

    if store != MEMORY_URL and locate_store(store).is_missing:
        raise UsageError(f"there is no store at {locate_store(store)}: check --from-studies")
    found = [outcome.study for outcome in stored.load_all(store=store)]
    kept = usable(found)
    if not kept:
        raise UsageError(
            f"no study of the store ({len(found)} in all) has {MIN_RESULTS} results, the fewest "
            "that can be learned from; leave --from-studies out to learn from synthetic tasks alone"
        )
    return kept


def run(
    out: Path,
    request: PretrainingRequest,
    *,
    resume: bool,
    on_progress: "OnProgress",
) -> "PretrainingResult":
    """Trains in `out`, which `begin` has made, on a Ray of its own.

    Raises:
        ClusterError: Ray does not start.
        LexmoveError: the run's past studies cannot be read any more.
    """
    # A network this small is many times slower on two threads than on one.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from lexmove.cluster.connection import connected

    # Ray reads its settings when it is imported, which the agent's pre-training does.
    with connected(None, num_cpus=request.workers + 1):
        from lexmove.agent.pretraining.run import pretrain

        return pretrain(spec_of(out, request), out, resume=resume, on_progress=on_progress)


def spec_of(out: Path, request: PretrainingRequest) -> "PretrainingSpec":
    """The run in `out` that a request asks for.

    Raises:
        LexmoveError: its past studies cannot be read.
    """
    from lexmove.agent.pretraining.ppo_algorithm import PpoSettings
    from lexmove.agent.pretraining.run import PretrainingSpec
    from lexmove.agent.pretraining.study_tasks import StudyMix
    from lexmove.agent.pretraining.task_families import FamilyMix

    usual, usual_ppo = PretrainingSpec(), PpoSettings()
    ppo = PpoSettings(
        num_steps=min(usual_ppo.num_steps, request.steps),
        minibatch_size=min(usual_ppo.minibatch_size, request.steps),
        # One worker plays in this process: nothing is gained by sending its episodes around.
        num_env_runners=request.workers if request.workers > 1 else 0,
    )
    # A short run is not worth a long judgement.
    num_held_out = min(usual.num_held_out, max(4, request.steps // 1000))
    spec = PretrainingSpec(
        num_decisions=request.steps,
        seed=request.seed,
        ppo=ppo,
        num_held_out=num_held_out,
        num_confirming=2 * num_held_out,
    )
    if request.from_studies is None:
        return spec
    if not (copy := out / _STUDIES).is_file():
        raise UsageError(
            f"{copy} is missing, the past studies that this run learns from: restore it, or begin "
            "again in another folder"
        )
    studies = past_studies(_copied(out))
    return replace(
        spec,
        make_objective=StudyMix(studies=studies, families=FamilyMix()),
        sources=f"half synthetic families, half past studies ({len(studies)})",
    )
