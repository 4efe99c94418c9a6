"""The scores of a winner as a flat table of numbers, as trackers want them."""

from collections.abc import Mapping
from typing import Any

_PLACES = {
    "validation": ("validation",),
    "repeated_mean": ("repeated", "mean"),
    "repeated_ci95": ("repeated", "ci95"),
    "test": ("test",),
    "default_validation": ("default", "validation"),
    "default_test": ("default", "test"),
    "reference_validation": ("reference", "validation"),
    "reference_test": ("reference", "test"),
}
"""Names with where `best --json` has them."""


def scores_of(best: Mapping[str, Any]) -> dict[str, float]:
    """Those scores of `best --json` that are known."""
    found: dict[str, float] = {}
    for name, place in _PLACES.items():
        value: Any = best
        for key in place:
            value = value[key]
        if isinstance(value, int | float):
            found[name] = float(value)
    return found
