"""Progress of a study on stderr: a live table on a terminal, one line per event in a pipe."""

import io
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from lexmove.app.progress import PHASES, REPETITIONS, Forecast, PlainProgress
from lexmove.cli.wording import incumbent_curve, say_duration, say_metric, sparkline
from lexmove.errors import LexmoveError
from lexmove.results import story
from lexmove.study.study import Study

_WORDS = ("state", "move", "why", "config", "seed")
"""Columns that begin at the same place; the others are numbers and end there."""

_LOG_WIDTH = 200
_ROOM = 8
"""Lines of the live view around its table."""


def progress_display() -> "LiveProgress | PlainProgress":
    """What shows `app.execution.Progress` while it is entered, as it fits stderr."""
    console = Console(file=sys.stderr, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveProgress(console)
    return PlainProgress(console)


class KeptProgress:
    """Shows progress, and keeps it as lines in the log of the study's folder.

    The folder is the study's own from when it is locked; what was said before is written then.
    """

    def __init__(self, shown: "LiveProgress | PlainProgress", log: Callable[[], Path]) -> None:
        self._shown = shown
        self._log = log
        self._lines = io.StringIO()
        console = Console(file=self._lines, highlight=False, width=_LOG_WIDTH)
        self._plain = PlainProgress(console)

    def __enter__(self) -> Self:
        self._shown.__enter__()
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        self._lines.write(f"-- {now}, process {os.getpid()}\n")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        words = (
            "done" if error is None else f"ended by {type(error).__name__}: {error}".rstrip(": ")
        )
        self._lines.write(f"{words}\n")
        self._keep()
        self._shown.__exit__(kind, error, trace)

    def __call__(self, phase: str, study: Study | None) -> None:
        self._shown(phase, study)
        self._plain(phase, study)
        self._keep()

    def _keep(self) -> None:
        text = self._lines.getvalue()
        if not text:
            return
        # A log is a courtesy: a disk that is full stops the study elsewhere, with the cause.
        with suppress(OSError, LexmoveError):
            path = self._log()
            if not path.with_name("lock").exists():
                return
            with path.open("a", encoding="utf-8") as file:
                file.write(text)
        self._lines.seek(0)
        self._lines.truncate()


class LiveProgress:
    """The agent's story as a table that is drawn anew; the phases that are done stay above it."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.time) -> None:
        self._console = console
        self._clock = clock
        self._forecast = Forecast(clock)
        self._phase = ""
        self._phase_since_s = clock()
        self._study: Study | None = None
        self._spinner = Spinner("dots")
        self._live = Live(
            get_renderable=self.render, console=console, refresh_per_second=4, transient=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._close_phase()
        self._phase = ""
        self._live.stop()

    def __call__(self, phase: str, study: Study | None) -> None:
        if phase != self._phase:
            self._close_phase()
            self._phase, self._phase_since_s = phase, self._clock()
            self._forecast.enter(phase)
        self._study = study

    def _close_phase(self) -> None:
        """Leaves one line about the phase that is over."""
        if not self._phase:
            return
        took = say_duration(self._clock() - self._phase_since_s)
        line = Text.assemble(("✓ ", "green"), PHASES.get(self._phase, self._phase))
        line.append(f"  {took}", style="dim")
        self._console.print(line)
        if self._study is not None and self._phase != REPETITIONS:
            self._console.print(Text(f"  {story.standing(self._study)}"))

    def render(self) -> RenderableType:
        """The view as it stands now."""
        if not self._phase:
            return Text("")
        self._spinner.update(text=Text(PHASES.get(self._phase, self._phase)))
        if self._study is None:
            return self._spinner
        return Group(self._table(self._study), Text(""), self._foot(self._study), self._spinner)

    def _table(self, study: Study) -> Table:
        now_s, num = self._clock(), max(4, self._console.height - _ROOM)
        if self._phase == REPETITIONS:
            rows = [
                story.repetition_row(study, trial, now_s=now_s) for trial in study.trials[-num:]
            ]
            return _live_table(story.REPETITION_HEADERS, rows, best=None)
        trials = story.latest_trials(study, num=num)
        ages = [story.age_s(trial, now_s=now_s) for trial in trials]
        rows = [
            story.trial_row(study, trial, age_s=age)
            for trial, age in zip(trials, ages, strict=True)
        ]
        best = None if study.incumbent is None else str(study.incumbent.trial_id)
        metric = say_metric(study.spec.metric)
        headers = [metric if name == "value" else name for name in story.TRIAL_HEADERS]
        return _live_table(headers, rows, best=best)

    def _foot(self, study: Study) -> Text:
        is_search = self._phase != REPETITIONS
        words = [story.standing(study)] if is_search else [_repetitions_standing(study)]
        curve = sparkline(incumbent_curve(study)) if is_search else ""
        return Text(" · ".join(filter(None, [*words, self._forecast.words(study), curve])))


def _repetitions_standing(study: Study) -> str:
    done = sum(trial.status.is_final for trial in study.trials)
    return f"{done} of {study.spec.num_trials} repetitions done"


def _live_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, best: str | None
) -> Table:
    """One line per row; what does not fit is cut in the move, never in the numbers."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), expand="move" in headers)
    for header in headers:
        table.add_column(
            header,
            no_wrap=True,
            overflow="ellipsis",
            justify="left" if header in _WORDS else "right",
            ratio=1 if header == "move" else None,
        )
    for row in rows:
        style = "bold" if row[0] == best else "dim" if row[1] in ("failed", "infeasible") else None
        table.add_row(*map(Text, row), style=style)
    return table
