"""Ray Tune's result folders as past results: `params.json` and `result.json` of every trial.

Ray keeps search space and goal in pickles, and strangers' pickles are not read: domains are judged
by the values that were tried. Left out: remote folders; copy them here first.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lexmove.app.past.domains import as_one_kind, plain, seen_domain
from lexmove.app.past.found import FoundStudy, FoundTrial
from lexmove.errors import StudyNotFoundError, UsageError, did_you_mean
from lexmove.space.domain import Domain, Value
from lexmove.study.fidelity import Fidelity
from lexmove.study.scoring import Goal
from lexmove.study.trial import TrialStatus

_PARAMS, _RESULT, _ERROR = "params.json", "result.json", "error.txt"

_AUTOMATIC = {
    "timestamp",
    "done",
    "training_iteration",
    "time_this_iter_s",
    "time_total_s",
    "time_since_restore",
    "iterations_since_restore",
    "pid",
    "should_checkpoint",
}
"""Numbers that Ray adds to every result."""

_CONFIG = "config"
"""What Ray repeats in every result: the params."""

_NAN = "null"
"""How Ray writes a NaN that is none of Python's own floats: as this text."""

_UNENDED = ("RUNNING", "PENDING", "PAUSED")
_MIN_NAMES = 3
"""Texts of which every trial has its own, from so many trials on, are names, not values."""


class RayResults:
    """The experiments in a folder: itself, or the folders in it.

    Raises:
        UsageError: there is none.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        inside = [self._folder] if _is_experiment(self._folder) else sorted(folder.iterdir())
        self._experiments = {item.name: item.absolute() for item in inside if _is_experiment(item)}
        if not self._experiments:
            raise UsageError(
                f"{folder} holds no results of Ray Tune: no folder in it has trials with "
                f"{_PARAMS} and {_RESULT}"
            )

    def names(self) -> tuple[str, ...]:
        """All experiments, by name."""
        return tuple(self._experiments)

    def read(self, name: str, *, metric: str | None, goal: Goal | None) -> FoundStudy:
        """One experiment.

        Raises:
            StudyNotFoundError: none of that name.
            UsageError: it cannot be understood; the message says why.
        """
        if name not in self._experiments:
            hint = did_you_mean(name, self.names())
            raise StudyNotFoundError(f"no experiment {name!r} in {self._folder}{hint}")
        return _read(self._experiments[name], metric=metric, goal=goal)


def _is_experiment(folder: Path) -> bool:
    return any(folder.glob(f"*/{_PARAMS}")) and any(folder.glob(f"*/{_RESULT}"))


def _read(folder: Path, *, metric: str | None, goal: Goal | None) -> FoundStudy:
    state = _State(folder)
    results = {path.parent: _rows(path) for path in sorted(folder.glob(f"*/{_RESULT}"))}
    metric = metric or state.metric
    known = sorted({name for rows in results.values() for row in rows for name in _numbers(row)})
    if not known:
        raise UsageError("it has no metric: no numbers were reported")
    if metric is None:
        raise UsageError(f"it does not say what it was about: give --metric ({', '.join(known)})")
    if metric not in known:
        raise UsageError(f"it has no metric {metric!r}{did_you_mean(metric, known)}")
    if goal is None:
        raise UsageError("it does not say which way is better: give --goal maximize or minimize")
    ended = {at: rows for at, rows in results.items() if state.has_ended(at)}
    params = {at: _params(at / _PARAMS) for at in ended if (at / _PARAMS).exists()}
    domains, configs = _domains(list(params.values()))
    last = max((step for at in params for step in _curve(ended[at], metric)), default=1)
    remarks = []
    if num := len(results) - len(params):
        remarks.append(f"{'1 trial' if num == 1 else f'{num} trials'} left out: not ended")
    if names := sorted({name for values in params.values() for name in values} - set(domains)):
        remarks.append(f"{', '.join(names)} left out: a text of its own in every trial")
    return FoundStudy(
        name=folder.name,
        source=f"Ray Tune's experiment {folder.name!r}",
        tool="ray tune",
        domains=domains,
        metric=metric,
        goal=goal,
        trials=[
            _trial(at, ended[at], config, metric=metric, last=last, has_failed=state.has_failed(at))
            for at, config in zip(params, configs, strict=True)
        ],
        remarks=tuple(remarks),
    )


class _State:
    """What the newest `experiment_state-*.json` says, where there is one; its pickles are not read.

    Trials of which nothing is said have ended.
    """

    def __init__(self, folder: Path) -> None:
        files = sorted(folder.glob("experiment_state-*.json"))
        data = _json(files[-1]) if files else {}
        self.metric: str | None = (data.get("runner_data") or {}).get("_metric")
        self._statuses: dict[str, str] = {}
        for item in data.get("trial_data", ()):
            text = item[0] if isinstance(item, list) else item
            trial = json.loads(text) if isinstance(text, str) else text
            self._statuses[Path(str(trial.get("relative_logdir"))).name] = str(trial.get("status"))

    def has_ended(self, folder: Path) -> bool:
        """Whether a trial will not go on."""
        return self._statuses.get(folder.name) not in _UNENDED

    def has_failed(self, folder: Path) -> bool:
        """Whether a trial ended in an error: one that was tried again may have left its file."""
        status = self._statuses.get(folder.name)
        return (folder / _ERROR).exists() if status is None else status == "ERROR"


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} holds no mapping")
    return found


def _rows(path: Path) -> list[dict[str, Any]]:
    """The results of a trial, flat; a last line that was cut off does not count."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = []
    for number, line in enumerate(lines):
        try:
            row = json.loads(line)
        except ValueError:
            if number < len(lines) - 1:
                raise UsageError(f"{path}:{number + 1} is no JSON") from None
            break
        reported = {name: value for name, value in row.items() if name != _CONFIG}
        rows.append(dict(_flat(reported, separator="/")))  # the names that Tune itself has
    return rows


