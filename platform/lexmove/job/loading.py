"""Reads a job: every mistake of the file at once, each with its place, rule and way out.

Inputs that a job names by a relative path (`space`, `task.files`, a model folder, policy weights,
the file of an own metric or proposer) are looked up beside the job file first, then in the current
folder. What a study writes (`store`, `storage`) is relative to the current folder.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lexmove.errors import InvalidFileError, Mistake, did_you_mean
from lexmove.job.document import Document, in_file_order, number_in, read_document, say
from lexmove.job.own_code import is_own, with_own_file
from lexmove.job.spec import MORE_IS_BETTER, TASKS, JobSpec


def load_job(path: str | Path) -> JobSpec:
    """Reads a job file.

    Raises:
        InvalidFileError: all its mistakes.
    """
    spec, mistakes = parse_job(read_document(path))
    if spec is None or mistakes:
        raise InvalidFileError(in_file_order(mistakes))
    return with_inputs_found(spec, Path(path).parent)


def parse_job(document: Document) -> tuple[JobSpec | None, list[Mistake]]:
    """The job that a document spells, and what is wrong with it; None where it is no job."""
    mistakes = list(document.mistakes)
    if not isinstance(document.data, dict):
        rule = "a job is a mapping with name, task and space"
        return None, [*mistakes, document.mistake((), f"{rule}, not {say(document.data)}")]
    try:
        spec = JobSpec.model_validate(document.data)
    except ValidationError as error:
        found = [_mistake(document, details) for details in error.errors()]
        return None, in_file_order([*mistakes, *found])
    return spec, in_file_order([*mistakes, *_of_names(document, spec)])


def job_to_json(spec: JobSpec) -> str:
    """A job as JSON text, for the record and for resuming."""
    return spec.model_dump_json()


def job_from_json(text: str) -> JobSpec:
    """Reads what `job_to_json` wrote.

    Raises:
        InvalidFileError: the text is no job of this version.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        broken = Mistake(path="<stored job>", line=0, column=0, message=f"no JSON: {error}")
        raise InvalidFileError([broken]) from None
    spec, mistakes = parse_job(Document(path="<stored job>", data=data))
    if spec is None:
        raise InvalidFileError(mistakes)
    return spec


def with_inputs_found(spec: JobSpec, folder: Path) -> JobSpec:
    """The job with its input paths as they lie beside the job file, where they do."""
    changes: dict[str, Any] = {}
    if isinstance(spec.space, str):
        changes["space"] = found_beside(spec.space, folder)
    if (folder / spec.model.name).is_dir():
        name = found_beside(spec.model.name, folder)
        changes["model"] = spec.model.model_copy(update={"name": name})
    if spec.task.files is not None:
        paths = {
            split: found_beside(path, folder)
            for split, path in spec.task.files.model_dump().items()
            if path is not None
        }
        files = spec.task.files.model_copy(update=paths)
        changes["task"] = spec.task.model_copy(update={"files": files})
    name = with_own_file(spec.metric.name, lambda path: found_beside(path, folder))
    changes["metric"] = spec.metric.model_copy(update={"name": name})
    name = with_own_file(spec.agent.proposer, lambda path: found_beside(path, folder))
    weights = spec.agent.weights and found_beside(spec.agent.weights, folder)
    changes["agent"] = spec.agent.model_copy(update={"proposer": name, "weights": weights})
    return spec.model_copy(update=changes)


def found_beside(path: str, folder: Path) -> str:
    """An input's path beside the job file if it lies there, else as it was given."""
    beside = folder / path
    return str(beside) if beside.exists() else path


