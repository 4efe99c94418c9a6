"""How fast: training against a bare loop, studies against the way that Ray's documentation shows.

    python -m benchmarks.speed.run --quick

Both arms of every comparison run here and now and take turns; nothing is recorded. It wants a calm
machine: two cores, an hour, or three minutes with `--quick`, whose sizes are so small that start-up
weighs more than it does in a study. Each module says what its figure means.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.environment import prepare_for_ray
from benchmarks.parts import measured, options_of
from benchmarks.speed.comparison import GOALS, Comparison
from benchmarks.speed.setting import FULL, QUICK, Setting

Compare = Callable[[Setting, Path], Comparison]


def main(
    arguments: Sequence[str] | None = None, compares: Mapping[str, Compare] | None = None
) -> int:
    """Measures and prints: tables as they are ready, and last a line for each target.

    Returns the exit status: 0; 1 where a comparison failed or, with --check, a target is short.
    `compares` are all there are unless given.
    """
    parser = options_of(
        "bench-speed",
        __doc__,
        quick="one repeat of small sizes, about three minutes",
        parts=GOALS,
    )
    parser.add_argument(
        "--repeats", type=_positive, help="repeats or seeds of each comparison (default: 3)"
    )
    options = parser.parse_args(arguments)
    setting = QUICK if options.quick else FULL
    if options.repeats is not None:
        setting = replace(setting, repeats=options.repeats)
    found = compares or _compares()
    parts = {name: partial(_figure, name, found[name]) for name in GOALS}
    return measured(options, setting, parts, GOALS, name="speed")


def _figure(name: str, compare: Compare, setting: Setting, folder: Path) -> Mapping[str, float]:
    """What a comparison ends with; its table is printed."""
    found = compare(setting, folder)
    print(found.text, flush=True)
    return {name: found.figure}


def _compares() -> Mapping[str, Compare]:
    # Imported here: torch, ray and transformers read the environment, and take seconds.
    from benchmarks.speed import slots, throughput, time_to_best, trials_per_hour

    return {
        "throughput": throughput.measure,
        "trials_per_hour": trials_per_hour.measure,
        "time_to_best": time_to_best.measure,
        "slots": slots.measure,
    }


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
