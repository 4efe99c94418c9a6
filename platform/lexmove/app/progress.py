"""Progress of a study as lines: for the command line's pipes and logs, and for who calls Python."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

from rich.console import Console
from rich.text import Text

from lexmove.app.execution import Progress
from lexmove.app.forecast import repetition_epochs, seconds_left
from lexmove.job.loading import job_from_json
from lexmove.results import story
from lexmove.results.wording import say_clock, say_duration
from lexmove.study.study import Study
from lexmove.study.trial import Ended, TrialStatus

ProgressChoice = Progress | Literal["auto"] | None
"""What a caller may ask for: told by a function of their own, as fits stderr, or not at all."""

REPETITIONS = "repetitions"
"""The phase after the search; its study is that of the repetitions."""

PHASES = {"trials": "running the trials", REPETITIONS: "repeating the finalists with fresh seeds"}
"""How a phase reads; others are words already."""


def chosen(progress: ProgressChoice) -> Progress:
    """What to tell: with `auto` plain lines on stderr where somebody is there to read them."""
    if progress == "auto":
        return _lines_on_stderr() if _is_watched() else _silent
    return progress or _silent


def _lines_on_stderr() -> Progress:
    # In a notebook rich would give each line an output of its own; as text they follow each other.
    return PlainProgress(Console(file=sys.stderr, highlight=False, force_jupyter=False))


def _is_watched() -> bool:
    """Whether stderr is a terminal, or this is a notebook's kernel: there it is no terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return sys.stderr.isatty() or getattr(shell, "kernel", None) is not None


def _silent(phase: str, study: Study | None) -> None:
    """Tells nothing."""


class Forecast:
    """When the whole will be done: the phase's start, and the study last seen in it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since_s = clock()
        self._phase = ""

    def enter(self, phase: str) -> None:
        if phase != self._phase:
            self._phase, self._since_s = phase, self._clock()

    def words(self, study: Study) -> str:
        """`about 4 min left`; empty before there is a rate to go by."""
        is_search = self._phase != REPETITIONS and study.spec.job
        after = repetition_epochs(job_from_json(study.spec.job)) if is_search else 0
        left_s = seconds_left(study, since_s=self._since_s, now_s=self._clock(), epochs_after=after)
        return "" if left_s is None else f"about {say_duration(left_s)} left"


class PlainProgress:
    """One line per phase, and per segment that ended, each with the time since the start."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.time) -> None:
        self._console = console
        self._clock = clock
        self._started_s = clock()
        self._forecast = Forecast(clock)
        self._phase = ""
        self._told: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is open."""

    def __call__(self, phase: str, study: Study | None) -> None:
        if phase != self._phase:
            self._phase = phase
            self._forecast.enter(phase)
            self._line(PHASES.get(phase, phase))
        if study is not None:
            for event in self._news(study):
                self._line(self._told_in_words(phase, study, event))

    def _news(self, study: Study) -> list[Ended]:
        """Segments that ended in this process and were not told yet."""
        name = study.spec.name
        told = self._told.get(name, -1)
        self._told[name] = study.num_events - 1
        return [
            event
            for event in study.events_since(told + 1)
            if isinstance(event, Ended)
            and event.status is not TrialStatus.STOPPED  # the study's end, no news of the trial
            and event.at_s >= self._started_s
        ]

    def _told_in_words(self, phase: str, study: Study, event: Ended) -> str:
        is_last = event.seq + 1 == study.num_events
        then = study if is_last else study.prefix(event.seq + 1)
        if phase == REPETITIONS:
            parts = [story.repetition_line(then, event)]
        else:
            parts = [story.segment_line(then, event), story.standing(study)]
        return " · ".join(filter(None, [*parts, self._forecast.words(study)]))

    def _line(self, text: str) -> None:
        clock = say_clock(self._clock() - self._started_s)
        self._console.print(Text(f"[{clock}] {text}"), soft_wrap=True)
