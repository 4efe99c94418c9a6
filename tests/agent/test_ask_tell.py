"""AskTell: any order, failures, rungs, and errors that say the way out."""

import copy
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from agent.landscapes import FOUR, MIXED, fine_tuning, floats
from lexmove.agent.ask_tell import AskTell
from lexmove.agent.baselines import PROPOSERS
from lexmove.agent.gaussian_process import one_blas_thread
from lexmove.errors import InvalidConfigError, UsageError
from lexmove.space.search_space import Config
from lexmove.study.trial import TrialStatus


def test_it_finds_the_top_of_a_hill() -> None:
    agent = AskTell(floats(2), seed=1)
    for _ in range(20):
        asked = agent.ask()
        x, y = float(asked.config["x0"]), float(asked.config["x1"])
        agent.tell(asked.trial_id, -((x - 0.3) ** 2) - (y - 0.8) ** 2)
    assert agent.incumbent is not None
    # Measured: -1e-5 or better for seeds 0 to 4.
    assert agent.incumbent.value > -1e-3


def test_it_minimizes() -> None:
    agent = AskTell(floats(1), goal="minimize")
    assert agent.best_config is None
    assert repr(agent) == "<AskTell: 0 asked, nothing told>"
    for _ in range(12):
        asked = agent.ask()
        agent.tell(asked.trial_id, abs(float(asked.config["x0"]) - 0.77))
    assert agent.incumbent is not None
    assert agent.best_config == agent.study.trials[agent.incumbent.trial_id].config
    assert repr(agent).startswith("<AskTell: 12 asked, best ")
    assert agent.incumbent.value < 0.02


def test_several_asked_before_told_in_any_order() -> None:
    agent = AskTell(MIXED, parallel=4)
    asked = [agent.ask() for _ in range(4)]
    assert [one.trial_id for one in asked] == [0, 1, 2, 3]
    assert len({one.config for one in asked}) == 4
    for one in reversed(asked):
        agent.tell(one.trial_id, fine_tuning(one.config))
    assert all(trial.status is TrialStatus.COMPLETED for trial in agent.study.trials)
    assert agent.ask().trial_id == 4


def test_equal_seeds_and_answers_give_equal_suggestions() -> None:
    def asked(seed: int) -> list[object]:
        agent, configs = AskTell(MIXED, seed=seed), []
        for _ in range(6):
            one = agent.ask()
            configs.append((one.config, one.seed))
            agent.tell(one.trial_id, fine_tuning(one.config))
        return configs

    assert asked(3) == asked(3)
    assert asked(3) != asked(4)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"value": float("nan")}, "the value is nan at fidelity 1"),
        ({"value": float("inf")}, "the value is inf at fidelity 1"),
        ({"failed": "out of memory"}, "out of memory"),
    ],
)
def test_failures_are_outcomes(told: dict[str, object], reason: str) -> None:
    agent = AskTell(floats(1))
    agent.tell(agent.ask().trial_id, **told)
    trial = agent.study.trials[0]
    assert (trial.status, trial.reason) == (TrialStatus.FAILED, reason)
    assert agent.incumbent is None
    agent.tell(agent.ask().trial_id, 1.0)
    assert agent.incumbent is not None


def test_trials_climb_the_rungs_up_to_the_maximum() -> None:
    agent = AskTell(floats(2), max_fidelity=9, seed=2)
    asked = agent.ask()
    seen = {asked.trial_id: asked}
    for _ in range(30):
        for fidelity in range(agent.study.trials[asked.trial_id].fidelity + 1, asked.fidelity + 1):
            agent.tell(asked.trial_id, float(asked.config["x0"]) * fidelity**0.1, fidelity)
        asked = agent.ask()
        earlier = seen.setdefault(asked.trial_id, asked)
        assert (earlier.config, earlier.seed) == (asked.config, asked.seed)
    reached = [trial.fidelity for trial in agent.study.trials]
    assert {1, 3, 9} <= set(reached)
    assert reached.count(1) > reached.count(3) > 0
    finished = [trial for trial in agent.study.trials if trial.fidelity == 9]
    assert all(trial.status is TrialStatus.COMPLETED for trial in finished)


