"""One hyperparameter as a file declares it: a range, a list of values, or a constant; its prior.

The spellings of a W&B sweep (`distribution: log_uniform_values` and its like) are understood.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeGuard

from lexmove.errors import Mistake, did_you_mean
from lexmove.job.document import Document, KeyPath, number_in, say
from lexmove.space.domain import (
    Categorical,
    Constant,
    Domain,
    Float,
    Integer,
    Ordinal,
    Value,
    held,
)
from lexmove.space.prior import NormalPrior, Prior, WeightsPrior

Form = Literal["range", "list", "constant"]

_MAX_INTEGER = 2**53
"""Above this, floats (and so the unit interval) cannot tell whole numbers apart."""

_KEYS: dict[Form, tuple[str, ...]] = {
    "range": ("min", "max", "log", "type", "default", "prior", "distribution", "when"),
    "list": ("values", "ordered", "default", "prior", "distribution", "when"),
    "constant": ("value", "distribution", "when"),
}
_PRIOR_KEYS = ("near", "within")
_MARKS: dict[str, Form] = {"min": "range", "max": "range", "values": "list", "value": "constant"}
_DISTRIBUTIONS: dict[str, tuple[Form, dict[str, Any]]] = {
    "uniform": ("range", {"type": "float"}),
    "int_uniform": ("range", {"type": "int"}),
    "log_uniform_values": ("range", {"type": "float", "log": True}),
    "categorical": ("list", {}),
    "constant": ("constant", {}),
}
_SPELLED: dict[Form, str] = {"range": "min and max", "list": "values", "constant": "value"}


class Notes:
    """The mistakes found so far in one document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.mistakes: list[Mistake] = []

    def add(self, at: KeyPath, message: str, *, of_key: bool = False) -> None:
        """Notes a mistake at the place of a value, or of its key."""
        self.mistakes.append(self.document.mistake(at, message, of_key=of_key))


def read_domain(notes: Notes, at: KeyPath, declared: Any) -> Domain | None:
    """The domain that is declared there; None (and at least one note) where there is none."""
    name = at[-1]
    if not isinstance(declared, dict):
        written = "{min: …, max: …}" if declared is None else _as_mapping(declared)
        notes.add(at, f"{name} must be a mapping: write {written}, not {say(declared)}")
        return None
    before = len(notes.mistakes)
    form = _form(notes, at, declared)
    if form is None:
        return None
    declared = _translated(notes, at, declared, form)
    domain = _READERS[form](notes, at, declared)
    return domain if len(notes.mistakes) == before else None


def read_prior(
    notes: Notes, at: KeyPath, declared: Any, domain: Domain
) -> tuple[Domain, Prior | None]:
    """The prior that is declared with a domain, and the domain, which it gives a default.

    `{near: 3e-5, within: 3}` of a range: two thirds of the belief lie within that distance, which
    is a factor where `log` is true. A list of weights of listed values, one for each.
    """
    if not isinstance(declared, dict) or "prior" not in declared:
        return domain, None
    where = (*at, "prior")
    if isinstance(domain, Float | Integer):
        found = _near(notes, where, declared["prior"], domain)
    elif isinstance(domain, Ordinal | Categorical):
        found = _weighted(notes, where, declared["prior"], domain)
    else:
        return domain, None  # noted as a misfit
    if found is None:
        return domain, None
    likeliest, prior = found
    return domain if "default" in declared else replace(domain, default=likeliest), prior


