"""A team's store that goes away: PostgreSQL is killed or stopped, and the network to it is cut."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.chaos.setting import Setting
from benchmarks.chaos.stopped import Stopped
from benchmarks.chaos.supervised import Supervised
from coordinator.network import Network
from lexmove.study.study import Study
from lexmove.study.trial import Measured
from postgres_fixture import running_postgres

_AWAY_S = 5.0
"""How long a server stays away that is started again."""

_CUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outages:
    """What became of a study, and for each outage the seconds from its end until a next result."""

    stopped: Stopped
    num_drivers: int
    waits_s: list[float]

    @property
    def line(self) -> str:
        """In words."""
        waits = ", ".join(f"{wait_s:.1f}" for wait_s in self.waits_s)
        return (
            f"{len(self.waits_s)} outages, {self.num_drivers} drivers, results went on after "
            f"{waits} s; {self.stopped.line}"
        )


def restarted(folder: Path, *, marks: tuple[int, ...], **changes: object) -> Outages:
    """A study whose server goes and comes again, each time a number of results is there.

    The first time it is killed, the next time stopped as an administrator does, and so on.
    """
    with running_postgres() as server:
        url = server.url(server.new_user())
        ways = (server.kill, server.stop)

        def restart(number: int) -> None:
            ways[number % len(ways)]()
            time.sleep(_AWAY_S)
            server.start()

        setting = Setting(folder=str(folder), url=url, **changes)
        return _survived(Supervised(setting=setting), restart, marks)


def cut_off(
    folder: Path, *, marks: tuple[int, ...], cut_s: float = _CUT_S, **changes: object
) -> Outages:
    """A study between which and its server nothing gets through for a while, at each mark."""
    with running_postgres() as server, closing(Network(server.port)) as network:
        user = server.new_user()

        def cut(_: int) -> None:
            network.cut()
            time.sleep(cut_s)
            network.mend()

        setting = Setting(folder=str(folder), url=server.url(user, port=network.port), **changes)
        # Who looks at the study is not to be cut off with it.
        supervised = Supervised(setting=setting, looks_at=server.url(user))
        return _survived(supervised, cut, marks)


def _survived(
    supervised: Supervised, harm: Callable[[int], None], marks: tuple[int, ...]
) -> Outages:
    Path(supervised.setting.folder).mkdir(parents=True)
    ended_s: list[float] = []

    def strike(at: Supervised, study: Study) -> None:
        due = len(ended_s)
        num_results = sum(isinstance(event, Measured) for event in study.events)
        if due < len(marks) and num_results >= marks[due]:
            at.seen = study.events
            harm(due)
            ended_s.append(time.time())

    study = supervised.run(strike)
    return Outages(
        stopped=Stopped.of(supervised, study),
        num_drivers=supervised.num_drivers,
        waits_s=[_next_s(study, since_s) for since_s in ended_s],
    )


def _next_s(study: Study, since_s: float) -> float:
    """Seconds until a result; those that waited to be written have the time of their arrival."""
    later = (
        event.at_s
        for event in study.events
        if isinstance(event, Measured) and event.at_s >= since_s
    )
    return next(later, float("inf")) - since_s
