"""Reads search spaces, alone or with their job: every mistake at once, each with its place.

A space is `parameters` (see declaration.py) and, if wanted, `forbid`: a list of combinations
that are never tried.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lexmove.errors import InvalidConfigError, InvalidFileError, Mistake, did_you_mean
from lexmove.job.document import Document, KeyPath, in_file_order, read_document, say
from lexmove.job.loading import found_beside, parse_job, with_inputs_found
from lexmove.job.spec import JobSpec
from lexmove.space.declaration import Notes, read_domain, read_prior, read_scalar
from lexmove.space.domain import Domain, Value, held
from lexmove.space.prior import Prior
from lexmove.space.reachability import can_be_active, can_match, circle, leaves_any
from lexmove.space.search_space import Hyperparameter, SearchSpace

_KEYS = ("parameters", "forbid")
_SWEEP_KEYS = (
    *("program", "method", "metric", "name", "description", "project", "entity", "command"),
    *("early_terminate", "run_cap"),
)

Domains = Mapping[str, Domain | None]
Rule = dict[str, tuple[Value, ...]]


def load_space(path: str | Path) -> SearchSpace:
    """Reads a search-space file.

    Raises:
        InvalidFileError: all its mistakes.
    """
    return _space_or_raise(read_document(path))


def space_from_mapping(data: Mapping[str, Any]) -> SearchSpace:
    """The search space that a dict in the file's form spells.

    Raises:
        InvalidFileError: all its mistakes; they name no line.
    """
    mistakes: list[Mistake] = []
    plain = _plain(data, mistakes)
    return _space_or_raise(Document(path="<space>", data=plain, mistakes=tuple(mistakes)))


def load_job_and_space(path: str | Path) -> tuple[JobSpec, SearchSpace]:
    """Reads a job file and the search space that it names or holds.

    Raises:
        InvalidFileError: all mistakes of both files.
    """
    document = read_document(path)
    folder = Path(path).parent
    spec, mistakes = parse_job(document)
    space, of_space = _space_of_job(document, folder)
    of_configs = [] if spec is None or space is None else _of_configs(document, spec, space)
    mistakes = in_file_order([*mistakes, *of_space, *of_configs])
    if mistakes or spec is None or space is None:
        raise InvalidFileError(mistakes)
    return with_inputs_found(spec, folder), space


def parse_space(
    document: Document, *, at: KeyPath = ()
) -> tuple[SearchSpace | None, list[Mistake]]:
    """The space that stands at `at` in a document, and what is wrong with it.

    None where there is a mistake in the space itself.
    """
    notes = Notes(document)
    space = _read_space(notes, at)
    mistakes = in_file_order([*document.mistakes, *notes.mistakes])
    return (None if notes.mistakes else space), mistakes


def _space_or_raise(document: Document) -> SearchSpace:
    space, mistakes = parse_space(document)
    if space is None or mistakes:
        raise InvalidFileError(mistakes)
    return space


def _space_of_job(document: Document, folder: Path) -> tuple[SearchSpace | None, list[Mistake]]:
    named = document.get(("space",))
    if isinstance(named, dict):
        return parse_space(document, at=("space",))
    if not isinstance(named, str):
        return None, []
    found = found_beside(named, folder)
    if not Path(found).is_file():
        looked = f"neither in {str(folder)!r} nor in the current folder"
        message = f"space: there is no file {named!r}, {looked}"
        return None, [document.mistake(("space",), message)]
    try:
        return parse_space(read_document(found))
    except InvalidFileError as error:
        return None, list(error.mistakes)


def _of_configs(document: Document, spec: JobSpec, space: SearchSpace) -> list[Mistake]:
    """What is wrong with the configs that a job asks for: its starts, and what it compares."""
    starts = ((("agent", "starts", index), start) for index, start in enumerate(spec.agent.starts))
    compared = (
        (("finalists", "compare", index, "config"), item.config)
        for index, item in enumerate(spec.finalists.compare)
    )
    notes = Notes(document)
    for at, config in (*starts, *compared):
        _note_config(notes, at, config, space)
    return notes.mistakes


def _note_config(
    notes: Notes, at: KeyPath, config: Mapping[str, Value], space: SearchSpace
) -> None:
    before = len(notes.mistakes)
    for name, value in config.items():
        if name not in space:
            hint = did_you_mean(name, space.names)
            notes.add((*at, name), f"the space has no hyperparameter {name!r}{hint}", of_key=True)
        elif not space[name].domain.contains(value):
            rule = held(space[name].domain)
            notes.add((*at, name), f"{name} = {say(value)} is not possible: {rule}")
    if len(notes.mistakes) == before:
        try:
            space.config(config)
        except InvalidConfigError as error:
            notes.add(at, str(error))


def _plain(data: Any, mistakes: list[Mistake]) -> Any:
    """The same data in dicts, lists and Python's own values."""
    if isinstance(data, Mapping):
        for key in data:
            if not isinstance(key, str):
                message = f"a key must be a text, not {key!r}"
                mistakes.append(Mistake(path="<space>", line=0, column=0, message=message))
        return {str(key): _plain(value, mistakes) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value, mistakes) for value in data]
    return data.tolist() if hasattr(data, "tolist") else data


