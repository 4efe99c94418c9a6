"""What is learned from past studies: related ones help, misleading ones cost little."""

from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.landscapes import (
    MIXED,
    Landscape,
    fine_tuning,
    floats,
    new_study,
    play,
    random_study,
)
from lexmove.agent.belief import rank_correlation
from lexmove.agent.floor import FloorProposer
from lexmove.agent.memory import MAX_STARTS, PastStudy, learn_portfolio, past_results, why_unfit
from lexmove.agent.shipped_starts import (
    StartTable,
    learn_table,
    read_tables,
    shipped_starts,
    shipped_tables,
    write_table,
)
from lexmove.space.domain import Categorical, Constant, Float, Ordinal, Value
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.past import PastResults
from lexmove.study.study import Study
from lexmove.study.trial import Started, TrialStatus
from strategies import search_spaces

NUM_TRIALS = 20


def task(index: int, *, spread: float = 0.06) -> Landscape:
    """One of a family: the fine-tuning landscape with its optimum moved a little."""
    rng = np.random.default_rng(index)
    moved = {
        item.name: spread * float(rng.standard_normal())
        for item in MIXED.searched
        if isinstance(item.domain, Float)
    }

    def landscape(config: Config) -> float:
        values: dict[str, Value] = dict(config)
        for name, step in moved.items():
            domain = MIXED[name].domain
            values[name] = domain.from_unit(domain.to_unit(values[name]) + step)
        return fine_tuning(values)

    return landscape


BEST, MEDIAN = 0.848, 0.477
"""Of the fine-tuning landscape."""


@cache
def past(kind: str, index: int) -> PastStudy:
    """A past study of uniform draws, some of which failed."""
    family = {"related": task, "inverted": inverted, "far": far, "random": at_random}[kind]
    study = random_study(MIXED, num_trials=NUM_TRIALS, seed=index, landscape=family(index))
    return PastStudy.from_study(replace(study, spec=replace(study.spec, name=f"{kind}-{index}")))


def inverted(index: int) -> Landscape:
    return lambda config: -task(index)(config)


def far(index: int) -> Landscape:
    """The optimum elsewhere: at what would be the mirrored place of every number."""

    def landscape(config: Config) -> float:
        values = {
            name: MIXED[name].domain.from_unit(1 - MIXED[name].domain.to_unit(value))
            if MIXED[name].domain.is_ordered
            else value
            for name, value in config.items()
        }
        return task(index)(Config(values))

    return landscape


def at_random(index: int) -> Landscape:
    def landscape(config: Config) -> float:
        return float(np.random.default_rng([index, crc32(repr(dict(config)).encode())]).normal())

    return landscape


@cache
def regrets(kind: str | None, *, seed: int) -> np.ndarray:
    """Regret after each trial of a new task of the family, with memory of that kind or without."""
    studies = [] if kind is None else [past(kind, index) for index in range(10, 14)]
    memory = {"starts": learn_portfolio(studies, MIXED), "past": past_results(studies, MIXED)}
    study = play(new_study(MIXED, num_trials=16, seed=seed, **memory), FloorProposer(), task(seed))
    reached = np.maximum.accumulate([study.best_score(trial) for trial in study.trials])
    return (BEST - reached) / (BEST - MEDIAN)


SEEDS = range(6)


# Measured regret at 8 trials, mean of six seeds: .014 with memory, .066 without; better or equal
# in 6 of 6. On 27 tables and simulated fine-tunings, two seeds each, other tasks of the family as
# memory: .148 with, .273 without, better in 36 of 54, worse in 13.
def test_related_memory_helps_early() -> None:
    told = [regrets("related", seed=seed)[7] for seed in SEEDS]
    alone = [regrets(None, seed=seed)[7] for seed in SEEDS]
    assert sum(ours <= theirs for ours, theirs in zip(told, alone, strict=True)) >= 5
    assert np.mean(told) < np.mean(alone)


# Measured regret at 16 trials, mean of six seeds: .015 without memory, .019 with an inverted one,
# .016 where the optimum is elsewhere, .014 with random values. On 16 tables and simulated
# fine-tunings the cost at 16 and 25 trials was .019 and .000 (inverted), .033 and .011 (mirrored),
# −.017 and .007 (values shuffled); by more than .05 at 16 in 5, 5 and 3 of 16.
@pytest.mark.parametrize("kind", ["inverted", "far", "random"])
def test_misleading_memory_costs_little(kind: str) -> None:
    told = [regrets(kind, seed=seed)[15] for seed in SEEDS]
    alone = [regrets(None, seed=seed)[15] for seed in SEEDS]
    assert np.mean(told) <= np.mean(alone) + 0.05


