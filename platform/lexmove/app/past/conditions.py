"""Conditions behind configs: of which values of others it depends that a hyperparameter is there.

Other tools decide that in the user's code and keep only which ones a trial had. What holds in
every trial is taken for the rule: a conjunction of sets of values. Left out: rules that are none,
such as "a or b".
"""

from collections.abc import Mapping, Sequence

from lexmove.errors import InvalidConfigError
from lexmove.space.domain import Constant, Domain, Float, Value

Condition = Mapping[str, tuple[Value, ...]]

_MAX_VALUES = 64
"""A hyperparameter with more values decides about no other."""


def conditions_of(
    configs: Sequence[Mapping[str, Value]], domains: Mapping[str, Domain]
) -> dict[str, Condition]:
    """When each hyperparameter that is missing in some configs is there; as few parents as do.

    Raises:
        InvalidConfigError: nothing explains it.
    """
    found: dict[str, Condition] = {}
    for name in domains:
        present = [name in config for config in configs]
        if all(present) or not any(present):
            continue
        condition = _condition(name, configs, domains)
        if condition is None:
            raise InvalidConfigError(
                f"hyperparameter {name!r} is missing in {present.count(False)} of {len(configs)} "
                "trials, and no other one says when"
            )
        found[name] = condition
    return found


def _condition(
    name: str, configs: Sequence[Mapping[str, Value]], domains: Mapping[str, Domain]
) -> Condition | None:
    """The rule for one hyperparameter; None where there is none."""
    rule: dict[str, tuple[Value, ...]] = {}
    for parent, domain in domains.items():
        if parent != name and _may_decide(domain):
            values = _values_with(name, parent, configs)
            if values is not None and len(values) < (domain.num_levels or 0):
                rule[parent] = values
    if not _explains(rule, name, configs):
        return None
    for parent in tuple(rule):
        fewer = {other: values for other, values in rule.items() if other != parent}
        if _explains(fewer, name, configs):
            rule = fewer
    return rule


def _may_decide(domain: Domain) -> bool:
    num = domain.num_levels
    return not isinstance(domain, Float | Constant) and num is not None and num <= _MAX_VALUES


def _values_with(
    name: str, parent: str, configs: Sequence[Mapping[str, Value]]
) -> tuple[Value, ...] | None:
    """The parent's values in configs that have `name`; None where one lacks the parent."""
    having = [config for config in configs if name in config]
    if any(parent not in config for config in having):
        return None
    return tuple(dict.fromkeys(config[parent] for config in having))


def _explains(rule: Condition, name: str, configs: Sequence[Mapping[str, Value]]) -> bool:
    return all(
        (name in config)
        == all(parent in config and config[parent] in values for parent, values in rule.items())
        for config in configs
    )
