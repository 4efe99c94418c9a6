"""Bad rows: collected over all sources of a task, then told together, or left out and listed."""

from collections.abc import Mapping, Sequence

from lexmove.errors import TaskError

_MAX_LISTED = 5
"""Bad rows that a message lists."""


class BadRows:
    """Rows that cannot be used, by the role of their source: train, validation or test.

    They are an error, unless `skip` is set: then more than half of a source are.
    """

    def __init__(self, places: Mapping[str, str], *, skip: bool) -> None:
        self._places = places
        self._skip = skip
        self._totals = dict.fromkeys(places, 0)
        self._found: dict[str, list[tuple[int, str]]] = {role: [] for role in places}

    @property
    def listed(self) -> tuple[str, ...]:
        """Place and reason of each, by source and row; those of a file with two roles once."""
        lines = (
            f"{self._places[role]}:{number}: {reason}"
            for role, found in self._found.items()
            for number, reason in sorted(found)
        )
        return tuple(dict.fromkeys(lines))

    def count(self, role: str, *, good: int) -> None:
        """Takes note of how many rows a source has beside the bad ones so far."""
        self._totals[role] = good + len(self._found[role])

    def add(self, role: str, number: int, reason: str) -> None:
        """Takes note of a bad row and of why it is one."""
        self._found[role].append((number, reason))

    def settle(self) -> None:
        """Ends a round of checks.

        Raises:
            TaskError: any bad row; where they are skipped, more than half of a source.
        """
        if not self._skip and self.listed:
            raise TaskError(_said(self.listed))
        for role, found in self._found.items():
            if 2 * len(found) > self._totals[role]:
                raise TaskError(
                    f"{self._places[role]}: {len(found)} of {self._totals[role]} rows cannot be"
                    " used, and task.on_bad_rows: skip leaves out half of them at most; the first"
                    f" of all:\n{_first(self.listed)}"
                )


def _said(lines: Sequence[str]) -> str:
    if len(lines) == 1:
        return f"{lines[0]} (task.on_bad_rows: skip leaves such rows out)"
    which = "" if len(lines) <= _MAX_LISTED else f", the first {_MAX_LISTED} are these"
    return (
        f"{len(lines)} rows cannot be used{which} (task.on_bad_rows: skip leaves such rows out):\n"
        f"{_first(lines)}"
    )


def _first(lines: Sequence[str]) -> str:
    return "\n".join(lines[:_MAX_LISTED])