def starts_of(*studies: PastStudy, space: SearchSpace = MIXED) -> list[Config]:
    return [start.config for start in learn_portfolio(studies, space)]


def test_starts_are_what_past_studies_measured() -> None:
    studies = [past("related", index) for index in (10, 11)]
    learned = learn_portfolio(studies, MIXED)
    assert 1 <= len(learned) <= MAX_STARTS
    measured = {(item.name, trial.config) for item in studies for trial in item.study.trials}
    assert all((start.source, start.config) in measured for start in learned)
    assert learned == learn_portfolio(studies, MIXED)
    assert MIXED.default not in [start.config for start in learned]


def test_a_start_says_where_it_comes_from() -> None:
    line = SearchSpace(
        hyperparameters=(Hyperparameter(name="x", domain=Float(low=0.0, high=1.0, default=0.0)),)
    )
    rows = [(Config({"x": x / 10}), 1 - abs(x / 10 - 0.7)) for x in range(11)]
    (first, *_) = learn_portfolio([PastStudy.from_results("tos", line, rows, metric="f1")], line)
    assert first.config == {"x": 0.7}
    assert first.source == "tos"
    assert first.reason == "best of tos (trial 7: f1 1)"


def test_the_first_start_serves_most_studies_and_weights_count() -> None:
    line = SearchSpace(
        hyperparameters=(Hyperparameter(name="x", domain=Float(low=0.0, high=1.0, default=0.5)),)
    )

    def peak(name: str, at: float, weight: float) -> PastStudy:
        rows = [(Config({"x": x / 20}), -((x / 20 - at) ** 2)) for x in range(21)]
        return PastStudy.from_results(name, line, rows, weight=weight)

    def first(*weights: float) -> float:
        peaks = zip((0.1, 0.15, 0.9), weights, strict=True)
        studies = [peak(f"peak {at}", at, weight) for at, weight in peaks]
        return float(starts_of(*studies, space=line)[0]["x"])

    assert first(1.0, 1.0, 1.0) < 0.3
    assert first(0.1, 0.1, 1.0) > 0.7


def test_what_failed_is_not_begun_with() -> None:
    good = past("related", 10)
    best = good.study.trials[good.study.ranking[0].trial_id].config
    assert best in starts_of(good)
    other = random_study(MIXED, num_trials=NUM_TRIALS, seed=5, landscape=fine_tuning)
    events = [
        replace(event, config=dict(best))
        if isinstance(event, Started) and other.trials[event.trial_id].status is TrialStatus.FAILED
        else event
        for event in other.events
    ]
    failing = PastStudy.from_study(Study.from_events(other.spec, events))
    assert best not in starts_of(good, failing)


def narrowed() -> SearchSpace:
    """The mixed space as a user might change it: other ranges, another level, one fixed."""
    changed = {
        "learning_rate": Float(low=1e-5, high=1e-4, log=True),
        "batch_size": Ordinal(values=(4, 16, 64)),
        "scheduler": Categorical(values=("cosine", "polynomial")),
        "epochs": Constant(value=5),
    }
    items = [replace(item, domain=changed.get(item.name, item.domain)) for item in MIXED.searched]
    return SearchSpace(
        hyperparameters=(*items, Hyperparameter(name="beta", domain=Float(low=0.5, high=1.0)))
    )


def test_another_space_gets_what_fits_it() -> None:
    space = narrowed()
    learned = learn_portfolio([past("related", index) for index in range(10, 14)], space)
    assert learned
    assert all(space.is_valid(start.config) for start in learned)
    assert all(start.config["scheduler"] == "cosine" for start in learned)
    assert any(start.reason.startswith("near one of related-1") for start in learned)


