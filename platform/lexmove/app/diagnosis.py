"""What `doctor` looks at: the machine, the store, the storage; a job and a cluster where named."""

import os
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile

from lexmove.app.stored import DEFAULT_STORAGE, REPETITIONS, store_url
from lexmove.cluster.dashboard import find_dashboard
from lexmove.cluster.doctor import Check, check_gpu_for, check_machine, guarded
from lexmove.coordinator.remote_storage import RemoteStorage, shown
from lexmove.coordinator.store import open_store
from lexmove.coordinator.store_rules import without_password
from lexmove.errors import StorageError, StoreError, TaskError
from lexmove.job.spec import JobSpec
from lexmove.job.storage import is_remote
from lexmove.results.wording import say_duration
from lexmove.space.loading import load_job_and_space
from lexmove.space.search_space import SearchSpace

_OFFLINE = "pip install 'lexmove[offline]'"
_MAX_ROWS = 2
"""Bad rows of the data that are shown."""


def diagnose(
    *, store: str | None, network: bool, job: Path | None = None, address: str | None = None
) -> tuple[Check, ...]:
    """Every check, in order.

    Args:
        store: URL of the study store; None for the job's, or the default one.
        network: whether the model hub may be asked.
        job: a job file; what it names is looked at, too.
        address: of a cluster's dashboard; it is asked for an answer.
    """
    found: list[tuple[JobSpec, SearchSpace]] = []
    checks: list[Check] = []
    if job is not None:
        checks.append(guarded("job", lambda: _look_at_job(job, found), fix=f"mend {job}"))
    spec = found[0][0] if found else None
    url = store_url(spec, store)
    storage = (spec and spec.storage) or DEFAULT_STORAGE
    folder = Path.cwd() if is_remote(storage) else _nearest(Path(storage).expanduser())
    checks += check_machine(folder=folder, network=network)
    checks += [
        guarded("built-in tasks", _look_at_tasks, fix=_OFFLINE),
        guarded("built-in model", _look_at_model, fix=_OFFLINE),
        guarded("store", lambda: _look_at_store(url), fix="choose another with --store"),
        guarded("storage", lambda: _look_at_storage(storage), fix=_other_storage(job)),
    ]
    if found:
        is_sound = checks[0].health == "ok"
        is_here = address is None
        checks += _check_job(*found[0], is_sound=is_sound, is_here=is_here, network=network)
    if address is not None:
        checks.append(guarded("cluster", lambda: _look_at_cluster(address), fix="see its nodes"))
    if address is not None and spec is not None and checks[-1].health != "fail":
        fix = f"set it in {job}"
        checks.append(guarded("storage there", lambda: _look_at_nodes(spec, address), fix=fix))
    return tuple(checks)


def _look_at_tasks() -> str:
    from lexmove.trials.tasks.license import PACKAGE, VERSION

    installed = version(PACKAGE)
    if installed != VERSION:
        raise TaskError(f"{PACKAGE} is {installed}, but the tasks are made from {VERSION}")
    return f"{PACKAGE} {installed}"


def _look_at_model() -> str:
    from lexmove.trials.model import MINILM_SHA256, load_pretrained

    load_pretrained("minilm", 1)
    return f"minilm loads, sha256 {MINILM_SHA256[:12]}… is right"


def _look_at_store(url: str) -> str:
    """Reads the store's studies and tries its folder; the store itself stays as it is."""
    from lexmove.coordinator.store_url import locate_store

    num_studies = sum(REPETITIONS not in name for name in open_store(url).names())
    path = locate_store(url).path
    if path is not None:
        with TemporaryFile(dir=_nearest(path.parent)):
            pass
        if path.exists() and not os.access(path, os.W_OK):
            raise StoreError(f"{path} cannot be written")
    return f"{without_password(url)}, {num_studies} {'study' if num_studies == 1 else 'studies'}"


def _nearest(folder: Path) -> Path:
    """The folder, or of those around it the nearest that exists."""
    folder = folder.absolute()
    return next(item for item in (folder, *folder.parents) if item.exists())


def _look_at_storage(storage: str) -> str:
    """Whether checkpoints can be kept there."""
    if is_remote(storage):
        RemoteStorage(storage).has("lexmove")
        return f"{shown(storage)} answers"
    nearest = _nearest(Path(storage).expanduser())
    try:
        with TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        reason = f"{nearest} cannot be written: {error.strerror or error}"
        raise StorageError(f"no study can be kept in {storage}: {reason}") from error
    return f"{storage} can be written"


def _other_storage(job: Path | None) -> str:
    where = "a job" if job is None else str(job)
    return f"set `storage` in {where} to a folder that you may write, or get the right to"


