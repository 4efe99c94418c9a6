"""Chaos: every fault that a study must outlive, done to real processes, and what became of it.

    OMP_NUM_THREADS=1 PYTHONPATH=platform:tests python -m benchmarks.chaos.run --quick

Simulated trials, all else as in a job. An hour or so, ten minutes with `--quick`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.chaos.goals import GOALS
from benchmarks.environment import prepare_for_ray
from benchmarks.parts import Measure, measured, options_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is done of each.

    Attributes:
        num_trials: of a study on Ray.
        kills: numbers of results at which a process is killed, or the disk is full.
        writes: after which the writer is killed, on Ray.
        step: of the sweep over all writes of a study without Ray, of `num_swept` trials.
        num_seeds: of studies with faults at random, and `num_letters` with letters astray.
        lanes: of the crowd.
    """

    num_trials: int
    kills: tuple[int, ...]
    writes: tuple[int, ...]
    step: int
    num_swept: int
    num_seeds: int
    num_letters: int
    lanes: int


FULL = Size(
    num_trials=60,
    kills=(15, 45, 80),
    writes=(1, 38, 75),
    step=1,
    num_swept=20,
    num_seeds=20,
    num_letters=100,
    lanes=32,
)
QUICK = Size(
    num_trials=30,
    kills=(15,),
    writes=(20,),
    step=5,
    num_swept=8,
    num_seeds=1,
    num_letters=10,
    lanes=6,
)


def main(
    arguments: Sequence[str] | None = None, parts: Mapping[str, Measure[Size]] | None = None
) -> int:
    """Does all harm and prints; returns the exit status. `parts` are all there are unless given."""
    options = options_of(
        "chaos", __doc__, quick="fewer of each, about ten minutes", parts=PARTS
    ).parse_args(arguments)
    size = QUICK if options.quick else FULL
    return measured(options, size, parts or PARTS, GOALS, name="chaos")


def _kills(size: Size, folder: Path) -> Mapping[str, float]:
    """One process after the other; epochs of a raylet's study outlast the time it is missed."""
    from benchmarks.chaos.kills import killed, killed_at_a_write

    figures: dict[str, float] = {}
    victims: Mapping[Any, float] = {"driver": 0.1, "desk": 0.1, "lane": 0.1, "raylet": 0.4}
    for victim, epoch_s in victims.items():
        found = killed(
            folder / victim,
            victim,
            marks=size.kills,
            num_trials=size.num_trials,
            epoch_s=epoch_s,
        )
        print(f"kill -9 of the {victim}: {found.line}", flush=True)
        is_missed = found.num_faults < len(size.kills)
        figures[f"{victim}_broken"] = len(found.broken) + is_missed
        figures[f"{victim}_resumed"] = found.resumed_s
    figures |= {"writer_broken": 0.0, "writer_resumed": 0.0}
    for number in size.writes:
        found = killed_at_a_write(folder / f"write_{number}", number, num_trials=size.num_trials)
        print(f"kill -9 of the writer after write {number}: {found.line}", flush=True)
        figures["writer_broken"] += len(found.broken) + (found.num_drivers != 2)
        figures["writer_resumed"] = max(figures["writer_resumed"], found.resumed_s)
    return figures


def _writes(size: Size, folder: Path) -> Mapping[str, float]:
    """The writer between any two writes."""
    from benchmarks.chaos.writes import chained, swept

    num_studies, broken = swept(folder / "writes", step=size.step, num_trials=size.num_swept)
    num_drivers, more = chained(folder / "chained", seed=0, num_trials=size.num_trials)
    broken += more
    print(f"{num_studies} studies killed after a write and resumed; one of {num_drivers} drivers")
    print("; ".join(broken) or "all held", flush=True)
    return {"writes_broken": len(broken)}


def _random(size: Size, folder: Path) -> Mapping[str, float]:
    """Anything, every few seconds."""
    from benchmarks.chaos.kills import killed_at_random

    num_unfinished = num_broken = 0
    for seed in range(size.num_seeds):
        try:
            found = killed_at_random(
                folder / "random" / str(seed), seed, num_trials=size.num_trials
            )
        except RuntimeError as error:
            num_unfinished += 1
            print(f"seed {seed}: {error}", flush=True)
            continue
        num_broken += bool(found.broken)
        print(f"seed {seed}: {found.line}", flush=True)
    return {"random_unfinished": num_unfinished, "random_broken": num_broken}


