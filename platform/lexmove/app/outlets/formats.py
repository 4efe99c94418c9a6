"""The winner in other tools' words, plain YAML: a Hydra config, a W&B sweep."""

from collections.abc import Callable, Mapping
from typing import Any

from lexmove.app.outlets.tracker import plain_name
from lexmove.errors import UsageError, did_you_mean
from lexmove.study.study import Study

Config = Mapping[str, Any]
Format = Callable[[Study, Config], dict[str, Any]]


def hydra(study: Study, config: Config) -> dict[str, Any]:
    """A config whose dotted names are groups, as `python app.py --config-name hydra` reads it."""
    nested: dict[str, Any] = {}
    if any(other.startswith(f"{name}.") for name in config for other in config):
        nested, config = dict(config), {}  # a name that is a group, too, cannot be nested
    for name, value in config.items():
        *groups, last = name.split(".")
        within = nested
        for group in groups:
            within = within.setdefault(group, {})
        within[last] = value
    return {
        "study": study.spec.name,
        "metric": {"name": plain_name(study.spec.metric), "goal": study.spec.goal},
        "hyperparameters": nested,
    }


def wandb(study: Study, config: Config) -> dict[str, Any]:
    """A sweep of one run: every hyperparameter at the winner's value."""
    return {
        "name": study.spec.name,
        "program": "train.py",
        "method": "grid",
        "metric": {"name": plain_name(study.spec.metric), "goal": study.spec.goal},
        "parameters": {name: {"value": value} for name, value in config.items()},
    }


FORMATS: dict[str, Format] = {"hydra": hydra, "wandb": wandb}
"""By the name that the command line has, which is also the file's."""


def check_format(name: str) -> None:
    """Raises UsageError: no such format."""
    if name not in FORMATS:
        raise UsageError(f"no format {name!r}{did_you_mean(name, tuple(FORMATS))}")