def _look_at_job(path: Path, found: list[tuple[JobSpec, SearchSpace]]) -> str:
    from lexmove.app.checking import check_words

    job, space = load_job_and_space(path)
    found.append((job, space))
    check_words(job, space)
    budget = f"{job.budget.trials} trials"
    if job.budget.limit == "time" and job.budget.wall_clock is not None:
        budget = f"{say_duration(job.budget.wall_clock)} of search"
    return f"{job.name}: {len(space.searched)} hyperparameters, {budget}"


def _check_job(
    job: JobSpec, space: SearchSpace, *, is_sound: bool, is_here: bool, network: bool
) -> tuple[Check, ...]:
    """What the job names; its GPUs where trials would run on this machine.

    Whether all fits together is looked at only if the job is sound: else it would be told twice.
    """
    checks = [
        guarded("data", lambda: _look_at_data(job), fix="mend the data, or `task` in the job"),
        _check_model(job, network=network),
        *(guarded(name, partial(_look_at_tracker, name), fix=_extra(name)) for name in job.track),
    ]
    if is_sound and all(check.health == "ok" for check in checks[:2]):
        # Only here is it known what they have to fit.
        checks.append(
            guarded("fit", lambda: _look_at_fit(job, space), fix="mend what the job says of it")
        )
    if is_here:
        checks.append(check_gpu_for(job.resources.gpu, is_auto=job.resources.auto))
    return tuple(checks)


def _extra(name: str) -> str:
    return f"pip install 'lexmove[{name}]', or leave `track: {name}` out"


def _look_at_tracker(name: str) -> str:
    from lexmove.app.outlets.trackers import check_tracker

    check_tracker(name)
    return "can be begun with"


def _look_at_data(job: JobSpec) -> str:
    from lexmove.app.preparing import forget_data, task_of

    forget_data()
    try:
        task = task_of(job.task)
    except TaskError as error:
        raise TaskError(_in_a_line(str(error))) from error
    sizes = ", ".join(f"{len(task.split(name))} {name}" for name in ("train", "validation", "test"))
    return f"{sizes}; {len(task.labels)} classes"


def _in_a_line(message: str) -> str:
    """A message that lists rows, as a check shows it: the first line with the first of them."""
    first, *rows = message.splitlines()
    more = "; `lexmove plan` lists more" if len(rows) > _MAX_ROWS else ""
    return " ".join([first, "; ".join(rows[:_MAX_ROWS])]).strip() + more


def _check_model(job: JobSpec, *, network: bool) -> Check:
    """Loads it where that sends nothing; of one that is on the hub only, says so."""
    name = job.model.name
    if not network and not _is_at_hand(name):
        return Check(
            name="model",
            health="warn",
            detail=f"{name} is not on this machine: the first trial fetches it from the hub",
            fix="--network fetches it now; without a network give a folder, or minilm",
        )
    fix = "give a folder that save_pretrained wrote, an id of the hub, or minilm"
    return guarded("model", lambda: _look_at_its_model(job), fix=fix)


def _is_at_hand(name: str) -> bool:
    """Whether it is built in, a path, in the hub's cache, or not to be had from a hub at all."""
    is_path = name.startswith((".", "/", "~")) or name.count("/") > 1
    if name == "minilm" or is_path or Path(name).expanduser().exists():
        return True
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        return True  # loading says what is missing, and sends nothing
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json"), str)


def _look_at_its_model(job: JobSpec) -> str:
    from lexmove.trials.model import check_model, load_pretrained, num_layers

    check_model(job.model)
    load_pretrained(job.model.name, job.model.num_hidden_layers)
    return f"{job.model.name} loads, {num_layers(job.model)} layers"


def _look_at_fit(job: JobSpec, space: SearchSpace) -> str:
    from lexmove.app.checking import check_data
    from lexmove.app.preparing import task_of

    check_data(job, space, task_of(job.task))
    return f"space, metric ({job.metric.name}) and model fit the data"


def _look_at_cluster(address: str) -> str:
    dashboard = find_dashboard(address)
    nodes = dashboard.nodes()
    auth = "with this token" if dashboard.token else "asks nobody for a token"
    gpus, cpus = (sum(getattr(node, kind) for node in nodes) for kind in ("num_gpus", "num_cpus"))
    return f"{dashboard.url} answers, {auth}: {len(nodes)} nodes, {cpus:g} CPUs, {gpus:g} GPUs"


def _look_at_nodes(job: JobSpec, address: str) -> str:
    """Whether trials on any node would find the study's folder, as far as the job says."""
    from lexmove.app.submitting import check_storage

    check_storage(job, find_dashboard(address))
    return f"{job.storage or 'a folder on the head'} will do for the nodes that run trials"
