"""A study with several lanes and pauses is decided again, in another process, from its record."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator.replaying import replay
from coordinator.studies import SPACE
from lexmove.agent.baselines import make_proposer
from lexmove.coordinator.coordinator import Coordinator
from lexmove.coordinator.store import open_store
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Continued, Measurement, Segment
from lexmove.trials.simulated import SimulatedObjective

NUM_LANES = 3


def record(url: str, proposer: str) -> Study:
    """Three lanes that end in any order, sometimes lose their workers, and pause at rungs."""
    store = open_store(url)
    plan = FidelityPlan(maximum=4, eta=2)
    store.create(
        StudySpec(name="s", space=SPACE, num_trials=16, parallel=NUM_LANES, fidelity=plan, seed=5)
    )
    coordinator = Coordinator(store=store, name="s", proposer=make_proposer(proposer))
    objective = SimulatedObjective(space=SPACE, seed=1, max_fidelity=4)
    chance, busy = random.Random(0), []
    while True:
        while len(busy) < NUM_LANES and (segment := coordinator.assign()) is not None:
            busy.append(segment)
        if not busy:
            break
        segment = busy.pop(chance.randrange(len(busy)))
        if chance.random() < 0.1:
            coordinator.preempted(segment.trial_id, "its worker died")
        else:
            finish(coordinator, objective, segment)
    coordinator.close()
    return store.load("s")


def finish(coordinator: Coordinator, objective: SimulatedObjective, segment: Segment) -> None:
    for fidelity in range(segment.after + 1, segment.until + 1):
        value = objective.measure(segment.config, fidelity, seed=segment.seed)
        coordinator.measured(
            segment.trial_id, Measurement(fidelity=fidelity, metrics={"value": value})
        )
    coordinator.segment_ended(segment.trial_id)


@pytest.mark.parametrize("proposer", ["floor", "policy"])
def test_a_recorded_study_is_decided_alike_in_another_process(tmp_path: Path, proposer: str):
    url = f"sqlite:///{tmp_path}/studies.db"
    study = record(url, proposer)
    continued = [event for event in study.events if isinstance(event, Continued)]
    assert any(event.decision is not None for event in continued), "a paused trial went on"
    assert any(event.decision is None for event in continued), "one lost its worker"
    tests = Path(__file__).parents[1]
    paths = os.pathsep.join((str(tests), str(tests.parent / "platform")))
    replayed = subprocess.run(
        [sys.executable, tests / "coordinator" / "replaying.py", url, "s", proposer],
        env=os.environ | {"PYTHONPATH": paths, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert replayed.returncode == 0, replayed.stderr
    assert int(replayed.stdout) == len(study.decisions) > study.spec.num_trials


def test_a_record_that_was_changed_is_told(tmp_path: Path):
    study = record(f"sqlite:///{tmp_path}/studies.db", "floor")
    events = list(study.events)
    first = next(i for i, event in enumerate(events) if event.trial_id == 5)
    config = dict(events[first].config) | {"decay": 0.123}
    from dataclasses import replace

    events[first] = replace(events[first], config=config)
    with pytest.raises(ValueError, match=f"event {first}: "):
        replay(Study.from_events(study.spec, events), "floor")