def _misbehaving(size: Size, folder: Path) -> Mapping[str, float]:
    """Stragglers, hangs, misreports."""
    from benchmarks.chaos.misbehaving import misbehaved

    counts, broken = misbehaved(folder / "misbehaving", num_trials=size.num_trials)
    print(", ".join(f"{what}: {number}" for what, number in counts.items()))
    print("; ".join(broken) or "all held", flush=True)
    unhandled = [what for what, number in counts.items() if not number]
    is_heard = counts["silent"] == counts["stopped"]
    return {"misbehaving_unhandled": len(unhandled) + len(broken) + (not is_heard)}


def _letters(size: Size, folder: Path) -> Mapping[str, float]:
    """Letters astray."""
    from benchmarks.chaos.letters import shuffled

    counts: Counter[str] = Counter()
    broken: list[str] = []
    for seed in range(size.num_letters):
        found, more = shuffled(
            folder / "letters" / str(seed), seed=seed, proposer="random", num_trials=size.num_trials
        )
        counts += found
        broken += [f"seed {seed}: {what}" for what in more]
    print(", ".join(f"{what}: {number}" for what, number in counts.items()))
    print("; ".join(broken) or "all held", flush=True)
    return {"letters_broken": len(broken)}


def _disks(size: Size, folder: Path) -> Mapping[str, float]:
    """Full, and read-only."""
    from benchmarks.chaos.disks import full, read_only

    stops = {
        "full": full(folder / "full", marks=size.kills, num_trials=size.num_trials),
        "read_only": read_only(folder / "ro", mark=size.kills[0], num_trials=size.num_trials),
    }
    num_due = {"full": len(size.kills), "read_only": 1}
    figures: dict[str, float] = {}
    for name, found in stops.items():
        print(f"{name}: {found.line}", flush=True)
        is_missed = len(found.causes) < num_due[name]
        figures[f"{name}_unexplained"] = found.num_unexplained + is_missed
    return figures


def _servers(size: Size, folder: Path) -> Mapping[str, float]:
    """PostgreSQL away, and the network to it."""
    from benchmarks.chaos.servers import cut_off, restarted

    marks = size.kills[:2]
    outages = {
        "server": restarted(folder / "server", marks=marks, num_trials=size.num_trials),
        "network": cut_off(folder / "network", marks=marks[:1], num_trials=size.num_trials),
    }
    figures: dict[str, float] = {}
    for name, found in outages.items():
        print(f"{name}: {found.line}", flush=True)
        figures[f"{name}_broken"] = found.stopped.num_unexplained + (not found.waits_s)
        figures[f"{name}_resumed"] = max(found.waits_s, default=float("inf"))
    return figures


def _refusals(size: Size, folder: Path) -> Mapping[str, float]:
    """Clusters that cannot be used."""
    from benchmarks.chaos.refusals import refusals

    found = list(refusals(folder))
    print("\n".join(refusal.line for refusal in found), flush=True)
    return {
        "refusals_unhelpful": sum(not refusal.is_helpful for refusal in found),
        "refusals_slowest": max(refusal.took_s for refusal in found),
    }


def _crowd(size: Size, folder: Path) -> Mapping[str, float]:
    """Many lanes on three raylets."""
    from benchmarks.chaos.crowd import survived

    found = survived(folder / "crowd", lanes=size.lanes, num_trials=12 * size.lanes)
    print(found.line, flush=True)
    return {"crowd_broken": len(found.broken), "crowd_busy": found.busy}


PARTS: Mapping[str, Measure[Size]] = {
    "kills": _kills,
    "writes": _writes,
    "random": _random,
    "misbehaving": _misbehaving,
    "letters": _letters,
    "disks": _disks,
    "servers": _servers,
    "refusals": _refusals,
    "crowd": _crowd,
}


if __name__ == "__main__":
    prepare_for_ray()
    raise SystemExit(main())