def test_every_mistake_says_the_way_out() -> None:
    agent = AskTell(floats(1))
    with pytest.raises(UsageError, match="trial 0 was never asked; the trials so far: none"):
        agent.tell(0, 1.0)
    agent.ask()
    with pytest.raises(UsageError, match="trial 7 was never asked; the trials so far: 0 to 0"):
        agent.tell(7, 1.0)
    with pytest.raises(UsageError, match="needs a value, or failed='why'"):
        agent.tell(0)
    with pytest.raises(UsageError, match="needs a number, not 'good'"):
        agent.tell(0, "good")
    with pytest.raises(UsageError, match="fidelity 3 of trial 0 is not a whole number between"):
        agent.tell(0, 1.0, fidelity=3)
    agent.tell(0, 1.0)
    with pytest.raises(UsageError, match="trial 0 was told already and is COMPLETED"):
        agent.tell(0, 1.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"goal": "max"}, "goal is 'max'; it must be 'maximize' or 'minimize'"),
        ({"parallel": 0}, "parallel is 0; it must be a whole number of at least 1"),
        ({"max_fidelity": 2.5}, "max_fidelity is 2.5; it must be a whole number"),
        ({"proposer": "tpe"}, "unknown proposer 'tpe'; known: policy"),
        ({"seed": -1}, "seed is -1; it must be a whole number of at least 0"),
        ({"seed": 1.5}, "seed is 1.5; it must be a whole number of at least 0"),
    ],
)
def test_wrong_arguments_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AskTell(floats(1), **fields)


def test_whole_numbers_may_be_those_of_numpy() -> None:
    agent = AskTell(floats(1), seed=np.int64(3), parallel=np.int32(2), max_fidelity=np.int64(9))
    asked = agent.ask()
    assert asked.config == AskTell(floats(1), seed=3, max_fidelity=9).ask().config
    agent.tell(np.int64(asked.trial_id), np.float32(0.5), fidelity=np.int32(1))
    (trial,) = agent.study.trials
    assert {type(event.trial_id) for event in trial.events} == {int}
    assert type(trial.fidelity) is int