def _numbers(row: Mapping[str, Any]) -> Iterator[str]:
    for name, value in row.items():
        if name not in _AUTOMATIC and _is_number(value):
            yield name


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _params(path: Path) -> dict[str, Value]:
    """The params of a trial, nested ones under dotted names, as lexmove has them."""
    return {name: plain(value) for name, value in _flat(_json(path), separator=".")}


def _flat(
    values: Mapping[str, Any], *, separator: str, prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, separator=separator, prefix=f"{prefix}{name}{separator}")
        else:
            yield f"{prefix}{name}", value


def _domains(
    params: Sequence[Mapping[str, Value]],
) -> tuple[dict[str, Domain], list[dict[str, Value]]]:
    """A domain for each hyperparameter, and the configs with its values."""
    configs: list[dict[str, Value]] = [{} for _ in params]
    domains: dict[str, Domain] = {}
    for name in dict.fromkeys(name for values in params for name in values):
        owners = [index for index, values in enumerate(params) if name in values]
        values = as_one_kind([params[index][name] for index in owners])
        if _are_names(values):
            continue
        domains[name] = seen_domain(values)
        for index, value in zip(owners, values, strict=True):
            configs[index][name] = value
    return domains, configs


def _are_names(values: Sequence[Value]) -> bool:
    is_text = isinstance(values[0], str)
    return is_text and len(values) >= _MIN_NAMES and len(set(values)) == len(values)


def _curve(rows: Sequence[Mapping[str, Any]], metric: str) -> dict[Fidelity, float]:
    """Values by iteration, in their order; a trial that began anew counts with its last attempt."""
    curve: dict[Fidelity, float] = {}
    for number, row in enumerate(rows, start=1):
        reported: Any = row.get(metric)
        value = math.nan if reported == _NAN else reported
        if not _is_number(value):
            continue
        iteration = int(row.get("training_iteration", number))
        while curve and next(reversed(curve)) >= iteration:
            curve.popitem()
        curve[iteration] = float(value)
    return curve


def _trial(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    config: Mapping[str, Value],
    *,
    metric: str,
    last: Fidelity,
    has_failed: bool,
) -> FoundTrial:
    curve = _curve(rows, metric)
    status, reason = TrialStatus.COMPLETED, None
    if has_failed:
        status, reason = TrialStatus.FAILED, _last_line(folder / _ERROR)
    elif curve and max(curve) < last:
        status, reason = TrialStatus.STOPPED, f"ended after {max(curve)} of {last} iterations"
    took_s = [float(row.get("time_this_iter_s", 0.0)) for row in rows]
    ended_s = float(rows[-1].get("timestamp", 0.0)) if rows else 0.0
    return FoundTrial(
        label=f"trial {rows[-1].get('trial_id', folder.name) if rows else folder.name}",
        config=config,
        curve=curve,
        status=status,
        reason=reason,
        started_s=max(0.0, ended_s - sum(took_s)),
        ended_s=ended_s,
    )


def _last_line(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "it failed in Ray Tune"
