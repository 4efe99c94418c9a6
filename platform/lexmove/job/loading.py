"""Reads a job: every mistake of the file at once, each with its place, rule and way out.

Inputs that a job names by a relative path (`space`, `task.files`, a model folder, policy weights,
the file of an own metric or proposer) are looked up beside the job file first, then in the current
folder. What a study writes (`store`, `storage`) is relative to the current folder.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from lexmove.errors import InvalidFileError, Mistake, did_you_mean
from lexmove.job.document import Document, KeyPath, in_file_order, number_in, read_document, say
from lexmove.job.own_code import is_own, with_own_file
from lexmove.job.spec import MORE_IS_BETTER, TASKS, JobSpec, TaskSpec


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
        return None, in_file_order([*mistakes, *_mistakes(document, error.errors())])
    of_files = (*_of_names(document, spec), *_of_columns(document, spec.task))
    return spec, in_file_order([*mistakes, *of_files])


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


def _mistakes(document: Document, found: Sequence[ErrorDetails]) -> Iterator[Mistake]:
    """Every mistake at a place of the file.

    Of a value that may have several forms, pydantic finds one for each. What is told is what is
    wrong inside the form that the value has, or else all that it may be.
    """
    choices = [(details, _choice(details["loc"])) for details in found]
    looked_into = {at for details, at in choices if at is not None and _is_inside(details, at)}
    for details, at in choices:
        loc = details["loc"]
        if at is None:
            yield _mistake(document, loc, details)
        elif _is_inside(details, at):
            yield _mistake(document, (*at, *loc[len(at) + 1 :]), details)
        elif at not in looked_into:
            yield _misfit(document, at)


def _is_inside(details: ErrorDetails, at: KeyPath) -> bool:
    """Whether it lies deeper than the form of the value there, which pydantic names in between."""
    return len(details["loc"]) > len(at) + 1


def _misfit(document: Document, at: KeyPath) -> Mistake:
    """A value that has none of the forms that it may have."""
    value = document.get(at)
    if value is None and at not in _FORMS:
        return document.mistake(at, _empty(at))
    told = f"a list of {len(value)}" if isinstance(value, list) and value else say(value)
    wanted = _FORMS.get(at, "a finite number, a text, true or false")
    return document.mistake(at, f"{_title(at)} must be {wanted}, not {told}")


def _mistake(document: Document, at: KeyPath, details: ErrorDetails) -> Mistake:
    kind = details["type"]
    if kind == "missing":
        return document.mistake(at[:-1], _missing(at))
    if kind == "extra_forbidden":
        return document.mistake(at, _unknown(at), of_key=True)
    name, value = _title(at), details["input"]
    if kind == "value_error":
        reason = str(details["ctx"]["error"])
        if not at:  # a rule over several sections begins with the key that it is about
            return document.mistake(tuple(reason.split(maxsplit=1)[0].split(".")), reason)
        return document.mistake(at, f"{name}: {reason}")
    if value is None:
        return document.mistake(at, _empty(at))
    if kind.endswith("_type") and at in _FORMS:
        return _misfit(document, at)
    wanted = _wanted(kind, details.get("ctx", {}), details["msg"])
    instead = _not_but(kind, value, spelling=document.spellings.get(at))
    return document.mistake(at, f"{name} must be {wanted}{instead}")


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


def _of_columns(document: Document, task: TaskSpec) -> Iterator[Mistake]:
    """Data in which one column would be two things; only a group may be something else, too."""
    if task.name is not None:
        return
    endings = (task.endings,) if isinstance(task.endings, str) else task.endings or ()
    roles = [*(("endings", column) for column in endings), ("label", task.label)]
    if task.pair is not None:
        roles.append(("pair", task.pair))
    taken = {task.text: "text"}
    for role, column in roles:
        if column in taken:
            both = f"task.{taken[column]} and task.{role} both name the column {column!r}"
            twice = f"task.{role} names the column {column!r} twice"
            rule = twice if role == taken[column] else both
            is_given = document.get(("task", role)) is not None
            at = ("task", role if is_given else taken[column])
            yield document.mistake(at, f"{rule}; each needs a column of its own")
        taken[column] = role


def _empty(at: KeyPath) -> str:
    return f"{_title(at)} is empty: give a value, or leave the key out"


def _missing(at: KeyPath) -> str:
    needed = [name for name, item in _section(at[:-1]).items() if item.is_required()]
    return f"{_title(at)} is missing: {_title(at[:-1])} needs {_and(needed)}"


def _unknown(at: KeyPath) -> str:
    known = tuple(_section(at[:-1]))
    return f"unknown key {str(at[-1])!r} in {_title(at[:-1])}{did_you_mean(str(at[-1]), known)}"


def _title(at: KeyPath) -> str:
    return ".".join(map(str, at)) or "a job"


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _section(at: KeyPath) -> Mapping[str, FieldInfo]:
    """The keys that the section at a path may have; none where no section can be."""
    forms: tuple[Any, ...] = (JobSpec,)
    for key in at:
        forms = _forms_inside(forms, key)
    return next((form.model_fields for form in forms if _is_section(form)), {})


def _choice(loc: KeyPath) -> KeyPath | None:
    """The path of the first value on the way that may have several forms; None without one."""
    forms: tuple[Any, ...] = (JobSpec,)
    for depth, key in enumerate(loc):
        if len(forms) > 1:
            return loc[:depth]
        forms = _forms_inside(forms, key)
    return None


def _forms_inside(forms: tuple[Any, ...], key: str | int) -> tuple[Any, ...]:
    """The types that a value may have which lies at a key of a value of one of these types."""
    found: list[Any] = []
    for form in forms:
        if _is_section(form):
            field = form.model_fields.get(str(key))
            found += _forms(field.annotation) if field else ()
        elif get_origin(form) in (list, tuple, dict):
            item = [part for part in get_args(form) if part is not Ellipsis][-1]
            found += _forms(item)
    return tuple(found)


def _forms(annotation: Any) -> tuple[Any, ...]:
    """The types that a type consists of, without None, which pydantic does not count as a form."""
    if get_origin(annotation) is Annotated:
        return _forms(get_args(annotation)[0])
    if get_origin(annotation) not in (Union, UnionType):
        return () if annotation is NoneType else (annotation,)
    return tuple(form for part in get_args(annotation) for form in _forms(part))


def _is_section(form: Any) -> bool:
    return isinstance(form, type) and issubclass(form, BaseModel)


def _wanted(kind: str, context: Mapping[str, Any], message: str) -> str:
    rule = _RULES.get(kind)
    return rule(context) if rule else message.removeprefix("Input should be ")


def _not_but(kind: str, value: object, *, spelling: str | None) -> str:
    """What the value is instead, and what to write where that is plain."""
    number = number_in(value)
    if kind in ("int_type", "float_type") and number is not None:
        return f": write {number}, not {say(value)}"
    if kind == "string_type" and isinstance(value, bool | int | float):
        if spelling is None:
            return f", not {say(value)}: put quotes around it"
        return f": write '{spelling}', not {spelling}"
    if kind == "bool_type" and isinstance(value, str) and value.lower() in _FLAGS:
        return f": write {_FLAGS[value.lower()]}, not {say(value)}"
    return f", not {say(value)}"


_FLAGS = {
    **dict.fromkeys(("yes", "on", "true"), "true"),
    **dict.fromkeys(("no", "off", "false"), "false"),
}

_DURATION = "a duration, such as 90s, 30m, 6h or 1d"
_FORMS: Mapping[KeyPath, str] = {
    ("space",): "the path of a search-space file, or its content inline",
    ("task", "endings"): "the name of a column, or a list of two or more",
    ("resources",): "auto, or a mapping of keys to values",
    ("budget", "wall_clock"): _DURATION,
    ("budget", "trial"): _DURATION,
}
"""What a value may be that may have several forms; what is not here is a hyperparameter's."""

_RULES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "int_type": lambda _: "a whole number",
    "int_from_float": lambda _: "a whole number",
    "float_type": lambda _: "a number",
    "finite_number": lambda _: "a finite number",
    "string_type": lambda _: "text",
    "bool_type": lambda _: "true or false",
    "string_too_short": lambda _: "a text that is not empty",
    "list_type": lambda _: "a list",
    "model_type": lambda _: "a mapping of keys to values",
    "dict_type": lambda _: "a mapping of keys to values",
    "greater_than": lambda context: f"above {context['gt']:g}",
    "greater_than_equal": lambda context: f"at least {context['ge']:g}",
    "less_than": lambda context: f"below {context['lt']:g}",
    "less_than_equal": lambda context: f"at most {context['le']:g}",
    "literal_error": lambda context: f"{context['expected']}",
    "string_pattern_mismatch": lambda _: (
        "1 to 100 letters, digits, '.', '_' and '-', the first a letter or digit"
    ),
}
