"""How studies of our arms begin: what is remembered is of other tasks, what is asked for first."""

from dataclasses import replace

from benchmarks.search.arm import straight
from benchmarks.search.beginnings import PLAIN, Begun, Past, asked_first
from benchmarks.search.play import Budget, played
from lexmove.agent.baselines import make_proposer
from search_benchmark.tiny_comparison import SPACE, task

LOW, HIGH = task("low", 0.3), task("high", 0.7)


def test_the_past_of_the_other_task_is_remembered_and_not_its_own():
    taught = Past([LOW, HIGH], seed=0).teach(LOW)
    assert {results.source for results in taught.past} == {"high-0"}
    # The other task's best place; its own is at .3.
    assert abs(taught.starts[0].config["x"] - 0.7) < 0.15
    assert all(SPACE.is_valid(start.config) for start in taught.starts)


def test_every_seed_has_a_past_of_its_own():
    first, again, other = (Past([LOW, HIGH], seed=seed).teach(LOW) for seed in (0, 0, 1))
    assert first == again
    assert first.past != other.past


def test_in_a_pool_every_start_is_tried_once():
    """One that the pool lacks was asked for again and again, as its next nearest configs."""
    pool = tuple({"x": number / 20, "n": 2} for number in range(21))
    pooled = replace(LOW, pool=pool)
    taught = Past([LOW, HIGH], seed=0).teach(pooled)
    configs = [start.config for start in taught.starts]
    assert configs
    assert all(dict(config) in pool for config in configs)
    proposer = Begun(make_proposer("floor"), taught)
    trials = played(pooled, proposer, Budget(trials=12), plan=straight(pooled), seed=0).study.trials
    planned = [trial.config for trial in trials if trial.decision.expert == "start:memory"]
    assert planned == configs[: len(planned)]
    assert 0 < len(planned) <= len(configs)


def test_handed_starts_are_asked_for_before_what_memory_offers():
    taught = Past([LOW, HIGH], seed=0).teach(LOW)
    begun = asked_first(LOW, [{"x": 0.25, "n": 2}, {"x": 0.5, "n": 1}], taught)
    assert [start.is_asked for start in begun.starts[:3]] == [True, True, False]
    assert begun.starts[2:] == taught.starts
    assert begun.past == taught.past
    proposer = Begun(make_proposer("floor"), begun)
    trials = played(LOW, proposer, Budget(trials=8), plan=straight(LOW), seed=0).study.trials
    experts = [trial.decision.expert for trial in trials]
    assert experts[:3] == ["start:asked", "start:asked", "start:memory"]
    assert "start:default" not in experts


def test_in_a_pool_handed_starts_are_tried_once():
    pool = tuple({"x": number / 20, "n": 2} for number in range(21))
    pooled = replace(LOW, pool=pool)
    begun = asked_first(pooled, [{"x": 0.26, "n": 2}, {"x": 0.73, "n": 1}])
    assert [dict(start.config) for start in begun.starts] == [pool[5], pool[15]]
    assert begun.past == PLAIN.past
    proposer = Begun(make_proposer("floor"), begun)
    trials = played(pooled, proposer, Budget(trials=6), plan=straight(pooled), seed=0).study.trials
    asked = [trial.config for trial in trials if trial.decision.expert == "start:asked"]
    assert asked == [start.config for start in begun.starts]
