"""The targets at scale: for each a measure, its unit, and the bound that its figure must keep."""

from collections.abc import Mapping

from benchmarks.goal import Goal

GOALS: Mapping[str, Goal] = {
    "throughput": Goal(
        measure="trials/s of 50 ms on 8 slots, the agent deciding, over bare Ray Tune's",
        bound=1.0,
        is_least=True,
    ),
    "results": Goal(
        measure="results on disk, as they come together from 8 slots, at the last trials",
        bound=500,
        unit="/s",
        is_least=True,
    ),
    "growth": Goal(measure="time of a result at the last trials over that at the first", bound=1.5),
    "memory": Goal(measure="memory of the driver for 1,000 trials", bound=1.0, unit="MiB"),
    "load": Goal(measure="reading the study", bound=5.0, unit="s"),
    "ls": Goal(measure="lexmove ls", bound=1.0, unit="s"),
    "show": Goal(measure="lexmove show", bound=1.0, unit="s"),
    "best": Goal(measure="lexmove best", bound=1.0, unit="s"),
    "decision": Goal(measure="time of a decision after all trials over that after 100", bound=3.0),
}
"""Every target by its name, in the order of the lines."""