@given(space=search_spaces(), source=search_spaces(), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_any_study_gives_valid_starts_or_none(
    space: SearchSpace, source: SearchSpace, seed: int
) -> None:
    study = random_study(source, num_trials=12, seed=seed)
    learned = learn_portfolio([PastStudy.from_study(study)], space)
    assert len(learned) <= MAX_STARTS
    assert all(space.is_valid(start.config) and start.config != space.default for start in learned)


@pytest.mark.parametrize("value", [0.0, 1e300, -1e300])
def test_studies_in_which_all_are_equal_teach_nothing(value: float) -> None:
    study = random_study(MIXED, num_trials=NUM_TRIALS, landscape=lambda _: value)
    assert starts_of(PastStudy.from_study(study)) == []


@pytest.mark.parametrize("diverged", [-1e3, -1e6, -1e200])
def test_one_divergence_does_not_hide_what_the_others_tell(diverged: float) -> None:
    def with_one(landscape: Landscape) -> PastResults:
        drawn = iter(range(NUM_TRIALS))
        study = random_study(
            MIXED,
            num_trials=NUM_TRIALS,
            seed=3,
            landscape=lambda config: diverged if next(drawn) == 4 else landscape(config),
        )
        (results,) = past_results([PastStudy.from_study(study)], MIXED)
        return results

    told, plain = with_one(task(3)), past_results([past("related", 3)], MIXED)[0]
    others = np.arange(len(told.scores)) != np.argmin(told.scores)
    agreement = rank_correlation(np.array(told.scores)[others], np.array(plain.scores)[others])
    # Measured: 1.0, .98 and .98; without a cut 1.0, and nothing at all of the others is left.
    assert agreement is not None
    assert agreement > 0.95


def test_where_nearly_all_is_forbidden_what_was_tried_stands_for_it() -> None:
    names = [f"p{index}" for index in range(10)]
    items = [
        Hyperparameter(name=name, domain=Categorical(values=("a", "b", "c"))) for name in names
    ]
    rate = Hyperparameter(name="rate", domain=Float(low=0.0, high=1.0))
    space = SearchSpace(
        hyperparameters=(*items, rate),
        forbid=tuple(
            {one: (value,), other: tuple(it for it in "abc" if it != value)}
            for one, other in pairwise(names)
            for value in "abc"
        ),
    )
    rows = [
        (
            space.config({**dict.fromkeys(names, value), "rate": step / 10}),
            step / 10 - (value == "a"),
        )
        for value in "abc"
        for step in range(10)
    ]
    (first, *_) = learn_portfolio([PastStudy.from_results("past", space, rows)], space)
    assert first.config["rate"] == 0.9
    assert first.config["p0"] in ("b", "c")


def test_why_a_study_is_left_out() -> None:
    few = PastStudy.from_study(past("related", 10).study.prefix(12))
    assert why_unfit(few, MIXED) == f"{few.num_scored} measured trials, 8 are needed"
    other = PastStudy.from_study(random_study(floats(3), num_trials=NUM_TRIALS))
    assert why_unfit(other, MIXED) == "0 of 7 hyperparameters in common, 4 are needed"
    assert why_unfit(past("related", 10), MIXED) is None
    spoilt = past("related", 10).study
    smaller = replace(spoilt.spec, space=narrowed())
    reason = why_unfit(PastStudy.from_study(replace(spoilt, spec=smaller)), MIXED)
    assert reason == "it holds configs that its own search space does not allow"
    assert learn_portfolio([few, other], MIXED) == ()


def table() -> StartTable:
    return learn_table("mixed", model="minilm", studies=[past("related", 10)], space=MIXED)


def test_a_table_survives_its_file(tmp_path: Path) -> None:
    path = write_table(table(), tmp_path)
    assert path == tmp_path / "mixed.json"
    assert read_tables(tmp_path) == (table(),)
    assert read_tables(tmp_path / "nowhere") == ()


def test_a_table_serves_its_model_in_spaces_like_its_own() -> None:
    tables = (replace(table(), model="other"), table())
    found = shipped_starts(MIXED, model="minilm", tables=tables)
    assert [start.config for start in found] == [start.config for start in table().starts]
    assert {start.source for start in found} == {"mixed"}
    assert shipped_starts(MIXED, model="bert", tables=tables) == ()
    assert shipped_starts(floats(3), model="minilm", tables=tables) == ()
    space = narrowed()
    fitting = shipped_starts(space, model="minilm", tables=tables)
    assert all(space.is_valid(start.config) for start in fitting)


def test_the_tables_that_ship_are_valid() -> None:
    for shipped in shipped_tables():
        assert shipped.starts
        assert all(shipped.space.is_valid(start.config) for start in shipped.starts)