@pytest.mark.parametrize("number", [True, 1.0, "1", np.True_])
def test_what_is_no_whole_number_names_neither_a_trial_nor_a_fidelity(number: object) -> None:
    agent = AskTell(floats(1))
    agent.ask()
    agent.ask()
    with pytest.raises(UsageError, match=f"trial {re.escape(repr(number))} was never asked"):
        agent.tell(number, 0.5)
    with pytest.raises(UsageError, match="of trial 0 is not a whole number between 1 and 1"):
        agent.tell(0, 0.5, fidelity=number)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"value": 0.9, "failed": False}, "failed is why it failed, in words, not False"),
        ({"failed": True}, "failed is why it failed, in words, not True"),
        ({"value": 0.9, "failed": "no"}, "has both a value and a failure"),
        ({}, "needs a value, or failed='why'; it has neither"),
        ({"value": 10**400}, "needs a number, not 1000"),
    ],
)
def test_a_trial_is_told_a_value_or_why_it_failed(told: dict, message: str) -> None:
    agent = AskTell(floats(1))
    agent.ask()
    with pytest.raises(UsageError, match=message):
        agent.tell(0, **told)
    agent.tell(0, 0.9)
    assert agent.incumbent is not None


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: AskTell(floats(1), starts={"x0": 0.5}), "starts is one config; give a list"),
        (lambda: AskTell(floats(1)).enqueue(None), "a config is a mapping of names to values"),
        (lambda: AskTell([]), r"a space is a SearchSpace, a mapping or a file's path, not \[\]"),
        (lambda: AskTell(None), "a space is a SearchSpace, a mapping or a file's path, not None"),
    ],
)
def test_what_is_no_space_and_no_config_is_refused(act: Callable, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        act()


def test_a_start_is_asked_as_its_space_writes_it() -> None:
    sizes = {"values": [8, 16, 32], "ordered": True}
    space = {"parameters": {"n": sizes, "x": {"min": 0.0, "max": 1.0}}}
    agent = AskTell(space, starts=[{"n": 16.0, "x": np.float32(0.5)}, {"n": np.int64(8), "x": 1}])
    for wanted in ({"n": 16, "x": 0.5}, {"n": 8, "x": 1.0}):
        config = agent.ask().config
        assert json.dumps(dict(config)) == json.dumps(wanted)


def test_threads_share_an_agent() -> None:
    """Every ask is a trial of its own, and every value that of the trial that it was told for."""
    agent, told = AskTell(floats(2), proposer="floor"), {}

    def work(_: int) -> None:
        asked = agent.ask()
        told[asked.trial_id] = asked.config
        agent.tell(asked.trial_id, float(asked.config["x0"]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    assert sorted(told) == list(range(40))
    for trial in agent.study.trials:
        assert trial.config == told[trial.trial_id]
        assert agent.study.best_score(trial) == told[trial.trial_id]["x0"]


def test_a_copy_goes_on_by_itself() -> None:
    agent = AskTell(floats(2))
    agent.tell(agent.ask().trial_id, 0.5)
    for copied in (copy.deepcopy(agent), pickle.loads(pickle.dumps(agent))):
        assert copied.ask() == AskTell.ask(copy.deepcopy(agent))


def test_a_decision_leaves_blas_its_threads() -> None:
    """One while it decides, and then as many as there were."""
    blas = ThreadpoolController().select(user_api="blas")
    with blas.limit(limits=2):
        with one_blas_thread():
            assert {library["num_threads"] for library in blas.info()} == {1}
        AskTell(floats(2)).ask()
        assert {library["num_threads"] for library in blas.info()} == {2}


def test_an_exhausted_space_says_so() -> None:
    agent = AskTell(FOUR)
    for _ in range(4):
        agent.ask()
    with pytest.raises(UsageError, match=r"nothing is left to suggest: no allowed .* all 4 that"):
        agent.ask()


LEVELS = [f"v{index}" for index in range(30)]
ISLANDS = {
    "parameters": {name: {"values": ["a", "b", "c"]} for name in "pqrstuvw"},
    "forbid": [
        {one: value, other: [it for it in "abc" if it != value]}
        for one, other in pairwise("pqrstuvw")
        for value in "abc"
    ],
}
"""Eight choices that must be alike: 3 configs of 6,561."""
CROSS = {
    "parameters": {name: {"values": LEVELS} for name in "abc"},
    "forbid": [{one: LEVELS[1:], other: LEVELS[1:]} for one, other in ("ab", "ac", "bc")],
}
"""At most one choice off its default: 88 configs of 27,000."""
GRID = {"parameters": {name: {"min": 1, "max": 25} for name in "xy"}}


@pytest.mark.parametrize("proposer", ["floor", *sorted({*PROPOSERS} - {"floor", "policy"})])
@pytest.mark.parametrize(
    ("space", "num_allowed"),
    [(ISLANDS, 3), (CROSS, 88), pytest.param(GRID, 625, marks=pytest.mark.slow)],
)
def test_every_allowed_config_is_found(
    space: dict[str, object], num_allowed: int, proposer: str
) -> None:
    agent = AskTell(space, proposer=proposer)
    configs = set()
    for index in range(num_allowed):
        asked = agent.ask()
        configs.add(asked.config)
        agent.tell(asked.trial_id, float(index % 7))
    assert len(configs) == num_allowed
    with pytest.raises(UsageError, match="nothing is left to suggest"):
        agent.ask()


@pytest.mark.parametrize("proposer", sorted(PROPOSERS))
def test_a_constant_may_be_a_part_of_some_configs_only(proposer: str) -> None:
    """What depends on it, by `when` or `forbid`, goes by whether it is there."""
    agent = AskTell(
        {
            "parameters": {
                "optimizer": {"values": ["adam", "sgd"]},
                "mode": {"value": "m", "when": {"optimizer": "sgd"}},
                "momentum": {"values": [0.1, 0.5, 0.9], "when": {"mode": "m"}},
                "k": {"values": ["a", "b"]},
            },
            "forbid": [{"mode": "m", "k": "b"}],
        },
        proposer=proposer,
    )
    asked = {agent.ask().config for _ in range(5)}
    adam = [{"optimizer": "adam", "k": k} for k in "ab"]
    sgd = [
        {"optimizer": "sgd", "mode": "m", "momentum": momentum, "k": "a"}
        for momentum in (0.1, 0.5, 0.9)
    ]
    assert asked == set(map(Config, adam + sgd))
    with pytest.raises(UsageError, match="nothing is left to suggest"):
        agent.ask()


def test_a_wide_whole_number_beside_a_short_list_takes_no_longer() -> None:
    agent = AskTell(
        {"parameters": {"steps": {"min": 1, "max": 2**40}, "optimizer": {"values": ["a", "b"]}}}
    )
    for _ in range(8):
        asked = agent.ask()
        agent.tell(asked.trial_id, float(asked.config["steps"]))


def test_a_space_may_be_given_in_the_form_of_the_file() -> None:
    agent = AskTell({"parameters": {"x": {"min": 0.0, "max": 1.0}, "k": {"values": ["a", "b"]}}})
    assert set(agent.ask().config) == {"x", "k"}


def test_what_is_enqueued_is_asked_next_whatever_was_told() -> None:
    agent = AskTell(floats(2), seed=3, starts=[{"x0": 0.2}])
    first = agent.ask()
    assert dict(first.config) == {"x0": 0.2, "x1": 0.5}
    assert (first.decision.expert, first.decision.text[:17]) == ("start:asked", "asked for by you:")
    agent.tell(first.trial_id, 0.1)
    for value in (0.0, 0.3, 0.2, 0.1, 0.25):
        agent.tell(agent.ask().trial_id, value)
    agent.enqueue({"x0": 0.9, "x1": 0.1})
    agent.enqueue({"x0": 0.9004, "x1": 0.1})  # too near for the agent itself
    assert dict(agent.ask().config) == {"x0": 0.9, "x1": 0.1}
    assert dict(agent.ask().config) == {"x0": 0.9004, "x1": 0.1}
    assert agent.ask().decision.expert != "start:asked"
    with pytest.raises(
        InvalidConfigError, match=r"x0 = 2.0 is not possible: it is a number in \[0.0, 1.0\]"
    ):
        agent.enqueue({"x0": 2.0})
    with pytest.raises(UsageError, match="trial 0 was asked with just this config"):
        agent.enqueue({"x0": 0.2})
    agent.enqueue({"x0": 0.7})
    with pytest.raises(UsageError, match="just this config waits to be asked already"):
        agent.enqueue({"x0": 0.7})


@pytest.mark.parametrize("proposer", sorted(PROPOSERS))
def test_every_proposer_tries_what_is_enqueued(proposer: str) -> None:
    agent = AskTell(MIXED, proposer=proposer, starts=[{"epochs": 9}])
    configs = [agent.ask().config for _ in range(2)]
    assert MIXED.config({"epochs": 9}) in configs


def test_it_needs_no_ray() -> None:
    script = (
        "import sys\n"
        "from lexmove.agent.ask_tell import AskTell\n"
        "AskTell({'parameters': {'x': {'min': 0.0, 'max': 1.0}}}).ask()\n"
        "print(sorted({'ray', 'transformers', 'gymnasium'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
