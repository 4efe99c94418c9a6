"""How fast: training against a bare loop, studies against the way that Ray's documentation shows.

    python -m benchmarks.speed.run --quick

Both arms of every comparison run here and now and take turns; nothing is recorded. It wants a calm
machine: two cores, an hour, or three minutes with `--quick`, whose sizes are so small that start-up
weighs more than it does in a study. Each module says what its figure means.
"""

import argparse
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.environment import prepare_for_ray
from benchmarks.speed.comparison import GOALS, Comparison
from benchmarks.speed.setting import FULL, QUICK, Setting

Measure = Callable[[Setting, Path], Comparison]


def main(
    arguments: Sequence[str] | None = None, measures: Mapping[str, Measure] | None = None
) -> int:
    """Measures and prints: tables as they are ready, and last a line for each target.

    Returns the exit status: 0; 1 where a comparison failed or, with --check, a target is short.
    `measures` are all there are unless given.
    """
    options = _options().parse_args(arguments)
    setting = QUICK if options.quick else FULL
    if options.repeats is not None:
        setting = replace(setting, repeats=options.repeats)
    names = [name for name in GOALS if options.only in (None, name)]
    figures, failed = _measured(names, setting, measures or _measures())
    for name, error in failed.items():
        print(f"failed: {name}: {error}")
    targets = [GOALS[name].judged(figures.get(name)) for name in names]
    for target in targets:
        print(target.line)
    is_short = options.check and not all(target.is_met for target in targets)
    return int(bool(failed) or is_short)


def _measured(
    names: Sequence[str], setting: Setting, measures: Mapping[str, Measure]
) -> tuple[dict[str, float], dict[str, Exception]]:
    """Figures by name, and what went wrong with the others."""
    figures: dict[str, float] = {}
    failed: dict[str, Exception] = {}
    with tempfile.TemporaryDirectory(prefix="speed", ignore_cleanup_errors=True) as folder:
        for name in names:
            print(f"measuring {name}", file=sys.stderr, flush=True)
            try:
                found = measures[name](setting, Path(folder))
            except Exception as error:  # noqa: BLE001 - told at the end, after the others
                traceback.print_exc()
                failed[name] = error
                continue
            print(found.text, flush=True)
            figures[name] = found.figure
    return figures, failed


def _measures() -> Mapping[str, Measure]:
    # Imported here: torch, ray and transformers read the environment, and take seconds.
    from benchmarks.speed import slots, throughput, time_to_best, trials_per_hour

    return {
        "throughput": throughput.measure,
        "trials_per_hour": trials_per_hour.measure,
        "time_to_best": time_to_best.measure,
        "slots": slots.measure,
    }


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench-speed", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="one repeat of small sizes, about three minutes")
    add("--check", action="store_true", help="exit with 1 when a target is short")
    add("--repeats", type=_positive, help="repeats or seeds of each comparison (default: 3)")
    add("--only", choices=tuple(GOALS), help="one comparison alone")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def prepare(caches: Path) -> None:
    """Sets what libraries and workers read from the environment; before any of them is imported.

    What both arms keep on disk between trials begins empty, and stays for the whole run.
    """
    from lexmove.cli.quiet import silence_libraries

    silence_libraries()
    prepare_for_ray()
    os.environ["LEXMOVE_CACHE"] = str(caches / "lexmove")
    os.environ["HF_DATASETS_CACHE"] = str(caches / "datasets")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="speed", ignore_cleanup_errors=True) as kept:
        prepare(Path(kept))
        status = main()
    raise SystemExit(status)
