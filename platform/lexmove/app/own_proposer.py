"""A proposer of the user's own: found by its name in the job, checked, and held to its promise."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lexmove.agent.baselines import PROPOSERS, check_proposer, make_proposer
from lexmove.agent.ledger import Ledger
from lexmove.agent.portfolio import asked_suggestion
from lexmove.app.preparing import study_spec
from lexmove.errors import LexmoveError, StudyFailedError, UsageError
from lexmove.job.own_code import is_own, own_file
from lexmove.job.spec import JobSpec
from lexmove.space.search_space import SearchSpace
from lexmove.study.study import Study, carried_out, decision_rng
from lexmove.study.trial import Decision, Suggestion, event_from_json, event_to_json
from lexmove.trials.own_code_loading import PROPOSER, brief, line_in, load_own, told

_RULE = "it must return a Suggestion, or None when nothing is worth starting now"


class OwnProposer:
    """Lets an object of the user's own propose, and believes nothing that it says unseen.

    Serves itself as `agent.serving.ServedProposer` serves the policy: there are no weights, and
    nothing is learned but what the study holds.
    """

    weights: tuple[Path, ...] = ()

    def __init__(self, label: str, own: Any) -> None:
        self._label = label
        self._own = own
        self._name: str = own.name

    @property
    def name(self) -> str:
        """What the move log calls it."""
        return self._name

    @property
    def proposer(self) -> "OwnProposer":
        """The one to use: itself."""
        return self

    def after(self, study: Study) -> "OwnProposer":
        """The one to use from here on: the same."""
        return self

    def close(self) -> None:
        """There is nothing to end."""

    def propose(
        self, study: Study, rng: np.random.Generator, *, lane: int = 0
    ) -> Suggestion | None:
        """What the user's object suggests for this study.

        Raises:
            StudyFailedError: it raised, or suggested what cannot be carried out.
        """
        try:
            return self.checked(study, rng, lane=lane)
        except UsageError as error:
            name, num = study.spec.name, len(study.trials)
            trials = "1 trial" if num == 1 else f"{num} trials"
            raise StudyFailedError(
                f"study {name!r} had to stop after {trials}: {error}; all that "
                f"was measured is kept: mend it, then `lexmove resume {name}` goes on"
            ) from error

    def checked(
        self, study: Study, rng: np.random.Generator, *, lane: int = 0
    ) -> Suggestion | None:
        """As `propose`, where there is no study yet that could fail.

        Raises:
            UsageError: as there.
        """
        ledger = Ledger.of(study)
        asked = asked_suggestion(
            study, ledger.encoding, ledger.units, proposer=self._name, lane=lane
        )
        if asked is not None:  # the user may ask whoever proposes
            return asked
        try:
            suggestion = self._own.propose(study, rng, lane=lane)
        # An `exit()` in there would end the driver without a word.
        except (Exception, SystemExit) as error:
            line = line_in(error, type(self._own))
            raise UsageError(f"{self._label} failed with {told(error)}{line}") from error
        if suggestion is None:
            return None
        wrong = _wrong_in(suggestion, study)
        if wrong is not None:
            raise UsageError(f"{self._label} {wrong}")
        found: Suggestion = suggestion
        return found


def _wrong_in(suggestion: Any, study: Study) -> str | None:
    """Why a suggestion cannot be carried out; None where it can."""
    if not isinstance(suggestion, Suggestion):
        return f"returned {brief(repr(suggestion))}: {_RULE}"
    decision: Any = suggestion.decision
    if not isinstance(decision, Decision):
        return f"suggested with {brief(repr(decision))} where a Decision belongs"
    is_start = suggestion.trial_id is None
    wrong = (_wrong_start if is_start else _wrong_continuation)(suggestion, study)
    if wrong is not None:
        return wrong
    # Whatever else is of no use in it shows where a store would write and read it.
    try:
        event_from_json(event_to_json(carried_out(study, suggestion, at_s=0.0)))
    except (LexmoveError, TypeError, ValueError) as error:
        return f"suggested what cannot be written down: {told(error)}"
    return None


def _wrong_start(suggestion: Suggestion, study: Study) -> str | None:
    if not study.num_trials_left:
        return (
            f"suggested a new trial beyond the budget of {study.spec.num_trials}: return None, or "
            "continue a paused one, where study.num_trials_left is 0"
        )
    try:
        study.spec.space.config(suggestion.config)
    except (LexmoveError, AttributeError, TypeError) as error:
        return f"suggested an invalid config: {error}"
    maximum = study.spec.fidelity.maximum
    if not _is_within(suggestion.until, 1, maximum):
        return (
            f"wants a new trial to go until {suggestion.until!r}, which is no whole number from 1 "
            f"to {maximum}: study.spec.fidelity.rungs[0] is where the others pause"
        )
    return None


def _wrong_continuation(suggestion: Suggestion, study: Study) -> str | None:
    trial_id = suggestion.trial_id
    if not _is_within(trial_id, 0, len(study.trials) - 1):
        return f"wants to continue trial {trial_id!r}, and there is none of that number"
    assert trial_id is not None, "asked about a continuation"
    trial = study.trials[trial_id]
    if not trial.is_paused:
        return f"wants to continue trial {trial_id}, which is {trial.status}, not PAUSED"
    maximum = study.spec.fidelity.maximum
    if not _is_within(suggestion.until, trial.fidelity + 1, maximum):
        return (
            f"wants trial {trial_id} to go on from {trial.fidelity} until {suggestion.until!r}, "
            f"which is no whole number up to {maximum} beyond it: "
            f"study.spec.fidelity.next_rung({trial.fidelity}) is the next rung"
        )
    return None


def _is_within(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def load_own_proposer(name: str) -> OwnProposer:
    """The proposer `package.module:Class` or `path/to/file.py:Class`, made without arguments.

    Raises:
        UsageError: no such file, module or class, or one that is no proposer.
    """
    label = f"proposer {name!r}"
    made = load_own(name, PROPOSER)
    try:
        own = made()
    except (Exception, SystemExit) as error:
        line = line_in(error, made)
        raise UsageError(
            f"{label} cannot be made: {told(error)}{line}; a proposer is made without arguments"
        ) from error
    _check_name(label, _part(label, own, "name"))
    propose = _part(label, own, "propose")
    if not callable(propose):
        raise UsageError(
            f"{label}: `propose` is no method but {brief(repr(propose))}; it is called as "
            "propose(study, rng, lane=0)"
        )
    return OwnProposer(label, own)


def _part(label: str, own: Any, part: str) -> Any:
    try:
        return getattr(own, part)
    except Exception as error:
        raise UsageError(
            f"{label} has no `{part}` that can be read ({told(error)}): a proposer has `name`, a "
            "text, and `propose(study, rng, lane=0)`"
        ) from error


def _check_name(label: str, name: Any) -> None:
    if not isinstance(name, str) or not name.strip() or len(name.splitlines()) > 1:
        raise UsageError(
            f"{label}: its `name` is {brief(repr(name))}, and must be a text of one line: the move "
            "log calls it so"
        )
    if name in PROPOSERS:
        raise UsageError(
            f"{label}: its `name` {name!r} is that of a proposer of lexmove's; choose another one"
        )


def check_own_proposer(job: JobSpec, space: SearchSpace, *, is_sent: bool = False) -> None:
    """Finds what is wrong with a job's proposer before anything begins.

    One of the user's own is made, and asked what it would do first.

    Args:
        job: names it.
        space: what may be tried.
        is_sent: the job runs elsewhere: what is not here is left for those there to check.

    Raises:
        UsageError: there is none of that name, or it is none that a study could use.
    """
    name = job.agent.proposer
    if not is_own(name):
        check_proposer(name)
        return
    file = own_file(name)
    if is_sent and (file is None or (Path(file).is_absolute() and not Path(file).exists())):
        return
    study = Study(spec=replace(study_spec(job, space), starts=()))
    first = load_own_proposer(name).checked(study, decision_rng(study))
    if first is None:
        raise UsageError(
            f"proposer {name!r} suggests nothing for an empty study, which would end it at once: "
            "propose(study, rng, lane=0) must return a Suggestion as long as there is budget"
        )


def planned_proposer(name: str) -> Callable[[Study, np.random.Generator], Suggestion | None]:
    """How a plan asks what comes first.

    The untrained policy decides as its floor does, which needs no torch.

    Raises:
        UsageError: there is none of that name, or (when asked) it is of no use.
    """
    if is_own(name):
        return load_own_proposer(name).checked
    return make_proposer("floor" if name == "policy" else name).propose