def _near(
    notes: Notes, at: KeyPath, declared: Any, domain: Float | Integer
) -> tuple[Any, Prior] | None:
    if not isinstance(declared, dict):
        notes.add(at, f"a prior of a range is {{near: …, within: …}}, not {say(declared)}")
        return None
    for key in declared:
        if key not in _PRIOR_KEYS:
            _note_unknown(notes, (*at, key), _PRIOR_KEYS)
    for key in _PRIOR_KEYS:
        if key not in declared:
            notes.add(at, f"a prior of a range is {{near: …, within: …}}: {key} is missing")
    if declared.keys() != set(_PRIOR_KEYS):
        return None
    near, within = (_number(notes, at, declared, key) for key in ("near", "within"))
    if near is None or within is None:
        return None
    if not domain.contains(near):
        notes.add((*at, "near"), f"near {say(near)} is not possible: {held(domain)}")
        return None
    if within <= (1 if domain.log else 0):
        rule = "a factor above 1, since log is true" if domain.log else "a distance above 0"
        notes.add((*at, "within"), f"within must be {rule}, not {say(within)}")
        return None
    width = domain.high - domain.low
    std = math.log(within) / math.log(domain.high / domain.low) if domain.log else within / width
    return near, NormalPrior(mean=domain.to_unit(near), std=std)


def _weighted(
    notes: Notes, at: KeyPath, declared: Any, domain: Ordinal | Categorical
) -> tuple[Any, Prior] | None:
    num = len(domain.values)
    if not isinstance(declared, list) or len(declared) != num:
        example = ", ".join(map(str, range(1, num + 1)))
        notes.add(at, f"a prior of {num} values is a list of {num} weights: write [{example}]")
        return None
    weights = [read_scalar(notes, (*at, index), weight) for index, weight in enumerate(declared)]
    numbers = [float(weight) for weight in weights if _is_weight(weight)]
    for index, weight in enumerate(weights):
        if weight is not None and not _is_weight(weight):
            notes.add((*at, index), f"a weight is a number above 0, not {say(weight)}")
    if len(numbers) < num:
        return None
    likeliest = domain.values[numbers.index(max(numbers))]
    return likeliest, WeightsPrior(weights=tuple(numbers))


def _is_weight(value: Value | None) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def declared_prior(domain: Domain, prior: Prior | None) -> dict[str, Value] | list[float] | None:
    """A prior as a file declares it: what `read_prior` understands; None without one."""
    if isinstance(prior, WeightsPrior):
        return list(prior.weights)
    if not isinstance(prior, NormalPrior) or not isinstance(domain, Float | Integer):
        return None
    width = domain.high - domain.low
    within = (domain.high / domain.low) ** prior.std if domain.log else prior.std * width
    near = domain.from_unit(prior.mean)
    # The digits that the unit range has added are left out.
    return {
        "near": float(f"{near:.12g}") if isinstance(near, float) else near,
        "within": float(f"{within:.12g}"),
    }


def read_scalar(notes: Notes, at: KeyPath, value: Any) -> Value | None:
    """A value that a hyperparameter may have: a flag, a finite number or a text."""
    if isinstance(value, float) and not math.isfinite(value):
        notes.add(at, f"{say(value)} is no value: write a finite number")
    elif (number := number_in(value)) is not None:
        notes.add(at, f"write {number}, not {say(value)}: numbers stand without quotes")
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) > _MAX_INTEGER:
        notes.add(at, f"{say(value)} is too large: whole numbers go up to 2^53")
    elif isinstance(value, bool | int | float | str):
        return value
    else:
        notes.add(at, f"{say(value)} is no value: write a number, a text, true or false")
    return None


def _as_mapping(declared: Any) -> str:
    return "{values: […]}" if isinstance(declared, list) else f"{{value: {say(declared)}}}"


def _form(notes: Notes, at: KeyPath, declared: dict[str, Any]) -> Form | None:
    forms = tuple(dict.fromkeys(_MARKS[key] for key in declared if key in _MARKS))
    if len(forms) == 1:
        _note_misfits(notes, at, declared, forms[0])
        return forms[0]
    known = tuple(dict.fromkeys(key for keys in _KEYS.values() for key in keys))
    unknown = [key for key in declared if key not in known]
    for key in unknown:
        _note_unknown(notes, (*at, key), known)
    if forms:
        both = " and ".join(_SPELLED[form] for form in forms)
        notes.add(at, f"{at[-1]} has {both}: keep one of them", of_key=True)
    elif not unknown:
        notes.add(at, f"{at[-1]} needs min and max, or values, or value", of_key=True)
    return None


