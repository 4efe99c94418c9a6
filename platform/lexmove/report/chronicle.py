"""The chronicle: a study read once, a row per trial, with all that pictures and tables show.

A study keeps its older trials packed, so that each look at one costs; here each is looked at once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from lexmove.results.profile import Span, spans_of
from lexmove.results.wording import say_metric
from lexmove.space.domain import Value
from lexmove.space.search_space import Config
from lexmove.study.fidelity import Fidelity
from lexmove.study.scoring import WITHOUT_SCORE, Incumbent
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import (
    Continued,
    Decision,
    Measured,
    Started,
    Trial,
    TrialStatus,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One trial. `value` is its best objective, `curve` the objective by fidelity.

    `gain` is what it brought over the best of the time, positive is better. `trained_s` are the
    seconds that its measurements took. `continued` are the decisions that let it go on.
    """

    trial_id: int
    status: TrialStatus
    config: Config
    decision: Decision
    value: float | None
    fidelity: Fidelity
    curve: Mapping[Fidelity, float]
    gain: float | None
    trained_s: float
    reason: str | None
    spans: Sequence[Span]
    continued: Sequence[Decision]

    @property
    def origin(self) -> int | None:
        """The trial that it was moved from; None for one that begins anew."""
        move = self.decision.move
        return None if move is None or not move.changes else move.origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvement:
    """A new best: its trial, how many trials had begun, and what had been spent by then."""

    trial_id: int
    num_started: int
    num_epochs: int
    trained_s: float
    value: float


@dataclass(frozen=True, kw_only=True)
class Chronicle:
    """A study as rows. `num_epochs` and `trained_s` are what all trials spent, failed ones too."""

    spec: StudySpec
    rows: Sequence[Row]
    improvements: Sequence[Improvement]
    incumbent: Incumbent | None
    num_epochs: int
    trained_s: float
    counts: Mapping[TrialStatus, int]

    @property
    def metric(self) -> str:
        """The objective's name, for people."""
        return say_metric(self.spec.metric)

    @property
    def sign(self) -> float:
        """+1 where more is better, −1 where less is."""
        return 1.0 if self.spec.goal == "maximize" else -1.0

    @cached_property
    def scored(self) -> tuple[Row, ...]:
        """The trials with a value, in order."""
        return tuple(row for row in self.rows if row.value is not None)

    @cached_property
    def ranked(self) -> tuple[Row, ...]:
        """The trials with a value, best first, ties to the earlier."""
        return tuple(sorted(self.scored, key=lambda row: (-self.score(row), row.trial_id)))

    @property
    def best(self) -> Row | None:
        """The trial of the incumbent."""
        return None if self.incumbent is None else self.rows[self.incumbent.trial_id]

    def score(self, row: Row) -> float:
        """A trial's value, higher is better; −∞ without one."""
        return -math.inf if row.value is None else self.sign * row.value

    def gain_over_origin(self, row: Row) -> float | None:
        """What a move changed, by the highest fidelity that both trials were measured at.

        Positive is better; None where there is nothing to compare.
        """
        if row.origin is None or row.value is None:
            return None
        before = self.rows[row.origin]
        if before.value is None:
            return None
        shared = set(row.curve) & set(before.curve)
        if not shared:
            return self.score(row) - self.score(before)
        at = max(shared)
        return self.sign * (row.curve[at] - before.curve[at])

    def lineage(self, row: Row) -> tuple[Row, ...]:
        """A trial with those that it goes back to by moves, the first one first."""
        found = [row]
        while (origin := found[-1].origin) is not None:
            found.append(self.rows[origin])
        return tuple(reversed(found))


def chronicle_of(study: Study) -> Chronicle:
    """Reads a study."""
    trials = [Trial(events=tuple(trial.events)) for trial in study.trials]
    rows = tuple(_row(study, trial) for trial in trials)
    return Chronicle(
        spec=study.spec,
        rows=rows,
        improvements=_improvements(study, trials),
        incumbent=study.incumbent,
        num_epochs=sum(row.fidelity for row in rows),
        trained_s=sum(row.trained_s for row in rows),
        counts=study.counts,
    )


