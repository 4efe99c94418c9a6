"""Hypothesis strategies for domains, spaces, configs, moves and studies."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from lexmove.space.domain import Categorical, Constant, Domain, Float, Integer, Ordinal, Value
from lexmove.space.move import Move
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import (
    Continued,
    Decision,
    Ended,
    Event,
    Measured,
    Measurement,
    RunnerUp,
    Started,
    TrialStatus,
)

NAMES = ("learning_rate", "batch", "warmup", "schedule", "model.pooling", "peft.r", "peft.use")

units = st.floats(min_value=0.0, max_value=1.0)
texts = st.sampled_from(["linear", "cosine", "mean", "cls", "no", "ä ß", "a, b: c"])
numbers = st.one_of(
    st.integers(min_value=-1000, max_value=1000),
    st.floats(min_value=-1e3, max_value=1e3, allow_subnormal=False),
)


@st.composite
def floats(draw: st.DrawFn) -> Float:
    log = draw(st.booleans())
    low = draw(st.floats(min_value=1e-8, max_value=1e3) if log else st.floats(-1e6, 1e6))
    width = draw(st.floats(min_value=1e-3, max_value=1e6))
    high = low * (1 + width) if log else low + width
    return _with_default(draw, Float(low=low, high=high, log=log))


@st.composite
def integers(draw: st.DrawFn) -> Integer:
    log = draw(st.booleans())
    low = draw(st.integers(1, 1000) if log else st.integers(-1000, 1000))
    high = low + draw(st.integers(1, 5000))
    return _with_default(draw, Integer(low=low, high=high, log=log))


def _with_default(draw: st.DrawFn, domain: Any) -> Any:
    if not draw(st.booleans()):
        return domain
    default = domain.from_unit(draw(units))
    return type(domain)(low=domain.low, high=domain.high, log=domain.log, default=default)


@st.composite
def ordinals(draw: st.DrawFn) -> Ordinal:
    values = tuple(sorted(draw(st.lists(numbers, min_size=2, max_size=6, unique=True))))
    default = draw(st.none() | st.sampled_from(values))
    return Ordinal(values=values, default=default)


@st.composite
def categoricals(draw: st.DrawFn) -> Categorical:
    kinds = [texts, st.booleans(), numbers]
    kind = draw(st.sampled_from(kinds))
    values = tuple(draw(st.lists(kind, min_size=2, max_size=5, unique=True)))
    default = draw(st.none() | st.sampled_from(values))
    return Categorical(values=values, default=default)


constants = st.builds(Constant, value=st.one_of(texts, st.booleans(), numbers))
searched_domains = st.one_of(floats(), integers(), ordinals(), categoricals())
domains = st.one_of(searched_domains, constants)


def some_values(domain: Domain) -> list[Value]:
    """A few values of a domain, all of them where there are few."""
    places = [(index + 0.5) / 5 for index in range(5)]
    if domain.num_levels is not None and domain.num_levels < 5:
        places = [(index + 0.5) / domain.num_levels for index in range(domain.num_levels)]
    return list(dict.fromkeys(domain.from_unit(place) for place in places))


@st.composite
def search_spaces(draw: st.DrawFn, max_size: int = 5) -> SearchSpace:
    """Spaces with conditions, rules, constants, and children declared before their parents."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=max_size, unique=True))
    items: list[Hyperparameter] = []
    for index, name in enumerate(names):
        domain = draw(domains if index else searched_domains)
        when = {}
        if items and draw(st.booleans()):
            parent = draw(st.sampled_from(items))
            when = {parent.name: draw(_some_of(parent.domain))}
        items.append(Hyperparameter(name=name, domain=domain, when=when))
    declared = tuple(draw(st.permutations(items)))
    space = SearchSpace(hyperparameters=declared)
    rules = draw(st.lists(_rules(space), max_size=2))
    kept = tuple(rule for rule in rules if not _matches(rule, space.default))
    return SearchSpace(hyperparameters=declared, forbid=kept)


def _some_of(domain: Domain) -> st.SearchStrategy[tuple[Value, ...]]:
    listed = st.lists(st.sampled_from(some_values(domain)), min_size=1, max_size=3, unique=True)
    return listed.map(tuple)


@st.composite
def _rules(draw: st.DrawFn, space: SearchSpace) -> dict[str, tuple[Value, ...]]:
    names = draw(st.lists(st.sampled_from(space.names), min_size=1, max_size=2, unique=True))
    return {name: draw(_some_of(space[name].domain)) for name in names}


def _matches(rule: dict[str, tuple[Value, ...]], config: Config) -> bool:
    return all(name in config and config[name] in values for name, values in rule.items())


