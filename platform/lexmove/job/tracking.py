"""Trackers by name: other tools that a running study hands its trials to."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from lexmove.errors import did_you_mean

TRACKERS = ("mlflow", "tensorboard", "wandb")


def _as_names(value: Any) -> Any:
    """One name, or a list of them."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple):
        raise ValueError(f"write one of {', '.join(TRACKERS)}, or a list of them, not {value!r}")
    return tuple(value)


def _checked(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in TRACKERS:
            raise ValueError(f"no tracker {name!r}{did_you_mean(name, TRACKERS)}")
    return tuple(dict.fromkeys(names))


_NAME = {"type": "string", "enum": list(TRACKERS)}

Track = Annotated[
    tuple[str, ...],
    BeforeValidator(_as_names),
    AfterValidator(_checked),
    WithJsonSchema({"anyOf": [_NAME, {"type": "array", "items": _NAME}]}),
]
"""Names of `TRACKERS`; a file may give a single one without a list."""