def _row(study: Study, trial: Trial) -> Row:
    best = study.best_of(trial)
    metric = study.spec.metric
    return Row(
        trial_id=trial.trial_id,
        status=trial.status,
        config=trial.config,
        decision=trial.decision,
        value=None if best is None else best.value,
        fidelity=trial.fidelity,
        curve={
            item.fidelity: value
            for item in trial.measurements
            if math.isfinite(value := item.metrics.get(metric, math.nan))
        },
        gain=study.realised_gain(trial),
        trained_s=sum(item.duration_s for item in trial.measurements),
        reason=trial.reason,
        spans=tuple(spans_of(trial.events)),
        continued=tuple(
            event.decision
            for event in trial.events
            if isinstance(event, Continued) and event.decision is not None
        ),
    )


def _improvements(study: Study, trials: Sequence[Trial]) -> tuple[Improvement, ...]:
    """Every new best in time order; what failed later never was one."""
    counts = [trial.status not in WITHOUT_SCORE for trial in trials]
    reached = [0] * len(trials)
    found: list[Improvement] = []
    num_started, num_epochs, trained_s, best = 0, 0, 0.0, -math.inf
    events = sorted((event for t in trials for event in t.events), key=lambda event: event.seq)
    for event in events:
        num_started += isinstance(event, Started)
        if not isinstance(event, Measured):
            continue
        trial_id, fidelity = event.trial_id, event.measurement.fidelity
        num_epochs += max(0, fidelity - reached[trial_id])
        reached[trial_id] = max(fidelity, reached[trial_id])
        trained_s += event.measurement.duration_s
        value = event.measurement.metrics.get(study.spec.metric, math.nan)
        score = study.sign * value
        if counts[trial_id] and math.isfinite(score) and score > best:
            best = score
            found.append(
                Improvement(
                    trial_id=trial_id,
                    num_started=num_started,
                    num_epochs=num_epochs,
                    trained_s=trained_s,
                    value=value,
                )
            )
    return tuple(found)


def value_range(chronicle: Chronicle) -> tuple[float, float] | None:
    """Where the values lie that are worth a look: from a far tail of bad ones up to the best.

    One divergence would otherwise press all others into a line. None without a value.
    """
    scores = sorted(chronicle.score(row) for row in chronicle.scored)
    if not scores:
        return None
    low, middle, best = scores[0], scores[len(scores) // 2], scores[-1]
    low = max(low, middle - 5 * (best - middle)) if best > middle else low
    margin = 0.06 * (best - low) or 0.05 * (abs(best) or 1.0)
    ends = sorted((chronicle.sign * (low - margin), chronicle.sign * (best + margin)))
    return ends[0], ends[1]


def evenly(items: Sequence[Row], limit: int) -> tuple[Row, ...]:
    """At most `limit` of the items, from the first to the last at even distances."""
    if len(items) <= limit:
        return tuple(items)
    if limit <= 0:
        return ()
    step = len(items) / limit
    return tuple(items[int(i * step)] for i in range(limit))


def drawn_rows(chronicle: Chronicle, limit: int) -> tuple[Row, ...]:
    """At most `limit` trials with a value, in order: the best third of the room, and an even mix.

    A picture of all trials of a large study is one blot.
    """
    if len(chronicle.scored) <= limit:
        return chronicle.scored
    leading = chronicle.ranked[: limit // 3]
    mixed = evenly(chronicle.ranked[limit // 3 :], limit - len(leading))
    return tuple(sorted((*leading, *mixed), key=lambda row: row.trial_id))


def changed(chronicle: Chronicle, row: Row) -> dict[str, tuple[Value | None, Value | None]]:
    """What a move changed: before and after by hyperparameter; None where it is inactive."""
    if row.origin is None:
        return {}
    before, after = chronicle.rows[row.origin].config, row.config
    names = [item.name for item in chronicle.spec.space.searched]
    return {
        name: (before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    }