def _mistake(document: Document, details: ErrorDetails) -> Mistake:
    at = tuple(details["loc"])
    kind = details["type"]
    if at[:1] == ("space",) and len(at) > 1:
        rule = "space must be the path of a search-space file, or its content inline"
        return document.mistake(("space",), f"{rule}, not {say(details['input'])}")
    if kind == "missing":
        return document.mistake(at[:-1], _missing(at))
    if kind == "extra_forbidden":
        return document.mistake(at, _unknown(at), of_key=True)
    name = ".".join(map(str, at))
    value = details["input"]
    if kind == "value_error":
        reason = str(details["ctx"]["error"])
        if not at:  # a rule over several sections begins with the key that it is about
            return document.mistake(tuple(reason.split(maxsplit=1)[0].split(".")), reason)
        return document.mistake(at, f"{name}: {reason}")
    if value is None:
        return document.mistake(at, f"{name} is empty: give a value, or leave the key out")
    wanted = _wanted(kind, details.get("ctx", {}), details["msg"])
    return document.mistake(at, f"{name} must be {wanted}{_not_but(kind, value)}")


def _of_names(document: Document, spec: JobSpec) -> Iterator[Mistake]:
    """Rules of files alone: a study that was made under others before can still be read."""
    metric, task = spec.metric, spec.task.name
    if task is not None and task not in TASKS:
        rule = f"unknown task {task!r}{did_you_mean(task, TASKS)}"
        yield document.mistake(("task", "name"), rule)
    if metric.name not in MORE_IS_BETTER and not is_own(metric.name):
        rule = f"unknown metric {metric.name!r}{did_you_mean(metric.name, MORE_IS_BETTER)}"
        yield document.mistake(("metric", "name"), f"{rule}; one of your own is file.py:function")
    if metric.goal == "minimize" and metric.name in MORE_IS_BETTER:
        rule = f"metric.goal: minimize would find the worst {metric.name}; leave goal out"
        yield document.mistake(("metric", "goal"), rule)


def _missing(at: tuple[int | str, ...]) -> str:
    model = _section(at[:-1])
    needed = [name for name, item in model.model_fields.items() if item.is_required()]
    return f"{'.'.join(map(str, at))} is missing: {_title(at[:-1])} needs {_and(needed)}"


def _unknown(at: tuple[int | str, ...]) -> str:
    known = tuple(_section(at[:-1]).model_fields)
    return f"unknown key {str(at[-1])!r} in {_title(at[:-1])}{did_you_mean(str(at[-1]), known)}"


def _title(at: tuple[int | str, ...]) -> str:
    return ".".join(map(str, at)) or "a job"


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _section(at: tuple[int | str, ...]) -> type[BaseModel]:
    """The model of the section at a path of keys."""
    model: type[BaseModel] = JobSpec
    for key in at:
        annotation = model.model_fields[str(key)].annotation
        is_union = get_origin(annotation) in (Union, UnionType)
        options = get_args(annotation) if is_union else (annotation,)
        model = next(
            option
            for option in options
            if isinstance(option, type) and issubclass(option, BaseModel)
        )
    return model


def _wanted(kind: str, context: Mapping[str, Any], message: str) -> str:
    rule = _RULES.get(kind)
    return rule(context) if rule else message.removeprefix("Input should be ")


def _not_but(kind: str, value: object) -> str:
    """What the value is instead, and what to write where that is plain."""
    number = number_in(value)
    if kind in ("int_type", "float_type") and number is not None:
        return f": write {number}, not {say(value)}"
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f": write '{say(value)}', not {say(value)}"
    if kind == "bool_type" and isinstance(value, str) and value.lower() in _FLAGS:
        return f": write {_FLAGS[value.lower()]}, not {say(value)}"
    return f", not {say(value)}"


_FLAGS = {
    **dict.fromkeys(("yes", "on", "true"), "true"),
    **dict.fromkeys(("no", "off", "false"), "false"),
}

_RULES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "int_type": lambda _: "a whole number",
    "int_from_float": lambda _: "a whole number",
    "float_type": lambda _: "a number",
    "finite_number": lambda _: "a finite number",
    "string_type": lambda _: "text",
    "bool_type": lambda _: "true or false",
    "model_type": lambda _: "a mapping of keys to values",
    "greater_than": lambda context: f"above {context['gt']:g}",
    "greater_than_equal": lambda context: f"at least {context['ge']:g}",
    "less_than_equal": lambda context: f"at most {context['le']:g}",
    "literal_error": lambda context: f"{context['expected']}",
    "string_pattern_mismatch": lambda _: (
        "1 to 100 letters, digits, '.', '_' and '-', the first a letter or digit"
    ),
}
