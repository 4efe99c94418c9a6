"""The record of a pre-training run: its curve, its judgements, and the recipe of the weights."""

import hashlib
import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lexmove.agent.pretraining.held_out import Comparison

_PACKAGES = ("numpy", "scipy", "torch", "ray", "gymnasium")


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a run did so far; what its checkpoints carry beside RLlib's state.

    `iterations` holds a row of figures each (see `ppo_algorithm.train_once`); `judgements` the
    iterations after which the policy was judged, with the comparison; `floor_regrets` the floor's
    regrets on the same held-out tasks. `settings` are the run's, `policy_version` is the hash of
    the weights that are being trained, and `code_hashes` are those of all versions that trained
    them, first to last.
    """

    iterations: tuple[Mapping[str, float], ...] = ()
    judgements: tuple[tuple[int, Comparison], ...] = ()
    floor_regrets: tuple[float, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    policy_version: str | None = None
    code_hashes: tuple[str, ...] = ()

    @property
    def num_decisions(self) -> int:
        """Decisions sampled so far."""
        return int(sum(row["num_decisions"] for row in self.iterations))

    @property
    def best_iteration(self) -> int:
        """How many iterations the best policy had learned for; the earliest of equals."""
        return min(self.judgements, key=lambda item: (*_worth(item[1]), item[0]))[0]

    def is_best(self, comparison: Comparison) -> bool:
        """Whether no earlier policy had as little regret."""
        return all(_worth(comparison) < _worth(earlier) for _, earlier in self.judgements)

    def with_iteration(self, row: Mapping[str, float]) -> "Record":
        """The record after one more iteration."""
        return replace(self, iterations=(*self.iterations, row))

    def with_floor(self, regrets: Sequence[float]) -> "Record":
        """The record with the floor's regrets."""
        return replace(self, floor_regrets=tuple(regrets))

    def with_judgement(self, comparison: Comparison) -> "Record":
        """The record after one more judgement, of the policy as it is now."""
        return replace(self, judgements=(*self.judgements, (len(self.iterations), comparison)))

    def to_json(self) -> dict[str, Any]:
        """A JSON value; what is no number is null."""
        return {
            "iterations": [
                {key: value if math.isfinite(value) else None for key, value in row.items()}
                for row in self.iterations
            ],
            "judgements": [
                {"iteration": iteration, **asdict(comparison)}
                for iteration, comparison in self.judgements
            ],
            "floor_regrets": list(self.floor_regrets),
            "settings": dict(self.settings),
            "policy_version": self.policy_version,
            "code_hashes": list(self.code_hashes),
        }

    def write(self, path: Path) -> None:
        """Writes what `read_record` reads."""
        path.write_text(json.dumps(self.to_json()) + "\n")


def _worth(comparison: Comparison) -> tuple[float, float]:
    """What checkpoints are ranked by: the mean of all tasks, then the interquartile mean.

    By the latter alone a policy passes that fails on the hardest quarter of the tasks.
    """
    return comparison.difference, comparison.policy


def read_record(path: Path) -> Record:
    """Reads what `Record.write` wrote."""
    data = json.loads(path.read_text())
    return Record(
        iterations=tuple(
            {key: math.nan if value is None else value for key, value in row.items()}
            for row in data["iterations"]
        ),
        judgements=tuple(
            (
                item["iteration"],
                Comparison(**{key: value for key, value in item.items() if key != "iteration"}),
            )
            for item in data["judgements"]
        ),
        floor_regrets=tuple(data["floor_regrets"]),
        settings=data["settings"],
        policy_version=data["policy_version"],
        code_hashes=tuple(data["code_hashes"]),
    )


def write_recipe(path: Path, facts: Mapping[str, Any]) -> None:
    """Writes how weights came about: the facts, the code's hash, the versions of packages."""
    recipe = {
        **facts,
        "code_hash": code_hash(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
    }
    aside = path.with_name(path.name + ".part")
    aside.write_text(json.dumps(recipe, indent=2) + "\n")
    aside.replace(path)


def code_hash() -> str:
    """16 hex digits of the SHA-256 of what the weights of a run depend on.

    The sources of the packages agent, study and space, in the order of their paths.
    """
    root = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for package in ("agent", "space", "study"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(f"{path.relative_to(root).as_posix()}|".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
