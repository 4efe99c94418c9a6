"""Datasets of the Hugging Face hub, or of a folder in its layout; every failure is one sentence.

Only data files are read (parquet, csv, JSON, …): loading scripts are not run. The hub is asked
once, with a time limit, what the revision is; `datasets` then downloads that commit. Where the hub
cannot be reached, what `datasets` has kept in its cache (below `HF_HOME`) is used instead.
"""

import hashlib
import json
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexmove.errors import TaskError, did_you_mean
from lexmove.job.spec import HubSpec

if TYPE_CHECKING:
    from datasets import Dataset

_ANSWER_TIMEOUT_S = 10.0
"""How long the hub may take to connect, and to answer the first question."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")

_log = logging.getLogger(__name__)


def hub_dataset(hub: HubSpec, *, folder_setting: str = "task.hub.id") -> "dict[str, Dataset]":
    """The splits that `hub` names, by role: `train`, and `validation` and `test` where it has them.

    A folder may hold a README.md whose YAML lists `configs`, or the data files of every
    configuration in a folder of its name, or just data files. `folder_setting` is what messages
    call the setting that takes a folder.

    Raises:
        TaskError: the hub is out of reach and nothing is cached; no such dataset, revision,
            configuration or split; no access; files that cannot be read.
    """
    folder = Path(hub.id).expanduser()
    with _quiet(), _explained(hub):
        if folder.is_dir():
            builder = _from_folder(folder.resolve(), hub)
        else:
            builder = _from_hub(hub, folder_setting)
        return {
            role: builder.as_dataset(split=name)
            for role, name in _checked_splits(builder.info.splits, hub).items()
        }


def _checked_splits(found: Mapping[str, Any], hub: HubSpec) -> dict[str, str]:
    """The split of every role that `hub` names."""
    wanted = {"train": hub.train, "validation": hub.validation, "test": hub.test}
    roles = {role: name for role, name in wanted.items() if name is not None}
    for role, name in roles.items():
        if name not in found:
            null = "" if role == "train" else f", or write {role}: null to split it off train"
            raise TaskError(
                f"{_called(hub)}: no split {name!r}{did_you_mean(name, tuple(found))} (splits:"
                f" {', '.join(found)}); name the right one in task.hub.{role}{null}"
            )
        if found[name].num_examples == 0:
            raise TaskError(f"{_called(hub)}: split {name!r} holds no rows")
    return roles


def _from_folder(folder: Path, hub: HubSpec) -> Any:
    import datasets

    if hub.revision is not None:
        raise TaskError(f"{hub.id}: a folder has no revisions; leave task.hub.revision out")
    # Without a list in a README.md, datasets takes all files for one configuration.
    own = None if hub.config is None else folder / hub.config
    if own and own.is_dir() and own.name not in datasets.get_dataset_config_names(str(folder)):
        return _prepared(_builder(str(own), hub, config=None, cache_dir=_folder_cache(own)))
    cache_dir = _folder_cache(folder)
    return _prepared(_builder(str(folder), hub, config=hub.config, cache_dir=cache_dir))


def _folder_cache(folder: Path) -> str:
    """Where `datasets` keeps what it reads from a folder: another place once a file has changed.

    By itself it tells folders that list `configs` apart by name and list only, and would serve
    what it kept of older files, or of another folder of that name.
    """
    from datasets.config import HF_DATASETS_CACHE

    files = sorted((str(path), path.stat()) for path in folder.rglob("*") if path.is_file())
    state = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in files]
    digest = hashlib.sha256(json.dumps([str(folder), state]).encode()).hexdigest()
    return str(Path(HF_DATASETS_CACHE) / f"folder-{digest[:16]}")


def _from_hub(hub: HubSpec, folder_setting: str) -> Any:
    import datasets
    from huggingface_hub import HfApi

    if not _ID.fullmatch(hub.id):
        raise TaskError(_no_id(hub))
    if datasets.config.HF_HUB_OFFLINE:
        return _from_cache(hub, "HF_HUB_OFFLINE is set", folder_setting)
    try:
        with _refusals(hub):
            info = HfApi().dataset_info(hub.id, revision=hub.revision, timeout=_ANSWER_TIMEOUT_S)
    except TaskError:
        raise
    except _http().TimeoutException:
        return _from_cache(hub, f"no answer in {_ANSWER_TIMEOUT_S:g} s", folder_setting)
    except (_http().HTTPError, OSError, ValueError) as error:
        return _from_cache(hub, _first_line(error), folder_setting)
    with _explained(hub, is_gated=bool(info.gated)):
        return _prepared(_builder(hub.id, hub, config=hub.config, revision=info.sha))


def _http() -> Any:
    """The library that the hub's client connects with, whichever it is, for its exceptions."""
    import huggingface_hub.utils

    client: Any = huggingface_hub.utils
    return client.httpx


@contextmanager
def _refusals(hub: HubSpec) -> Iterator[None]:
    """What the hub says no to, in words; a hub that cannot answer passes through."""
    from huggingface_hub import errors

    try:
        yield
    except errors.HFValidationError:
        raise TaskError(_no_id(hub)) from None
    except errors.RevisionNotFoundError:
        raise TaskError(
            f"{hub.id}: no revision {hub.revision!r} on the hub; task.hub.revision takes a branch,"
            " a tag or the 40 hex digits of a commit, and may be left out"
        ) from None
    except errors.GatedRepoError:
        raise TaskError(_gated(hub)) from None
    except errors.RepositoryNotFoundError:
        raise TaskError(
            f"{hub.id}: the hub has no dataset of this id, or a private one; check task.hub.id"
            " (owner/name), and set HF_TOKEN to an access token if it is private"
        ) from None


