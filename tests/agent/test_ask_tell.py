"""AskTell: any order, failures, rungs, and errors that say the way out."""

import subprocess
import sys

import pytest

from agent.landscapes import FOUR, MIXED, fine_tuning, floats
from lexmove.agent.ask_tell import AskTell
from lexmove.agent.baselines import PROPOSERS
from lexmove.errors import InvalidConfigError, UsageError
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
    ],
)
def test_wrong_arguments_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AskTell(floats(1), **fields)


def test_an_exhausted_space_says_so() -> None:
    agent = AskTell(FOUR)
    for _ in range(4):
        agent.ask()
    with pytest.raises(UsageError, match="nothing is left to suggest: all 4 configs"):
        agent.ask()


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
