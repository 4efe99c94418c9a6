"""The targets under faults: for each a measure, its unit, and the bound of its figure."""

from collections.abc import Mapping

from benchmarks.goal import Goal

_RESUME_S = 30.0
_KILLED = {
    "driver": "the driver",
    "desk": "the desk, the named actor",
    "lane": "a trial's worker",
    "raylet": "the raylet",
    "writer": "the store's writer after a write, on Ray",
}

GOALS: Mapping[str, Goal] = {
    **{
        f"{victim}_broken": Goal(measure=f"kill -9 of {words}: invariants broken", bound=0)
        for victim, words in _KILLED.items()
    },
    **{
        f"{victim}_resumed": Goal(
            measure=f"kill -9 of {words}: until a result of what it interrupted",
            bound=_RESUME_S,
            unit="s",
        )
        for victim, words in _KILLED.items()
    },
    "writes_broken": Goal(measure="kill -9 between any two writes: invariants broken", bound=0),
    "random_unfinished": Goal(measure="faults at random: studies that did not finish", bound=0),
    "random_broken": Goal(measure="faults at random: studies with an invariant broken", bound=0),
    "misbehaving_unhandled": Goal(
        measure="a straggler, silent, hanging and misreporting workers: not as designed", bound=0
    ),
    "letters_broken": Goal(
        measure="letters twice, late, in disorder, from the dead: invariants broken", bound=0
    ),
    "full_unexplained": Goal(measure="a full disk: without its cause, or something lost", bound=0),
    "read_only_unexplained": Goal(
        measure="a read-only store: without its cause, or something lost", bound=0
    ),
    "server_broken": Goal(
        measure="PostgreSQL restarted in mid-study: without its cause, or something lost", bound=0
    ),
    "server_resumed": Goal(
        measure="PostgreSQL restarted: until the next result", bound=_RESUME_S, unit="s"
    ),
    "network_broken": Goal(
        measure="network to the store cut for 20 s: without its cause, or something lost", bound=0
    ),
    "network_resumed": Goal(
        measure="network to the store mended: until the next result", bound=_RESUME_S, unit="s"
    ),
    "refusals_unhelpful": Goal(
        measure="a cluster that cannot be used: without exit 4 and a fix in two lines", bound=0
    ),
    "refusals_slowest": Goal(
        measure="a cluster that cannot be used: until that is told", bound=10.0, unit="s"
    ),
    "crowd_broken": Goal(
        measure="32 lanes, one of 3 raylets killed, one added: invariants broken", bound=0
    ),
    "crowd_busy": Goal(
        measure="32 lanes, one of 3 raylets killed: share of the remaining lanes' time at work",
        bound=0.85,
        is_least=True,
    ),
}
"""Every target by its name, in the order of the lines."""
