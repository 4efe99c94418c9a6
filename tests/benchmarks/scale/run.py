"""At scale: thousands of trials, against bare Ray Tune and against a study of a hundred.

    OMP_NUM_THREADS=1 PYTHONPATH=platform:tests python -m benchmarks.scale.run --quick

A study of 10,000 trials in a SQLite file, then 2,000 trials of 50 ms by bare Ray Tune and by
lexmove. It wants a calm machine: twenty minutes, or two with `--quick`, whose sizes are smaller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environment import prepare_for_ray
from benchmarks.parts import Measure, measured, options_of
from benchmarks.scale.goals import GOALS


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """`marks` are numbers of trials at which the growing study is measured, the first 100 or so.

    `num_short` trials of 50 ms run on Ray.
    """

    marks: tuple[int, ...]
    num_short: int


FULL = Size(marks=(100, 2000, 5000, 10_000), num_short=2000)
QUICK = Size(marks=(100, 1000, 1500, 2000), num_short=200)


def main(
    arguments: Sequence[str] | None = None, parts: Mapping[str, Measure[Size]] | None = None
) -> int:
    """Measures and prints; returns the exit status. `parts` are all there are unless given."""
    options = options_of(
        "bench-scale", __doc__, quick="2,000 and 200 trials, about two minutes", parts=_PARTS
    ).parse_args(arguments)
    size = QUICK if options.quick else FULL
    return measured(options, size, parts or _PARTS, GOALS, name="scale")


def _growth(size: Size, folder: Path) -> Mapping[str, float]:
    """A study that grows: results, memory, reading, deciding."""
    from benchmarks.scale.growth import NAME, command_s, decision_s, grow, load_s, memory_slope
    from lexmove.agent.baselines import make_proposer

    url = f"sqlite:///{folder}/studies.db"
    study, marks = grow(url, size.marks)
    print("trials | results/s together | alone | MiB in memory")
    for mark in marks:
        print(
            f"{mark.num_trials} | {1 / mark.together_s:.0f} | {1 / mark.alone_s:.0f} | "
            f"{mark.resident_bytes / 2**20:.1f}"
        )
    print("alone: every result waits for the disk; together: eight results share one flush\n")
    agent = make_proposer("policy")
    first_s, last_s = (decision_s(study, agent, num_trials=num) for num in (100, len(study.trials)))
    print(f"a decision: {1000 * first_s:.1f} ms after 100 trials, {1000 * last_s:.1f} ms\n")
    return {
        "results": 1 / marks[-1].together_s,
        "growth": marks[-1].together_s / marks[0].together_s,
        "memory": memory_slope(marks),
        "load": load_s(url),
        "ls": command_s(url, "ls"),
        "show": command_s(url, "show", NAME),
        "best": command_s(url, "best", NAME),
        "decision": last_s / first_s,
    }


def _throughput(size: Size, folder: Path) -> Mapping[str, float]:
    """Short trials, by bare Ray Tune and by lexmove with its agent."""
    from benchmarks.scale.throughput import bare_tune, lexmove, short_ray
    from lexmove.agent.baselines import make_proposer

    with short_ray():
        ours = lexmove(size.num_short, make_proposer("policy"))
        print(f"lexmove: {ours.line}", flush=True)
        bare = bare_tune(size.num_short)
        print(f"bare Ray Tune: {bare.line}\n", flush=True)
    return {"throughput": bare.wall_s / ours.wall_s}


_PARTS: Mapping[str, Measure[Size]] = {"growth": _growth, "throughput": _throughput}


if __name__ == "__main__":
    prepare_for_ray()
    raise SystemExit(main())
