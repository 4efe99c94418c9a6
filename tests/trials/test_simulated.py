"""The simulated objective: its truth, its noise and its faults."""

import math
import pickle
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexmove.errors import InfeasibleError, TrialFailedError
from lexmove.space.domain import Categorical, Float, Integer, Ordinal
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.study.trial import Segment
from lexmove.trials.simulated import SimulatedObjective

SPACE = SearchSpace(
    hyperparameters=(
        Hyperparameter(name="rate", domain=Float(low=1e-6, high=1e-2, log=True)),
        Hyperparameter(name="decay", domain=Float(low=0.0, high=0.3)),
        Hyperparameter(name="layers", domain=Integer(low=1, high=6)),
        Hyperparameter(name="batch", domain=Ordinal(values=(8, 16, 32, 64))),
        Hyperparameter(name="pooling", domain=Categorical(values=("mean", "cls", "max"))),
        Hyperparameter(
            name="rank", domain=Integer(low=1, high=64, log=True), when={"pooling": ("mean",)}
        ),
    )
)
SEEDS = st.integers(0, 2**32)


def run(objective, folder, *, trial_id=0, until=3, after=0, resume_from=None, config=None):
    reported = []
    segment = Segment(
        trial_id=trial_id,
        config=config or SPACE.default,
        seed=11,
        until=until,
        after=after,
        resume_from=resume_from,
    )
    objective(segment, trial_dir=folder, report=reported.append)
    return reported


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, draw=SEEDS)
def test_values_grow_with_fidelity_and_stay_between_floor_and_top(seed, draw):
    objective = SimulatedObjective(space=SPACE, seed=seed, max_fidelity=5)
    config = SPACE.sample(np.random.default_rng(draw))
    curve = [objective.value(config, fidelity) for fidelity in range(1, 6)]
    assert all(objective.floor <= value <= objective.top for value in curve)
    assert all(later >= earlier for earlier, later in pairwise(curve))
    assert curve[-1] == objective.value(config)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_above_the_optimum(seed):
    objective = SimulatedObjective(space=SPACE, seed=seed)
    best, value = objective.optimum
    assert SPACE.is_valid(best)
    assert value == objective.value(best) <= objective.top
    rng = np.random.default_rng(seed + 100)
    others = [objective.value(SPACE.sample(rng)) for _ in range(300)]
    assert max(others) <= value
    # Room to search: random configs are spread well below.
    assert np.median(others) < value - 0.15


def test_a_space_without_discrete_dimensions_reaches_the_top():
    space = SearchSpace(
        hyperparameters=tuple(
            Hyperparameter(name=name, domain=Float(low=0.0, high=1.0)) for name in "abc"
        )
    )
    for seed in range(5):
        objective = SimulatedObjective(space=space, seed=seed)
        assert objective.optimum[1] == pytest.approx(objective.top, abs=1e-6)


def test_some_dimensions_matter_and_curves_cross():
    crossed = irrelevant = 0
    for seed in range(10):
        objective = SimulatedObjective(space=SPACE, seed=seed, max_fidelity=9)
        rng = np.random.default_rng(seed)
        configs = [SPACE.sample(rng) for _ in range(40)]
        early = np.argsort([objective.value(config, 1) for config in configs])
        late = np.argsort([objective.value(config) for config in configs])
        crossed += int((early != late).any())
        without = [objective.value({**config, "decay": 0.1}) for config in configs]
        irrelevant += int(np.allclose(without, [objective.value(config) for config in configs]))
    assert crossed == 10
    assert 1 <= irrelevant <= 9


def test_noise_depends_on_the_segment_and_the_fidelity_only(tmp_path):
    objective = SimulatedObjective(space=SPACE, max_fidelity=3, noise_std=0.05)
    once, again = (run(objective, tmp_path) for _ in range(2))
    assert [item.metrics for item in once] == [item.metrics for item in again]
    values = [objective.measure(SPACE.default, 3, seed=seed) for seed in range(400)]
    assert np.mean(values) == pytest.approx(objective.value(SPACE.default), abs=0.01)
    assert np.std(values) == pytest.approx(0.05, rel=0.1)
    assert not list(tmp_path.iterdir()), "no checkpoints unless told"


