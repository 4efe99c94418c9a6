"""What `when` and `forbid` leave: circles, dead rules, and spaces without a config.

Exact, by trying every value that a rule or condition names and one that none names: all other
values behave like that one.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from lexmove.space.domain import Constant, Domain, Integer, Value
from lexmove.space.search_space import Hyperparameter, SearchSpace

Rule = Mapping[str, tuple[Value, ...]]

_MAX_CASES = 100_000
"""Cases tried before a question counts as answered with yes."""


def circle(parents: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """The names along one circle of conditions, the first again at the end; () where none."""
    waiting = {name: [item for item in of if item in parents] for name, of in parents.items()}
    while ready := [name for name, of in waiting.items() if not any(p in waiting for p in of)]:
        for name in ready:
            del waiting[name]
    if not waiting:
        return ()
    walked = [next(iter(waiting))]
    while walked[-1] not in walked[:-1]:
        walked.append(next(name for name in waiting[walked[-1]] if name in waiting))
    return tuple(walked[walked.index(walked[-1]) :])


def can_be_active(space: SearchSpace, name: str) -> bool:
    """Whether some config holds the hyperparameter."""
    return _any(name in case for case in _cases(space, ({name: ()},)))


def can_match(space: SearchSpace, rule: Rule) -> bool:
    """Whether some config, allowed or not, matches the rule."""
    return _any(_matches(rule, case) for case in _cases(space, (rule,)))


def leaves_any(space: SearchSpace, rules: tuple[Rule, ...]) -> bool:
    """Whether some config matches none of the rules."""
    return _any(not any(_matches(rule, case) for rule in rules) for case in _cases(space, rules))


def _any(answers: Iterator[bool]) -> bool:
    tried = 0
    for answer in islice(answers, _MAX_CASES):
        if answer:
            return True
        tried += 1
    return tried == _MAX_CASES


def _matches(rule: Rule, case: Mapping[str, Value]) -> bool:
    return all(name in case and case[name] in values for name, values in rule.items())


def _cases(space: SearchSpace, rules: tuple[Rule, ...]) -> Iterator[dict[str, Value]]:
    """Configs cut down to what the rules and their conditions speak of; one of every kind."""
    wanted = _with_parents(space, {name for rule in rules for name in rule})
    items = [item for item in space.parents_first if item.name in wanted]
    named: dict[str, list[Value]] = {name: [] for name in wanted}
    for condition in (*rules, *(item.when for item in items)):
        for name, values in condition.items():
            named[name] += values
    choices = {item.name: _choices(item.domain, named[item.name]) for item in items}
    return _extended({}, items, choices)


def _with_parents(space: SearchSpace, names: set[str]) -> set[str]:
    parents = {parent for name in names for parent in space[name].when}
    return names if parents <= names else _with_parents(space, names | parents)


def _choices(domain: Domain, named: list[Value]) -> tuple[Value, ...]:
    other = next((value for value in _some(domain, len(named) + 1) if value not in named), None)
    return (*dict.fromkeys(named), *(() if other is None else (other,)))


def _some(domain: Domain, count: int) -> Iterable[Value]:
    """The first values of a domain, all of them or at least `count`."""
    if isinstance(domain, Constant):
        return (domain.value,)
    if isinstance(domain, Integer):
        return range(domain.low, min(domain.high, domain.low + count) + 1)
    levels = domain.num_levels or count
    return (domain.from_unit((index + 0.5) / levels) for index in range(levels))


def _extended(
    case: dict[str, Value], items: list[Hyperparameter], choices: Mapping[str, tuple[Value, ...]]
) -> Iterator[dict[str, Value]]:
    if not items:
        yield case
        return
    first, rest = items[0], items[1:]
    if not _matches(first.when, case):
        yield from _extended(case, rest, choices)
        return
    for value in choices[first.name]:
        yield from _extended({**case, first.name: value}, rest, choices)
