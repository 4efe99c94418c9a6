"""Moves: one edit of a config that was already tried; the agent's action.

A move holds exact values, so that it can be stored, replayed and said in words. `raise`,
`lower` and `switch` are what `Change.direction` says of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lexmove.errors import InvalidConfigError, did_you_mean
from lexmove.space.domain import Domain, Float, Integer, Value
from lexmove.space.search_space import Config, SearchSpace

STEP_SIZES = (0.03, 0.1, 0.25, 0.5)
"""Sizes of a step, as a share of the unit range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Set these hyperparameters to these values, starting from the config of trial `origin`.

    `origin` is None for the space's default config. The empty move is the origin itself.
    """

    origin: int | None
    changes: Mapping[str, Value]

    def to_json(self) -> dict[str, Any]:
        """A JSON value from which `from_json` makes an equal move."""
        return {"origin": self.origin, "changes": dict(self.changes)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Move":
        """Reads what `to_json` wrote."""
        return cls(origin=data["origin"], changes=dict(data["changes"]))


def apply_move(space: SearchSpace, config: Config, move: Move) -> Config:
    """The config that a move leads to. Newly active hyperparameters take their defaults.

    Raises:
        InvalidConfigError: a value outside its domain, a change of an inactive hyperparameter,
            or a forbidden result.
    """
    for name in move.changes:
        if name not in space:
            raise InvalidConfigError(
                f"the move changes the unknown hyperparameter {name!r}"
                + did_you_mean(name, space.names)
            )
    target = space.complete({**config, **move.changes})
    kept = {name: value for name, value in target.items() if name in config or name in move.changes}
    return space.config({**kept, **{name: move.changes[name] for name in move.changes}})


def is_legal(space: SearchSpace, config: Config, move: Move) -> bool:
    """Whether a move leads to another, allowed config."""
    try:
        return apply_move(space, config, move) != config
    except InvalidConfigError:
        return False


def shift(domain: Domain, value: Value, step: float) -> Value:
    """The value a signed step (share of the unit range) away, at least one level, within bounds.

    Returns the value itself where there is nothing further on that side.
    """
    moved = domain.from_unit(domain.to_unit(value) + step)
    if moved == value and domain.num_levels is not None and domain.is_ordered:
        moved = _neighbour(domain, value, step)
    return moved


def _neighbour(domain: Domain, value: Value, step: float) -> Value:
    if isinstance(domain, Integer):
        return min(domain.high, max(domain.low, int(value) + (1 if step > 0 else -1)))
    level = 1.0 / float(domain.num_levels or 1)
    return domain.from_unit(domain.to_unit(value) + float(np.copysign(level, step)))


def legal_moves(
    space: SearchSpace,
    config: Config,
    *,
    origin: int | None,
    step_sizes: tuple[float, ...] = STEP_SIZES,
) -> tuple[Move, ...]:
    """All moves of one hyperparameter: raised and lowered by each step size, or switched."""
    moves: dict[tuple[str, Value], Move] = {}
    for item in space.searched:
        if item.name not in config:
            continue
        for value in _targets(item.domain, config[item.name], step_sizes):
            move = Move(origin=origin, changes={item.name: value})
            if is_legal(space, config, move):
                moves.setdefault((item.name, value), move)
    return tuple(moves.values())


def _targets(domain: Domain, value: Value, step_sizes: tuple[float, ...]) -> list[Value]:
    if not domain.is_ordered:
        units = (np.arange(domain.num_levels or 0) + 0.5) / (domain.num_levels or 1)
        return [domain.from_unit(float(unit)) for unit in units]
    return [shift(domain, value, sign * size) for sign in (1.0, -1.0) for size in step_sizes]


def move_between(space: SearchSpace, before: Config, after: Config, *, origin: int | None) -> Move:
    """The move that leads from one config to another."""
    changed = {
        name: after[name] for name in space.names if name in after and _differs(before, after, name)
    }
    return Move(origin=origin, changes=changed)


def _differs(before: Config, after: Config, name: str) -> bool:
    return name not in before or before[name] != after[name]


def signed_steps(space: SearchSpace, before: Config, after: Config) -> dict[str, float]:
    """Step of every changed hyperparameter that both configs hold, in unit ranges, signed."""
    return {
        item.name: item.domain.to_unit(after[item.name]) - item.domain.to_unit(before[item.name])
        for item in space.searched
        if item.name in before and item.name in after and before[item.name] != after[item.name]
    }


def describe(space: SearchSpace, before: Config, after: Config) -> str:
    """A move in words: `learning_rate 2.0e-05 → 4.6e-05 (×2.3)`; several joined by commas."""
    parts = []
    for name in space.names:
        if name in before and name in after and before[name] != after[name]:
            parts.append(_describe_change(space[name].domain, name, before[name], after[name]))
        elif name in after and name not in before:
            parts.append(f"{name} on at {say_value(after[name])}")
        elif name in before and name not in after:
            parts.append(f"{name} off")
    return ", ".join(parts) or "no change"


def _describe_change(domain: Domain, name: str, before: Value, after: Value) -> str:
    text = f"{name} {say_value(before)} → {say_value(after)}"
    if isinstance(domain, Float | Integer) and domain.log:
        text += f" (×{_say_factor(float(after) / float(before))})"
    return text


def _say_factor(factor: float) -> str:
    """Two digits, three near 1: `×1` would say that nothing changed."""
    return f"{factor:.2g}" if abs(factor - 1) >= 0.1 else f"{factor:.3g}"


def say_value(value: Value) -> str:
    """A value as people read it: short floats, words for flags."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 1e-2 or abs(value) >= 1e5 else f"{value:.3g}"
    return str(value)