@st.composite
def configs(draw: st.DrawFn, space: SearchSpace) -> Config:
    """Allowed configs of a space; the default in place of a forbidden one."""
    places = draw(st.lists(units, min_size=len(space.searched), max_size=len(space.searched)))
    config = space.from_unit(np.array(places))
    return space.default if space.is_forbidden(config) else config


@st.composite
def moves(draw: st.DrawFn, space: SearchSpace) -> Move:
    """Any changes with values of the right domains; not all of them legal."""
    names = draw(st.lists(st.sampled_from(space.names), max_size=3, unique=True))
    changes = {name: space[name].domain.from_unit(draw(units)) for name in names}
    return Move(origin=draw(st.none() | st.integers(0, 5)), changes=changes)


objective_values = st.one_of(
    st.floats(min_value=-1.0, max_value=1.0),
    st.sampled_from([0.5, float("nan"), float("inf"), float("-inf")]),
)

decisions = st.builds(
    Decision,
    proposer=st.sampled_from(["policy", "random"]),
    expert=st.sampled_from(["", "expected_improvement"]),
    text=st.sampled_from(["", "learning_rate ×2"]),
    action=st.none() | st.integers(0, 63),
    log_probability=st.none() | st.floats(-10.0, 0.0),
    runners_up=st.lists(st.builds(RunnerUp, text=texts, probability=units), max_size=2).map(tuple),
    predicted_gain=st.none() | st.floats(-1.0, 1.0),
    lane=st.none() | st.integers(0, 3),
)

_ENDINGS = (
    TrialStatus.PAUSED,
    TrialStatus.PREEMPTED,
    TrialStatus.COMPLETED,
    TrialStatus.STOPPED,
    TrialStatus.FAILED,
    TrialStatus.INFEASIBLE,
)


_STUDY_SPACES = (
    SearchSpace(hyperparameters=(Hyperparameter(name="lr", domain=Float(low=0.0, high=1.0)),)),
    SearchSpace(
        hyperparameters=(
            Hyperparameter(name="use", domain=Categorical(values=(False, True))),
            Hyperparameter(name="batch", domain=Ordinal(values=(8, 16, 32))),
            Hyperparameter(
                name="rank", domain=Integer(low=1, high=64, log=True), when={"use": (True,)}
            ),
        ),
        forbid=({"use": (True,), "batch": (32,)},),
    ),
)
"""Few and small: what a study does hardly depends on its space."""


@st.composite
def journals(draw: st.DrawFn, max_events: int = 18) -> tuple[StudySpec, tuple[Event, ...]]:
    """A spec and the events of a study that could have happened, in order."""
    space = draw(st.sampled_from(_STUDY_SPACES))
    plan = FidelityPlan(maximum=9, eta=draw(st.none() | st.integers(2, 4)), first=1)
    goal = draw(st.sampled_from(["maximize", "minimize"]))
    spec = StudySpec(name="s", space=space, goal=goal, fidelity=plan, num_trials=20)
    study = Study(spec=spec)
    for seq in range(draw(st.integers(0, max_events))):
        study = study.with_event(draw(_next_event(study, seq)))
    return spec, study.events


@st.composite
def _next_event(draw: st.DrawFn, study: Study, seq: int) -> Event:
    at_s = 1000.0 + seq
    open_trials = [trial for trial in study.trials if not trial.status.is_final]
    if not open_trials or draw(st.integers(0, 3)) == 0:
        return Started(
            seq=seq,
            at_s=at_s,
            trial_id=len(study.trials),
            config=draw(configs(study.spec.space)),
            until=draw(st.integers(1, 9)),
            seed=draw(st.integers(0, 2**31)),
            decision=draw(decisions),
        )
    trial = draw(st.sampled_from(open_trials))
    if trial.status is not TrialStatus.RUNNING:
        decision = draw(st.none() | decisions)
        return Continued(seq=seq, at_s=at_s, trial_id=trial.trial_id, until=9, decision=decision)
    if draw(st.booleans()):
        return Measured(
            seq=seq,
            at_s=at_s,
            trial_id=trial.trial_id,
            measurement=Measurement(
                fidelity=draw(st.integers(1, 9)),
                metrics={"value": draw(objective_values)},
                checkpoint=draw(st.none() | st.just(f"trial_{trial.trial_id}")),
            ),
        )
    return Ended(
        seq=seq,
        at_s=at_s,
        trial_id=trial.trial_id,
        status=draw(st.sampled_from(_ENDINGS)),
        reason=draw(st.none() | st.just("out of memory")),
        blames_trial=draw(st.booleans()),
    )


studies = journals().map(lambda journal: Study.from_events(*journal))
