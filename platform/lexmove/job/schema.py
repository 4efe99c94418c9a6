"""JSON Schemas of the job file and of the search-space file, for editors."""

from typing import Any

from lexmove.job.spec import JobSpec

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_SCALAR = {"type": ["boolean", "number", "string"]}
_ONE_OR_MORE = {
    "description": "One value, or a list of values any of which will do.",
    "anyOf": [_SCALAR, {"type": "array", "items": _SCALAR, "minItems": 1}],
}
_CONDITION = {"type": "object", "additionalProperties": _ONE_OR_MORE, "minProperties": 1}
_WHEN = {
    **_CONDITION,
    "description": "Active only where each named hyperparameter has one of these values.",
}

_RANGE = {
    "description": "Numbers from min to max; whole ones where both bounds are whole.",
    "type": "object",
    "properties": {
        "min": {"type": "number", "description": "The lowest value."},
        "max": {"type": "number", "description": "The highest value."},
        "log": {"type": "boolean", "default": False, "description": "Search by factors."},
        "type": {"enum": ["float", "int"], "description": "Overrides what the bounds say."},
        "default": {"type": "number", "description": "The usual value; else the middle."},
        "distribution": {
            "enum": ["uniform", "int_uniform", "log_uniform_values"],
            "description": "The W&B sweep spelling of type and log.",
        },
        "when": _WHEN,
    },
    "required": ["min", "max"],
    "additionalProperties": False,
}
_LIST = {
    "description": "One of these values.",
    "type": "object",
    "properties": {
        "values": {"type": "array", "items": _SCALAR, "minItems": 2, "uniqueItems": True},
        "ordered": {
            "type": "boolean",
            "default": False,
            "description": "Listed from low to high, so that raise and lower mean something.",
        },
        "default": {**_SCALAR, "description": "The usual value."},
        "distribution": {"const": "categorical"},
        "when": _WHEN,
    },
    "required": ["values"],
    "additionalProperties": False,
}
_CONSTANT = {
    "description": "One fixed value, part of every config.",
    "type": "object",
    "properties": {"value": _SCALAR, "distribution": {"const": "constant"}, "when": _WHEN},
    "required": ["value"],
    "additionalProperties": False,
}
_SPACE = {
    "description": "What may be tried.",
    "type": "object",
    "properties": {
        "parameters": {
            "description": "The hyperparameters by name.",
            "type": "object",
            "additionalProperties": {"anyOf": [_RANGE, _LIST, _CONSTANT]},
            "minProperties": 1,
        },
        "forbid": {
            "description": "Combinations that are never tried.",
            "type": "array",
            "items": _CONDITION,
        },
    },
    "required": ["parameters"],
    "additionalProperties": False,
}


def job_schema() -> dict[str, Any]:
    """The JSON Schema of a job file."""
    schema = JobSpec.model_json_schema()
    path = {"type": "string", "description": "The path of a search-space file."}
    schema["properties"]["space"] = {"anyOf": [path, {"$ref": "#/$defs/SearchSpace"}]}
    schema["$defs"]["SearchSpace"] = _SPACE
    return {"$schema": _DIALECT, **schema}


def space_schema() -> dict[str, Any]:
    """The JSON Schema of a search-space file."""
    return {"$schema": _DIALECT, "title": "SearchSpace", **_SPACE}
