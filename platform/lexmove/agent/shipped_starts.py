"""The shipped tables: starts for the shipped spaces, learned once from recorded studies."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Self

from lexmove.agent.memory import MAX_EXCESS, PastStudy, learn_portfolio, shares_enough
from lexmove.space.search_space import Config, SearchSpace
from lexmove.space.translation import translate
from lexmove.study.starts import PlannedStart

_FOLDER = "portfolios"


@dataclass(frozen=True, kw_only=True)
class StartTable:
    """Starts for one space and one pretrained model.

    `starts` are configs of `space`, in the order in which they should be tried. `model` is the
    name a job gives the model. `learned_from` names the studies behind the table.
    """

    name: str
    model: str
    learned_from: tuple[str, ...]
    space: SearchSpace
    starts: tuple[PlannedStart, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON value from which `from_json` makes an equal table."""
        return {
            "name": self.name,
            "model": self.model,
            "learned_from": list(self.learned_from),
            "starts": [start.to_json() for start in self.starts],
            "space": self.space.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Reads what `to_json` wrote."""
        return cls(
            name=data["name"],
            model=data["model"],
            learned_from=tuple(data["learned_from"]),
            space=SearchSpace.from_json(data["space"]),
            starts=tuple(PlannedStart.from_json(item) for item in data["starts"]),
        )

    def starts_for(self, space: SearchSpace) -> tuple[PlannedStart, ...]:
        """The starts as configs of `space`; () where the two have too little in common."""
        if not shares_enough(self.space, space):
            return ()
        taken: list[Config] = [space.default]
        found: list[PlannedStart] = []
        for start in self.starts:
            there = translate(start.config, space)
            is_new = there.config not in taken
            if there.excess <= MAX_EXCESS and is_new and space.is_valid(there.config):
                found.append(replace(start, config=there.config, source=self.name))
                taken.append(there.config)
        return tuple(found)


def learn_table(
    name: str, *, model: str, studies: Sequence[PastStudy], space: SearchSpace
) -> StartTable:
    """The table that recorded studies of one model teach for one space."""
    return StartTable(
        name=name,
        model=model,
        learned_from=tuple(past.name for past in studies),
        space=space,
        starts=learn_portfolio(studies, space),
    )


def write_table(table: StartTable, folder: Path) -> Path:
    """Writes `folder`/NAME.json; returns its path."""
    path = folder / f"{table.name}.json"
    path.write_text(json.dumps(table.to_json(), indent=2) + "\n", encoding="utf-8")
    return path


def read_tables(folder: Traversable) -> tuple[StartTable, ...]:
    """Every table of a folder, by name; () where there is no such folder."""
    if not folder.is_dir():
        return ()
    paths = sorted(
        (item for item in folder.iterdir() if item.name.endswith(".json")),
        key=lambda item: item.name,
    )
    return tuple(StartTable.from_json(json.loads(path.read_text("utf-8"))) for path in paths)


def shipped_tables() -> tuple[StartTable, ...]:
    """The tables of this package."""
    return read_tables(resources.files("lexmove.agent").joinpath(_FOLDER))


def shipped_starts(
    space: SearchSpace, *, model: str, tables: Sequence[StartTable]
) -> tuple[PlannedStart, ...]:
    """The starts of the first table for this model that has any for `space`."""
    found = (table.starts_for(space) for table in tables if table.model == model)
    return next(filter(None, found), ())
