"""Processor time of one decision, 12 hyperparameters of mixed types; prints a table.

`python -m benchmarks.decision_time`. A history is grown without the agent (random configs and
random moves from the best one), then the agent plays a few trials on from it, so that every
decision meets a history one trial longer than the last. "first" is the first decision of the
process, loading and warming-up included; memory is what Python objects hold after a run at that
length, over what they held before the first. `--past 8` gives every study as many earlier ones.
"""

import argparse
import gc
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from agent.landscapes import Landscape, finish, newest, start
from lexmove.space.domain import Categorical, Float, Integer, Ordinal
from lexmove.space.move import apply_move, legal_moves
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.past import PastResults
from lexmove.study.study import Study, StudySpec, decision_rng
from lexmove.study.trial import (
    Decision,
    Ended,
    Event,
    Measured,
    Measurement,
    Started,
    Suggestion,
    TrialStatus,
)

LENGTHS = (10, 25, 50, 100, 300, 1000)
NUM_STUDIES = 4
NUM_DECISIONS = 25

SPACE = SearchSpace(
    hyperparameters=(
        Hyperparameter(
            name="learning_rate", domain=Float(low=1e-6, high=1e-3, log=True, default=2e-5)
        ),
        Hyperparameter(name="batch_size", domain=Ordinal(values=(8, 16, 32, 64))),
        Hyperparameter(name="epochs", domain=Integer(low=1, high=10)),
        Hyperparameter(name="weight_decay", domain=Float(low=0.0, high=0.3)),
        Hyperparameter(name="warm_up", domain=Float(low=0.0, high=0.3)),
        Hyperparameter(name="scheduler", domain=Categorical(values=("linear", "cosine", "none"))),
        Hyperparameter(name="dropout", domain=Float(low=0.0, high=0.5)),
        Hyperparameter(name="label_smoothing", domain=Float(low=0.0, high=0.2)),
        Hyperparameter(name="max_length", domain=Ordinal(values=(64, 128, 256, 512))),
        Hyperparameter(name="use_lora", domain=Categorical(values=(False, True))),
        Hyperparameter(
            name="rank", domain=Integer(low=2, high=64, log=True), when={"use_lora": (True,)}
        ),
        Hyperparameter(name="layer_decay", domain=Float(low=0.7, high=1.0)),
    )
)


def _landscape(seed: int) -> Landscape:
    rng = np.random.default_rng(seed)
    centre, weights = rng.random(len(SPACE.searched)), rng.gamma(0.5, 2.0, len(SPACE.searched))

    def value(config: dict[str, object]) -> float:
        gaps = SPACE.to_unit(config) - centre
        return float(-np.log1p(weights @ gaps**2) + 0.02 * rng.standard_normal())

    return value


@cache
def _past(num: int) -> tuple[PastResults, ...]:
    """As many earlier studies of 100 trials, the tasks those of the first seeds."""
    from lexmove.agent.memory import PastStudy, past_results

    seeds = range(num)
    studies = [PastStudy.from_study(_history(100, seed, _landscape(seed))) for seed in seeds]
    return past_results(studies, SPACE)


def _history(length: int, seed: int, landscape: Landscape) -> Study:
    """Every other trial a random config, the others a random move from the best."""
    rng = np.random.default_rng(seed)
    events: list[Event] = []
    best, best_value = SPACE.default, -np.inf
    for index in range(length):
        config = SPACE.sample(rng)
        if index % 2:
            moves = legal_moves(SPACE, best, origin=None)
            config = apply_move(SPACE, best, moves[int(rng.integers(len(moves)))])
        value = landscape(config)
        best, best_value = (config, value) if value > best_value else (best, best_value)
        events += _trial(index, config, value)
    spec = StudySpec(name="timed", space=SPACE, num_trials=length + NUM_DECISIONS + 1, seed=seed)
    return Study.from_events(spec, events)


def _trial(index: int, config: Config, value: float) -> list[Event]:
    seq = 3 * index
    measurement = Measurement(fidelity=1, metrics={"value": value})
    return [
        Started(
            seq=seq,
            at_s=0.0,
            trial_id=index,
            config=dict(config),
            until=1,
            seed=0,
            decision=Decision(proposer="history"),
        ),
        Measured(seq=seq + 1, at_s=0.0, trial_id=index, measurement=measurement),
        Ended(seq=seq + 2, at_s=0.0, trial_id=index, status=TrialStatus.COMPLETED),
    ]


def _decisions_s(
    length: int, seed: int, propose: Callable[..., Suggestion | None], num_past: int
) -> list[float]:
    landscape = _landscape(seed)
    study = _history(length, seed, landscape)
    study = replace(study, spec=replace(study.spec, past=_past(num_past)))
    times: list[float] = []
    for _ in range(NUM_DECISIONS):
        rng = decision_rng(study)
        since = time.process_time()
        suggestion = propose(study, rng)
        times.append(time.process_time() - since)
        assert suggestion is not None
        study = start(study, suggestion)
        study = finish(study, newest(study, suggestion), landscape(suggestion.config))
    return times


def main() -> None:
    """Times every length and prints its row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="*", default=LENGTHS)
    parser.add_argument("--studies", type=int, default=NUM_STUDIES)
    parser.add_argument("--past", type=int, default=0)
    options = parser.parse_args()
    since = time.process_time()
    from lexmove.agent.proposer import PolicyProposer

    proposer = PolicyProposer()
    loaded = time.process_time()
    study = _history(5, 0, _landscape(0))
    built = time.process_time()
    proposer.propose(study, decision_rng(study))
    print(f"loading {1e3 * (loaded - since):.0f} ms; ", end="")
    print(f"first decision {1e3 * (time.process_time() - built):.0f} ms")
    print(f"{'trials':>7}{'median':>9}{'p90':>9}{'p99':>9}{'most':>9}  ms  {'memory':>9}")
    tracked = _Memory()
    for length in options.lengths:
        times = [
            value
            for seed in range(options.studies)
            for value in _decisions_s(length, seed, proposer.propose, options.past)
        ]
        cells = [*np.quantile(times, (0.5, 0.9, 0.99)), max(times)]
        row = "".join(f"{1e3 * cell:9.1f}" for cell in cells)
        print(f"{length:7}{row}      {tracked.growth_mib(proposer.propose, length):5.2f} MiB")


class _Memory:
    """What a run of decisions leaves behind."""

    def growth_mib(self, propose: Callable[..., Suggestion | None], length: int) -> float:
        study = _history(length, 99, _landscape(99))
        tracemalloc.start()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for seed in range(3):
            propose(study, np.random.default_rng(seed))
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return (after - before) / 2**20


if __name__ == "__main__":
    main()