def _note_misfits(notes: Notes, at: KeyPath, declared: dict[str, Any], form: Form) -> None:
    for key in declared:
        if key in _KEYS[form]:
            continue
        if any(key in keys for keys in _KEYS.values()):
            message = f"{key} does not go with {_SPELLED[form]}: leave it out"
            notes.add((*at, key), message, of_key=True)
        else:
            _note_unknown(notes, (*at, key), _KEYS[form])


def _note_unknown(notes: Notes, at: KeyPath, known: Sequence[str]) -> None:
    *_, name, key = at
    message = f"unknown key {key!r} in {name}{did_you_mean(str(key), known)}"
    if key == "q":
        message = "steps (q) are not supported: list the values, with ordered: true"
    notes.add(at, message, of_key=True)


def _translated(notes: Notes, at: KeyPath, declared: dict[str, Any], form: Form) -> dict[str, Any]:
    """The declaration with a sweep's `distribution` written as `type` and `log`."""
    if "distribution" not in declared:
        return declared
    spelled = declared["distribution"]
    where = (*at, "distribution")
    if spelled == "log_uniform":
        notes.add(where, "log_uniform takes exponents: write log_uniform_values and the values")
    elif not isinstance(spelled, str) or spelled not in _DISTRIBUTIONS:
        hint = did_you_mean(str(spelled), tuple(_DISTRIBUTIONS))
        notes.add(where, f"unknown distribution {say(spelled)}{hint}")
    elif _DISTRIBUTIONS[spelled][0] != form:
        needed = _SPELLED[_DISTRIBUTIONS[spelled][0]]
        notes.add(where, f"distribution {spelled} needs {needed}, not {_SPELLED[form]}")
    elif form == "range" and declared.keys() & {"type", "log"}:
        notes.add(where, "distribution says type and log: give the one or the others")
    else:
        return {**declared, **_DISTRIBUTIONS[spelled][1]}
    return declared


def _read_range(notes: Notes, at: KeyPath, declared: dict[str, Any]) -> Domain | None:
    before = len(notes.mistakes)
    low, high, default = (_number(notes, at, declared, key) for key in ("min", "max", "default"))
    log = _flag(notes, at, declared, "log")
    kind = declared.get("type")
    if kind not in (None, "float", "int"):
        notes.add((*at, "type"), f"type must be float or int, not {say(kind)}")
    if low is None or high is None:
        return None
    is_whole = kind == "int" or (kind is None and isinstance(low, int) and isinstance(high, int))
    if is_whole:
        _check_whole(notes, at, {"min": low, "max": high, "default": default})
    _check_range(notes, at, (low, high), log)
    if default is not None and low < high and not low <= default <= high:
        notes.add((*at, "default"), f"default {default} is outside [{low}, {high}]")
    if len(notes.mistakes) > before:
        return None
    if is_whole:
        whole = None if default is None else int(default)
        return Integer(low=int(low), high=int(high), log=log, default=whole)
    real = None if default is None else float(default)
    return Float(low=float(low), high=float(high), log=log, default=real)


def _check_range(notes: Notes, at: KeyPath, bounds: tuple[float, float], log: bool) -> None:
    low, high = bounds
    if low == high:
        notes.add((*at, "max"), f"min and max are both {low}: write {{value: {low}}}")
    elif low > high:
        notes.add((*at, "min"), f"min {low} must be below max {high}: exchange them")
    elif not math.isfinite(high - low):
        notes.add((*at, "max"), f"max {high} is too far from min {low}: narrow the range")
    if log and low <= 0:
        notes.add((*at, "min"), f"log: true needs min above 0, not {low}")


def _check_whole(notes: Notes, at: KeyPath, numbers: Mapping[str, float | None]) -> None:
    for key in ("min", "max"):
        if isinstance(numbers[key], float):
            notes.add((*at, key), f"type: int needs a whole {key}, not {numbers[key]}")
    if isinstance(numbers["default"], float):
        way = f"write type: float, or min: {numbers['min']}.0"
        notes.add(
            (*at, "default"),
            f"default {numbers['default']} is not whole, but min and max are: {way}",
        )


