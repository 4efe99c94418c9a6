"""Compares ways of searching: plays what the records lack, then prints tables and targets.

`make bench-search` runs it. Results are kept by arm, task and seed (`results`), so that a run that
is stopped goes on where it was, and arms that are not installed here show what was recorded of
them elsewhere.
"""

import argparse
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.search.adopting import adopt
from benchmarks.search.comparison import Comparison
from benchmarks.search.page import search_page
from benchmarks.search.playing import Played, Stopped, play_all, stopping_on_signals, to_stderr
from benchmarks.search.results import FOLDER, Journal, Key, Record, load
from benchmarks.search.schedule import Clock, Request, is_current, missing
from benchmarks.search.setting import UNITS, USUAL_PARALLEL, Axis, Setting
from benchmarks.search.standings import Standings
from benchmarks.search.tables_text import render, targets_table, write
from benchmarks.search.targets import FLOOR, SHIPPED, TPE, targets
from lexmove.errors import UsageError, did_you_mean
from lexmove.report.page import render as render_page

README = Path(__file__).parents[3] / "platform" / "lexmove" / "agent" / "README.md"

_QUICK_TASKS, _QUICK_SEEDS, _QUICK_TRIALS = 7, 2, 25
_QUICK_ARMS = (SHIPPED, FLOOR, "random", TPE)
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None, comparison: Comparison | None = None) -> int:
    """Plays and prints.

    Returns the exit status: 0; 1 where an arm of ours failed, with --check a target is short, or
    with --adopt a study differs;
    2 for a name that does not exist; 130 where a signal stopped it. `comparison` is everything
    there is unless given.
    """
    options = _options().parse_args(arguments)
    if comparison is None:
        from benchmarks.search.everything import everything

        comparison = everything()
    try:
        request = _request(options, comparison)
    except UsageError as error:
        to_stderr(f"bench-search: {error}")
        return 2
    if options.adopt is not None:
        return _adopt(options, comparison)
    if not options.quick:
        return _compare(options, comparison, request, options.records)
    # Two minutes are soon spent again, and another budget would only fill the records.
    with tempfile.TemporaryDirectory() as folder:
        return _compare(options, comparison, request, Path(folder))


def _adopt(options: argparse.Namespace, comparison: Comparison) -> int:
    try:
        with stopping_on_signals(), Journal(options.records) as journal:
            records = load(options.records).values()
            is_same = adopt(comparison, records, journal, num=options.adopt, say=to_stderr)
    except Stopped as stopped:
        to_stderr(f"stopped by {stopped}: nothing was adopted")
        return _INTERRUPTED
    return int(not is_same)


def _compare(
    options: argparse.Namespace, comparison: Comparison, request: Request, folder: Path
) -> int:
    records = load(folder)
    played = Played(keys=frozenset(), failed={})
    if not options.no_play:
        try:
            with stopping_on_signals(), Journal(folder) as journal:
                played = _play(options, comparison, request, records, journal)
        except Stopped as stopped:
            to_stderr(f"stopped by {stopped}: what was played is kept in {folder}")
            return _INTERRUPTED
    records = load(folder)
    shown = {key: records[key] for key in played.keys} if options.fresh else records
    return _show(options, comparison, request, shown, played.failed)


def _play(
    options: argparse.Namespace,
    comparison: Comparison,
    request: Request,
    records: Mapping[Key, Record],
    journal: Journal,
) -> Played:
    known = [] if options.fresh else _current(comparison, request, records)
    studies = missing(comparison, request, {record.key for record in known})
    clock = Clock(records.values())
    hours = clock.expected_s(studies) / 3600
    to_stderr(f"{len(studies)} studies to play, {hours:.1f} h of processor time")
    limit_s = 60 * options.time_limit
    return play_all(comparison, studies, journal, clock, limit_s=limit_s, say=to_stderr)


def _current(
    comparison: Comparison, request: Request, records: Mapping[Key, Record]
) -> list[Record]:
    return [
        record
        for record in records.values()
        if record.task in request.tasks and is_current(record, comparison)
    ]


def _show(
    options: argparse.Namespace,
    comparison: Comparison,
    request: Request,
    records: Mapping[Key, Record],
    failed: Mapping[str, str],
) -> int:
    standings = Standings(comparison, _current(comparison, request, records), tasks=request.tasks)
    found = targets(standings)
    recorded = {arm for setting in standings.settings for arm in standings.arms(setting)}
    absent = {arm: why for arm, why in comparison.absent.items() if arm not in recorded}
    text = render(standings, absent=absent)
    is_written = (
        options.render and not options.quick and write(f"{text}\n\n{targets_table(found)}", README)
    )
    if is_written:
        print(f"written to {README.name} of {README.parent.name}")
    else:
        print(f"{text}\n" if text else "nothing was recorded\n")
    if options.html is not None:
        page = search_page(standings, found)
        options.html.write_text(render_page(page), encoding="utf-8")
        print(f"written to {options.html}")
    for what, error in failed.items():
        print(f"failed: {what}: {error}")
    for target in found:
        print(target.line)
    is_short = options.check and not all(target.is_met for target in found)
    return int(is_short or _are_ours(comparison, failed))