def _read_space(notes: Notes, at: KeyPath) -> SearchSpace | None:
    declared = notes.document.get(at)
    if not isinstance(declared, dict):
        notes.add(at, f"a search space is a mapping with parameters, not {say(declared)}")
        return None
    for key in declared:
        if key not in _KEYS:
            _note_unknown(notes, (*at, key))
    parameters = declared.get("parameters")
    if not isinstance(parameters, dict) or not parameters:
        rule = "parameters must name at least one hyperparameter"
        notes.add((*at, "parameters"), f"{rule}: write learning_rate: {{min: 1e-5, max: 1e-3}}")
        return None
    inside = (*at, "parameters")
    domains: dict[str, Domain | None] = {}
    priors: dict[str, Prior | None] = {}
    for name, of_name in parameters.items():
        at_name = (*inside, name)
        domain = domains[name] = read_domain(notes, at_name, of_name)
        if domain is not None:
            domains[name], priors[name] = read_prior(notes, at_name, of_name, domain)
    when = _read_conditions(notes, inside, parameters, domains)
    forbid = _read_forbid(notes, (*at, "forbid"), declared.get("forbid", []), domains)
    return None if notes.mistakes else _joined(notes, at, domains, priors, when, forbid)


def _note_unknown(notes: Notes, at: KeyPath) -> None:
    key = str(at[-1])
    message = f"unknown key {key!r} in a search space{did_you_mean(key, _KEYS)}"
    if key in _SWEEP_KEYS:
        message = f"{key} belongs to a sweep, not to a search space: leave it out"
    notes.add(at, message, of_key=True)


def _read_conditions(
    notes: Notes, at: KeyPath, parameters: Mapping[str, Any], domains: Domains
) -> dict[str, Rule]:
    when = {
        name: _read_rule(notes, (*at, name, "when"), declared["when"], domains)
        for name, declared in parameters.items()
        if isinstance(declared, dict) and "when" in declared
    }
    parents = {name: tuple(rule) for name, rule in when.items()}
    while names := circle(parents):
        way = " → ".join(names)
        notes.add((*at, names[0], "when"), f"when goes in a circle, {way}: drop one of them")
        for name in names:
            parents.pop(name, None)
    return when


def _read_forbid(notes: Notes, at: KeyPath, declared: Any, domains: Domains) -> list[Rule]:
    if not isinstance(declared, list):
        notes.add(
            at, f"forbid must be a list of rules: write [{{a: 1, b: 2}}], not {say(declared)}"
        )
        return []
    return [_read_rule(notes, (*at, index), rule, domains) for index, rule in enumerate(declared)]


def _read_rule(notes: Notes, at: KeyPath, declared: Any, domains: Domains) -> Rule:
    """A `when` or one rule of `forbid`: names with the values that count."""
    if not isinstance(declared, dict) or not declared:
        what = "when" if at[-1] == "when" else "a rule of forbid"
        rule = f"{what} must name hyperparameters with values"
        notes.add(at, f"{rule}: write {{name: value}}, not {say(declared)}")
        return {}
    read: Rule = {}
    for name, values in declared.items():
        if name in domains:
            read[name] = _read_values(notes, (*at, name), values, domains[name])
        else:
            where = "when" if at[-1] == "when" else "forbid"
            hint = did_you_mean(name, tuple(domains))
            message = f"{where} names the unknown hyperparameter {name!r}{hint}"
            notes.add((*at, name), message, of_key=True)
    return read


def _read_values(
    notes: Notes, at: KeyPath, declared: Any, domain: Domain | None
) -> tuple[Value, ...]:
    places = [(at, declared)]
    if isinstance(declared, list):
        places = [((*at, index), value) for index, value in enumerate(declared)]
        if not declared:
            notes.add(at, f"{at[-1]} names no value, so this never holds: list at least one")
    read = []
    for place, item in places:
        value = read_scalar(notes, place, item)
        if value is not None and domain is not None and not domain.contains(value):
            message = f"{at[-1]} is never {say(value)}, so this never holds: {held(domain)}"
            notes.add(place, message)
        elif value is not None:
            read.append(value)
    return tuple(read)


def _joined(
    notes: Notes,
    at: KeyPath,
    domains: Domains,
    priors: Mapping[str, Prior | None],
    when: Mapping[str, Rule],
    forbid: list[Rule],
) -> SearchSpace | None:
    """The space, if what was read piece by piece also fits together."""
    items = tuple(
        Hyperparameter(name=name, domain=domain, when=when.get(name, {}), prior=priors[name])
        for name, domain in domains.items()
        if domain is not None
    )
    space = SearchSpace(hyperparameters=items)
    for name in when:
        if not can_be_active(space, name):
            message = f"{name} is never active: its when contradicts that of its parents"
            notes.add((*at, "parameters", name, "when"), message)
    for index, rule in enumerate(forbid):
        if not can_match(space, rule):
            message = "this rule never holds: its hyperparameters are never active together"
            notes.add((*at, "forbid", index), f"{message}: leave it out")
    _check_default(notes, (*at, "forbid"), space, forbid)
    return None if notes.mistakes else replace(space, forbid=tuple(forbid))


def _check_default(notes: Notes, at: KeyPath, space: SearchSpace, forbid: list[Rule]) -> None:
    if not leaves_any(space, tuple(forbid)):
        notes.add(at, "the rules of forbid leave no config at all: loosen one of them")
        return
    for index, rule in enumerate(forbid):
        if all(space.default.get(name) in values for name, values in rule.items()):
            usual = ", ".join(f"{name} = {say(space.default[name])}" for name in rule)
            message = (
                f"this rule forbids the default config ({usual}): change a default or the rule"
            )
            notes.add((*at, index), message)