def _number(notes: Notes, at: KeyPath, declared: dict[str, Any], key: str) -> int | float | None:
    if key not in declared:
        if key != "default":
            notes.add(at, f"{at[-1]} needs min and max: {key} is missing", of_key=True)
        return None
    value = read_scalar(notes, (*at, key), declared[key])
    if isinstance(value, bool | str):
        notes.add((*at, key), f"{key} must be a number, not {say(value)}")
        return None
    return value


def _flag(notes: Notes, at: KeyPath, declared: dict[str, Any], key: str) -> bool:
    value = declared.get(key, False)
    if not isinstance(value, bool):
        notes.add((*at, key), f"{key} must be true or false, not {say(value)}")
        return False
    return value


def _read_list(notes: Notes, at: KeyPath, declared: dict[str, Any]) -> Domain | None:
    values = _values(notes, (*at, "values"), declared["values"])
    is_ordered = _flag(notes, at, declared, "ordered")
    if values is None:
        return None
    if is_ordered and list(values) != sorted(values, key=_rank):
        notes.add((*at, "values"), "ordered values must be listed from the lowest to the highest")
        return None
    default = _listed_default(notes, at, declared, values)
    kind = Ordinal if is_ordered else Categorical
    return kind(values=values, default=default)


def _rank(value: Value) -> float:
    """Numbers have an order of their own; texts the one in which they are listed."""
    return 0.0 if isinstance(value, str) else float(value)


def _values(notes: Notes, at: KeyPath, listed: Any) -> tuple[Value, ...] | None:
    if not isinstance(listed, list):
        notes.add(at, f"values must be a list: write [{say(listed)}, …]")
        return None
    read = [read_scalar(notes, (*at, index), value) for index, value in enumerate(listed)]
    values = [value for value in read if value is not None]
    if len(values) < len(listed):
        return None
    if len(values) < 2:
        message = f"one value is no choice: write {{value: {say(values[0])}}}" if values else ""
        notes.add(at, message or "values is empty: list at least two")
        return None
    return _uniform(notes, at, values)


def _uniform(notes: Notes, at: KeyPath, values: list[Value]) -> tuple[Value, ...] | None:
    """The values as one kind, whole numbers as floats where any is one; each once."""
    kinds = {_kind(value) for value in values}
    if len(kinds) > 1:
        notes.add(at, f"values mix {' and '.join(sorted(kinds))}: keep to one of them")
        return None
    for index, value in enumerate(values):
        if value in values[:index]:
            notes.add((*at, index), f"{say(value)} is listed twice: keep one")
            return None
    if any(isinstance(value, float) for value in values):
        return tuple(float(value) for value in values)
    return tuple(values)


def _kind(value: Value) -> str:
    if isinstance(value, bool):
        return "flags"
    return "texts" if isinstance(value, str) else "numbers"


def _listed_default(
    notes: Notes, at: KeyPath, declared: dict[str, Any], values: tuple[Value, ...]
) -> Value | None:
    if "default" not in declared:
        return None
    default = read_scalar(notes, (*at, "default"), declared["default"])
    if default is None:
        return None
    for value in values:
        if value == default and _kind(value) == _kind(default):
            return value
    listed = ", ".join(map(say, values))
    notes.add((*at, "default"), f"default {say(default)} is not among the values {listed}")
    return None


def _read_constant(notes: Notes, at: KeyPath, declared: dict[str, Any]) -> Domain | None:
    value = read_scalar(notes, (*at, "value"), declared["value"])
    return None if value is None else Constant(value=value)


_READERS: dict[Form, Callable[[Notes, KeyPath, dict[str, Any]], Domain | None]] = {
    "range": _read_range,
    "list": _read_list,
    "constant": _read_constant,
}