def _are_ours(comparison: Comparison, failed: Mapping[str, str]) -> bool:
    """Whether an arm of this project is among what failed; a peer that fails is only named."""
    ours = {
        arm.name for of_axis in comparison.arms.values() for arm in of_axis if arm.group != "peer"
    }
    return any(what.split(" · ")[0] in ours for what in failed)


def _request(options: argparse.Namespace, comparison: Comparison) -> Request:
    """What the options ask for.

    Raises:
        UsageError: an arm, a family or a task that does not exist.
    """
    usual = [arm for arm in comparison.arm_names if arm not in comparison.on_request]
    arms = options.arms or ([*_QUICK_ARMS] if options.quick else usual)
    tasks = _tasks(options, comparison)
    if options.arms:
        _check("arm", options.arms, comparison.arm_names)
    return Request(
        arms=frozenset(arms),
        tasks=_one_of_each(comparison, tasks) if options.quick else tasks,
        settings=_settings(options),
        num_seeds=options.seeds or (_QUICK_SEEDS if options.quick else 10),
    )


def _tasks(options: argparse.Namespace, comparison: Comparison) -> tuple[str, ...]:
    families = comparison.families
    _check("family", options.families, tuple(families.values()))
    _check("task", options.tasks, tuple(families))
    return tuple(
        task
        for task, family in families.items()
        if (not options.families or family in options.families)
        and (not options.tasks or task in options.tasks)
    )


def _one_of_each(comparison: Comparison, tasks: Sequence[str]) -> tuple[str, ...]:
    """The first task of each family, then the second, until there are enough for a quick run."""
    by_family: dict[str, list[str]] = {}
    for task in tasks:
        by_family.setdefault(comparison.families[task], []).append(task)
    places = {task: of_one.index(task) for of_one in by_family.values() for task in of_one}
    return tuple(sorted(tasks, key=lambda task: places[task])[:_QUICK_TASKS])


def _check(kind: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise UsageError(f"unknown {kind} {name!r}{did_you_mean(name, known)}")


def _settings(options: argparse.Namespace) -> tuple[Setting, ...]:
    axes: tuple[Axis, ...] = tuple(UNITS) if options.axis == "all" else (options.axis,)
    if options.quick:
        axes = ("trials",)
    found = [
        setting
        for axis in axes
        for parallel in options.parallel or ((1,) if options.quick else USUAL_PARALLEL[axis])
        for setting in _with_starts(axis, parallel, options.starts)
    ]
    return tuple(_with_budget(options, setting) for setting in found)


def _with_starts(axis: Axis, parallel: int, asks_for_starts: bool) -> list[Setting]:
    """A setting; with --starts, one trial at a time is also played from a shared portfolio."""
    usual = Setting.usual(axis, parallel)
    if not asks_for_starts or parallel > 1 or axis == "time":
        return [usual]
    return [usual, Setting.usual(axis, parallel, starts=True)]


def _with_budget(options: argparse.Namespace, setting: Setting) -> Setting:
    quick = _QUICK_TRIALS if options.quick else None
    asked = {"trials": options.trials or quick, "epochs": options.trainings, "time": options.times}
    budget = asked[setting.axis]
    if budget is None:
        return setting
    return Setting(
        axis=setting.axis, parallel=setting.parallel, starts=setting.starts, budget=budget
    )


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench-search",
        description="Plays what the records lack, then prints tables and targets.",
    )
    add = parser.add_argument
    add("--axis", choices=[*UNITS, "all"], default="all", help="what is spent (default: all)")
    add(
        "--parallel",
        type=int,
        nargs="+",
        help="trials at once (default: 1 and 8 by trials, else 1)",
    )
    add("--trials", type=int, help="trials of a study (default: 50; 64 at 8 at once)")
    add("--trainings", type=int, help="full trainings' worth of epochs (default: 10)")
    add("--times", type=int, help="median trainings' worth of time (default: 40)")
    add("--arms", nargs="+", default=[], help="play these arms only; all that are recorded show")
    add("--families", nargs="+", default=[], help="these families only")
    add("--tasks", nargs="+", default=[], help="these tasks only")
    add("--seeds", type=int, help="seeds for each task, the same for all arms (default: 10)")
    add("--starts", action="store_true", help="also hand all arms the same start portfolio")
    add("--quick", action="store_true", help="two minutes, a task of each family; keeps nothing")
    add("--check", action="store_true", help="exit with 1 when a target is short")
    add("--render", action="store_true", help="write the tables into the agent's README")
    add("--html", type=Path, metavar="FILE", help="write regret curves of all arms as a page")
    add("--no-play", action="store_true", help="show what is recorded, play nothing")
    add(
        "--adopt",
        type=int,
        metavar="N",
        help="play N records of ours again that expired; keep them all if these are the same",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--only-missing", action="store_true", help="play what no record holds (the default)"
    )
    how.add_argument(
        "--fresh", action="store_true", help="play everything again, and show this run alone"
    )
    add("--time-limit", type=float, default=math.inf, help="minutes after which no study starts")
    add("--records", type=Path, default=FOLDER, help="where results are kept")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