def _from_cache(hub: HubSpec, reason: str, folder_setting: str) -> Any:
    """What was kept of the dataset when the hub could be reached."""
    import datasets

    ways_out = (
        "load it once where the hub can be reached and set HF_HOME to the cache filled there, set"
        f" {folder_setting} to a folder with its files, or give your data as task.files"
    )
    try:
        with _offline():
            builder = datasets.load_dataset_builder(hub.id, name=hub.config)
    except (OSError, ValueError):
        raise TaskError(
            f"{_called(hub)}: the Hugging Face hub cannot be reached ({reason}), and"
            f" {datasets.config.HF_CACHE_HOME} holds no copy; {ways_out}"
        ) from None
    if _COMMIT.fullmatch(hub.revision or "") and builder.hash != hub.revision:
        raise TaskError(
            f"{_called(hub)}: the Hugging Face hub cannot be reached ({reason}), and the copy in"
            f" {datasets.config.HF_CACHE_HOME} is of revision {builder.hash}, not {hub.revision};"
            f" {ways_out}"
        )
    _warn_of_copy(_called(hub), reason, builder.hash, str(datasets.config.HF_CACHE_HOME))
    return _prepared(builder)


@cache
def _warn_of_copy(called: str, reason: str, revision: str, place: str) -> None:
    """Once in a process, which may load a task several times."""
    _log.warning(
        "%s: the hub cannot be reached (%s); using the copy of revision %s in %s",
        *(called, reason, revision, place),
    )


def _builder(path: str, hub: HubSpec, *, config: str | None, **where: str | None) -> Any:
    """A builder of `datasets`, for the configuration that is asked for or the only one.

    `where` is the `revision` to read, or the `cache_dir` to use.
    """
    import datasets

    try:
        return datasets.load_dataset_builder(path, name=config, **where)
    except ValueError:
        names = datasets.get_dataset_config_names(path, revision=where.get("revision"))
        if config is None and len(names) > 1:
            raise TaskError(
                f"{hub.id}: has the configurations {', '.join(names)}; name one in task.hub.config"
            ) from None
        if config is not None and config not in names:
            raise TaskError(
                f"{hub.id}: no configuration {config!r}{did_you_mean(config, names)}"
                f" (configurations: {', '.join(names)}); name one in task.hub.config"
            ) from None
        raise


def _prepared(builder: Any) -> Any:
    builder.download_and_prepare()
    return builder


@contextmanager
def _explained(hub: HubSpec, *, is_gated: bool = False) -> Iterator[None]:
    """Failures of `datasets` in one sentence."""
    from datasets.data_files import EmptyDatasetError
    from datasets.exceptions import DataFilesNotFoundError, DatasetsError
    from yaml import YAMLError

    try:
        yield
    except TaskError:
        raise
    except (EmptyDatasetError, DataFilesNotFoundError):
        raise TaskError(
            f"{_called(hub)}: holds no data files that can be read (parquet, csv, jsonl, json, …)"
        ) from None
    except FileNotFoundError as error:
        message = _gated(hub) if is_gated else f"{_called(hub)}: {_first_line(error)}"
        raise TaskError(message) from None
    except RuntimeError as error:
        if "scripts are no longer supported" not in str(error):
            raise
        raise TaskError(
            f"{hub.id}: is made by a loading script, and scripts are not run; the hub often keeps"
            " the data itself as revision refs/convert/parquet (task.hub.revision), else convert"
            " it to files and give task.files"
        ) from None
    except (DatasetsError, _http().HTTPError, OSError, ValueError, YAMLError) as error:
        cause = error.__cause__ or error
        raise TaskError(
            f"{_called(hub)}: cannot be loaded: {_first_line(cause)}; check its files, or try"
            " another task.hub.revision"
        ) from error


def _no_id(hub: HubSpec) -> str:
    return (
        f"{hub.id!r} is neither a folder that exists nor the id of a dataset (owner/name); single"
        " files go into task.files"
    )


def _gated(hub: HubSpec) -> str:
    return (
        f"{hub.id}: is gated: only those whom its owners let in may read it; ask for access on"
        f" https://huggingface.co/datasets/{hub.id} and set HF_TOKEN to your access token"
    )


def _called(hub: HubSpec) -> str:
    return hub.id if hub.config is None else f"{hub.id} ({hub.config})"


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__


@contextmanager
def _offline() -> Iterator[None]:
    """Makes `datasets` look into its cache only: it would try the hub again, for minutes."""
    from datasets import config

    before = config.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = before


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no warnings of `datasets` and `huggingface_hub`; errors are raised."""
    import datasets
    from huggingface_hub import utils

    libraries: tuple[Any, ...] = (datasets, utils)
    shown = [library for library in libraries if not library.are_progress_bars_disabled()]
    level = datasets.logging.get_verbosity()
    datasets.logging.set_verbosity(logging.CRITICAL)
    with warnings.catch_warnings():
        # A user who asked for bars by an environment variable keeps them, with a warning.
        warnings.simplefilter("ignore")
        for library in shown:
            library.disable_progress_bars()
        try:
            yield
        finally:
            datasets.logging.set_verbosity(level)
            for library in shown:
                library.enable_progress_bars()
