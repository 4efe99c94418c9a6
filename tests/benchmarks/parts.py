"""A benchmark in parts, as a command: its options, its lines for the targets, its exit status."""

import argparse
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from benchmarks.goal import Goal

S = TypeVar("S")

Measure = Callable[[S, Path], Mapping[str, float]]
"""A part: does its work in a size and gives figures by the name of their goal.

It may print, and write below the folder that all parts share.
"""


def options_of(
    name: str, about: str | None, *, quick: str, parts: Iterable[str]
) -> argparse.ArgumentParser:
    """What every such command understands.

    Args:
        name: of the command.
        about: its module's docstring, the first line of which is shown.
        quick: what the smaller size is, in words.
        parts: their names.
    """
    parser = argparse.ArgumentParser(prog=name, description=(about or "").partition("\n")[0])
    add = parser.add_argument
    add("--quick", action="store_true", help=quick)
    add("--check", action="store_true", help="exit with 1 when a target is short")
    add("--only", choices=tuple(parts), help="one part alone")
    return parser


def measured(
    options: argparse.Namespace,
    size: S,
    parts: Mapping[str, Measure[S]],
    goals: Mapping[str, Goal],
    *,
    name: str,
) -> int:
    """Measures part after part and prints, last a line for each target.

    Args:
        options: as `options_of` parsed them.
        size: what each part is told.
        parts: by name, in the order in which they are measured.
        goals: by the names of figures, in the order of their lines.
        name: what the parts' temporary folder begins with.

    Returns:
        The exit status: 0; 1 where a part failed or, with --check, a target is short. Of one part
        alone the targets are those that it has figures of.
    """
    figures: dict[str, float] = {}
    failed: dict[str, Exception] = {}
    with tempfile.TemporaryDirectory(prefix=name, ignore_cleanup_errors=True) as folder:
        for part, measure in parts.items():
            if options.only not in (None, part):
                continue
            print(f"measuring {part}", file=sys.stderr, flush=True)
            try:
                figures |= measure(size, Path(folder))
            except Exception as error:  # noqa: BLE001 - told at the end, after the others
                traceback.print_exc()
                failed[part] = error
    for part, error in failed.items():
        print(f"failed: {part}: {error}")
    shown = [name for name in goals if options.only is None or name in figures]
    targets = [goals[name].judged(figures.get(name)) for name in shown]
    for target in targets:
        print(target.line)
    is_short = options.check and not all(target.is_met for target in targets)
    return int(bool(failed) or is_short)
