"""The search space: hyperparameters with their domains, `when` conditions and `forbid` rules."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexmove.errors import InvalidConfigError, did_you_mean
from lexmove.space.domain import Constant, Domain, Value, domain_from_json, held
from lexmove.space.prior import Prior, prior_from_json

_MAX_DRAWS = 10_000
"""Draws after which a space counts as forbidden altogether."""


class Config(Mapping[str, Value]):
    """A point of a search space: the active hyperparameters and their values.

    Immutable, hashable and picklable; equal to any mapping with the same items.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        return f"Config({self._values})"

    def __reduce__(self) -> tuple[type["Config"], tuple[dict[str, Value]]]:
        return Config, (self._values,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameter:
    """A name, its domain, when it is active, and where good values are believed to lie.

    `when` maps a parent's name to the values under which this one is active; all must hold.
    """

    name: str
    domain: Domain
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    prior: Prior | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON value from which `from_json` makes an equal one."""
        written = {
            "name": self.name,
            "domain": self.domain.to_json(),
            "when": {name: list(values) for name, values in self.when.items()},
        }
        return written if self.prior is None else {**written, "prior": self.prior.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Hyperparameter":
        """Reads what `to_json` wrote."""
        prior = data.get("prior")
        return cls(
            name=data["name"],
            domain=domain_from_json(data["domain"]),
            when={name: tuple(values) for name, values in data["when"].items()},
            prior=None if prior is None else prior_from_json(prior),
        )


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """What may be tried.

    `forbid` lists combinations: a config that has one of the listed values for every name of a
    combination is forbidden. Parents may be declared after their children.

    Raises:
        InvalidConfigError: a repeated name, an unknown or circular parent, an unknown name or
            value in `forbid`, or a default config that is forbidden.
    """

    hyperparameters: tuple[Hyperparameter, ...]
    forbid: tuple[Mapping[str, tuple[Value, ...]], ...] = ()

    def __post_init__(self) -> None:
        names = [item.name for item in self.hyperparameters]
        if not names:
            raise InvalidConfigError("a search space needs at least one hyperparameter")
        for name in names:
            if names.count(name) > 1:
                raise InvalidConfigError(f"hyperparameter {name!r} is declared twice")
        for item in self.hyperparameters:
            self._check_rule(item.when, f"when of {item.name!r}")
        for rule in self.forbid:
            self._check_rule(rule, "forbid")
        _ = self.parents_first  # raises on a circle
        if self.is_forbidden(self.default):
            raise InvalidConfigError(
                f"the default config {dict(self.default)} is forbidden: "
                "change a default or the rule"
            )

    def _check_rule(self, rule: Mapping[str, tuple[Value, ...]], where: str) -> None:
        for name, values in rule.items():
            if name not in self:
                raise InvalidConfigError(
                    f"{where} names the unknown hyperparameter {name!r}"
                    + did_you_mean(name, self.names)
                )
            for value in values:
                if not self[name].domain.contains(value):
                    raise InvalidConfigError(
                        f"{where} asks for {name} = {value!r}, which its domain does not hold"
                    )

    @cached_property
    def _by_name(self) -> dict[str, Hyperparameter]:
        return {item.name: item for item in self.hyperparameters}

    @cached_property
    def parents_first(self) -> tuple[Hyperparameter, ...]:
        """The hyperparameters so ordered that each follows those that its `when` names."""
        placed: dict[str, Hyperparameter] = {}
        waiting = list(self.hyperparameters)
        while waiting:
            ready = [item for item in waiting if all(parent in placed for parent in item.when)]
            if not ready:
                raise InvalidConfigError(
                    f"when conditions go in a circle: {', '.join(item.name for item in waiting)}"
                )
            placed.update({item.name: item for item in ready})
            waiting = [item for item in waiting if item.name not in placed]
        return tuple(placed.values())

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Hyperparameter:
        return self._by_name[name]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All names, in declaration order."""
        return tuple(item.name for item in self.hyperparameters)

    @cached_property
    def searched(self) -> tuple[Hyperparameter, ...]:
        """The hyperparameters with more than one value: the D dimensions of `to_unit`."""
        return tuple(item for item in self.hyperparameters if not isinstance(item.domain, Constant))

    @cached_property
    def default(self) -> Config:
        """Every active hyperparameter at its default."""
        return self.complete({})

    def complete(self, values: Mapping[str, Value]) -> Config:
        """A config with these values where active and defaults elsewhere; nothing is checked."""
        chosen: dict[str, Value] = {}
        for item in self.parents_first:
            if all(chosen.get(parent) in allowed for parent, allowed in item.when.items()):
                chosen[item.name] = values.get(item.name, item.domain.default_value)
        return Config({name: chosen[name] for name in self.names if name in chosen})

    def config(self, values: Mapping[str, Value]) -> Config:
        """A checked config; missing hyperparameters take their defaults.

        Every value is as its domain writes it: 16.0 for a listed 16 is 16.

        Raises:
            InvalidConfigError: an unknown name, a value outside its domain, a value for an
                inactive hyperparameter, or a forbidden combination.
        """
        for name, value in values.items():
            if name not in self:
                raise InvalidConfigError(
                    f"the space has no hyperparameter {name!r}{did_you_mean(name, self.names)}"
                )
            if not self[name].domain.contains(value):
                rule = held(self[name].domain)
                raise InvalidConfigError(f"{name} = {value!r} is not possible: {rule}")
        config = self.complete({name: self[name].domain.own(values[name]) for name in values})
        for name in values:
            if name not in config:
                raise InvalidConfigError(f"{name} is inactive here: its `when` does not hold")
        if self.is_forbidden(config):
            raise InvalidConfigError(f"{dict(config)} is a forbidden combination")
        return config

    def is_forbidden(self, config: Mapping[str, Value]) -> bool:
        """Whether a `forbid` rule matches; a rule naming an inactive hyperparameter does not."""
        return any(
            all(name in config and config[name] in values for name, values in rule.items())
            for rule in self.forbid
        )

    def is_valid(self, config: Mapping[str, Value]) -> bool:
        """Whether `config` is a complete and allowed point of this space."""
        return (
            all(name in self and self[name].domain.contains(config[name]) for name in config)
            and self.complete(config) == config
            and not self.is_forbidden(config)
        )

    def to_unit(self, config: Mapping[str, Value]) -> NDArray[np.float64]:
        """The config as a point of the unit cube, (D,); inactive dimensions at their default."""
        return np.array(
            [
                item.domain.to_unit(config.get(item.name, item.domain.default_value))
                for item in self.searched
            ]
        )

    def from_unit(self, units: NDArray[np.float64]) -> Config:
        """The config at a point (D,) of the unit cube; it may be forbidden."""
        return self.complete(
            {
                item.name: item.domain.from_unit(float(unit))
                for item, unit in zip(self.searched, units, strict=True)
            }
        )

    def sample(self, rng: np.random.Generator) -> Config:
        """A uniform draw among the allowed configs.

        Raises:
            InvalidConfigError: `forbid` leaves (almost) nothing.
        """
        for _ in range(_MAX_DRAWS):
            config = self.from_unit(rng.random(len(self.searched)))
            if not self.is_forbidden(config):
                return config
        raise InvalidConfigError(
            f"forbid leaves no config in {_MAX_DRAWS} draws: loosen one of its rules"
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON value from which `from_json` makes an equal space."""
        return {
            "hyperparameters": [item.to_json() for item in self.hyperparameters],
            "forbid": [
                {name: list(values) for name, values in rule.items()} for rule in self.forbid
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "SearchSpace":
        """Reads what `to_json` wrote."""
        return cls(
            hyperparameters=tuple(map(Hyperparameter.from_json, data["hyperparameters"])),
            forbid=tuple(
                {name: tuple(values) for name, values in rule.items()} for rule in data["forbid"]
            ),
        )