def test_it_continues_from_its_checkpoint(tmp_path):
    objective = SimulatedObjective(
        space=SPACE, max_fidelity=3, metric="f1_macro", write_checkpoints=True
    )
    straight = run(objective, tmp_path / "a")
    first = run(objective, tmp_path / "b", until=1)
    rest = run(objective, tmp_path / "b", after=1, resume_from=first[0].checkpoint)
    assert [item.metrics for item in first + rest] == [item.metrics for item in straight]
    assert set(straight[0].metrics) == {"f1_macro"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda state: state.unlink(), "is missing"),
        (lambda state: state.write_text("{"), "is damaged"),
        (lambda state: state.write_text('{"fidelity": 2}'), "another trial or fidelity"),
    ],
)
def test_a_checkpoint_that_does_not_fit_fails_the_trial(tmp_path, damage, message):
    objective = SimulatedObjective(space=SPACE, max_fidelity=3, write_checkpoints=True)
    (first,) = run(objective, tmp_path, until=1)
    damage(Path(first.checkpoint) / "state.json")
    with pytest.raises(TrialFailedError, match=message):
        run(objective, tmp_path, after=1, resume_from=first.checkpoint)
    with pytest.raises(TrialFailedError, match="no checkpoint"):
        run(objective, tmp_path, after=1)


@pytest.mark.parametrize(
    ("fault", "error"),
    [("raise", RuntimeError), ("fail", TrialFailedError), ("memory", InfeasibleError)],
)
def test_a_fault_strikes_its_trial_at_its_fidelity(tmp_path, fault, error):
    objective = SimulatedObjective(space=SPACE, max_fidelity=3, faults={4: fault}, fault_at=2)
    assert len(run(objective, tmp_path, trial_id=3)) == 3
    reported = []
    segment = Segment(trial_id=4, config=SPACE.default, seed=0, until=3)
    with pytest.raises(error, match="simulated"):
        objective(segment, trial_dir=tmp_path, report=reported.append)
    assert [item.fidelity for item in reported] == [1]


def test_a_nan_is_reported(tmp_path):
    objective = SimulatedObjective(space=SPACE, faults={0: "nan"})
    assert math.isnan(run(objective, tmp_path, until=1)[0].metrics["value"])


@pytest.mark.parametrize(("fault", "second"), [("kill", -signal.SIGKILL), ("kill_once", 0)])
def test_a_killed_process_dies_each_time_or_only_once(tmp_path, fault, second):
    code = (
        "import sys; from pathlib import Path\n"
        "from lexmove.space.domain import Float\n"
        "from lexmove.space.search_space import Hyperparameter, SearchSpace\n"
        "from lexmove.study.trial import Segment\n"
        "from lexmove.trials.simulated import SimulatedObjective\n"
        "space = SearchSpace(hyperparameters=(\n"
        "    Hyperparameter(name='x', domain=Float(low=0.0, high=1.0)),))\n"
        "objective = SimulatedObjective(space=space, faults={0: sys.argv[1]})\n"
        "segment = Segment(trial_id=0, config=space.default, seed=0, until=1)\n"
        "objective(segment, trial_dir=Path(sys.argv[2]), report=print)\n"
    )
    command = [sys.executable, "-c", code, fault, str(tmp_path / "trial")]
    codes = [subprocess.run(command, capture_output=True, check=False).returncode for _ in range(2)]
    assert codes == [-signal.SIGKILL, second]


def test_it_travels_and_still_says_the_same():
    objective = SimulatedObjective(space=SPACE, seed=3, faults={1: "hang"})
    copied = pickle.loads(pickle.dumps(objective))
    assert copied == objective
    assert copied.value(SPACE.default) == objective.value(SPACE.default)
