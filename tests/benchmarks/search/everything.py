"""All tasks and all arms there are."""

from benchmarks.search import catalogue, ours, peers
from benchmarks.search.comparison import Comparison


def everything() -> Comparison:
    """The comparison that `make bench-search` makes."""
    return Comparison(
        tasks=catalogue.TASKS,
        families={
            name: family for family in catalogue.FAMILIES for name in catalogue.names(family)
        },
        arms={
            "trials": (*ours.ARMS, *peers.ARMS),
            "epochs": (*ours.EPOCH_ARMS, *peers.EPOCH_ARMS),
            "time": (*ours.TIME_ARMS, *peers.TIME_ARMS),
        },
        absent=peers.absent(),
        on_request=ours.ON_REQUEST,
        with_memory=True,
    )
