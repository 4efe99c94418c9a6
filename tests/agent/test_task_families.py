"""Task families: valid, deterministic, and of the kind that they say."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from lexmove.agent.encoding import Encoding
from lexmove.agent.pretraining.regret import Regret, potential, true_values
from lexmove.agent.pretraining.study_tasks import StudyMix, usable
from lexmove.agent.pretraining.synthetic_objective import METRIC, SyntheticObjective
from lexmove.agent.pretraining.task_families import (
    FAMILIES,
    HELD_OUT_MIX,
    TRAINING_MIX,
    FamilyMix,
    draw_space,
)
from lexmove.errors import InfeasibleError, TrialFailedError, UsageError
from lexmove.space.domain import Float
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import (
    Decision,
    Ended,
    Measured,
    Measurement,
    Segment,
    Started,
    TrialStatus,
)

NUM_TASKS = 12


def tasks_of(name: str, num_tasks: int = NUM_TASKS) -> list[SyntheticObjective]:
    return [FAMILIES[name](np.random.default_rng(seed))[1] for seed in range(num_tasks)]


def some_units(objective: SyntheticObjective, num: int = 200) -> np.ndarray:
    rng = np.random.default_rng(0)
    return objective.encoding.snap(rng.random((num, objective.encoding.num_dims)))


def run(objective: SyntheticObjective, config, *, after: int, until: int, seed: int = 3):
    measured: list[Measurement] = []
    segment = Segment(trial_id=0, config=config, seed=seed, after=after, until=until)
    objective(segment, trial_dir=Path(), report=measured.append)
    return measured


def test_every_family_is_trained_on_or_held_out_and_none_is_both() -> None:
    assert set(TRAINING_MIX) | set(HELD_OUT_MIX) == set(FAMILIES)
    assert not set(TRAINING_MIX) & set(HELD_OUT_MIX)
    kinds = {name.split("_")[0] for name in FAMILIES}
    assert {name.split("_")[0] for name in HELD_OUT_MIX} == kinds, "a variant of every class"


@pytest.mark.parametrize("name", FAMILIES)
def test_configs_and_points_agree(name: str) -> None:
    for objective in tasks_of(name):
        space, rng = objective.encoding.space, np.random.default_rng(1)
        configs = [space.sample(rng) for _ in range(10)]
        one_by_one = [objective.value(config, objective.max_fidelity) for config in configs]
        units = np.stack([space.to_unit(config) for config in configs])
        at_once = objective.values(units, objective.max_fidelity)
        assert one_by_one == pytest.approx(at_once, nan_ok=True)
        assert np.isfinite(at_once).any()


@pytest.mark.parametrize("name", FAMILIES)
def test_tasks_are_neither_flat_nor_lost(name: str) -> None:
    for objective in tasks_of(name):
        regret = Regret.of(
            objective, objective.encoding.space, objective.max_fidelity, np.random.default_rng(0)
        )
        scores = true_values(
            objective, objective.encoding, some_units(objective), objective.max_fidelity
        )
        assert regret.best > regret.median
        assert np.isfinite(scores).mean() > 0.5, "failures take less than half of the space"
        # The best lies where a search has something to find, and far above the noise.
        assert np.mean(scores > regret.best - 0.05 * (regret.best - regret.median)) < 0.5
        assert objective.noise < 0.5 * (regret.best - regret.median)


def test_seeds_decide_tasks_and_pickles_are_the_same() -> None:
    mix = FamilyMix()
    for seed in range(8):
        (space, one), (other_space, other) = mix(seed), pickle.loads(pickle.dumps(mix))(seed)
        assert space == other_space
        config = space.sample(np.random.default_rng(0))
        assert one.value(config, 1) == pytest.approx(other.value(config, 1), nan_ok=True)
    names = {mix(seed)[1].family for seed in range(40)}
    assert names == {"process", "network", "fine-tuning"}


def test_a_mix_of_unknown_families_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'process_smooth'"):
        FamilyMix(weights={"proces_smooth": 1.0})
    with pytest.raises(UsageError, match="must be above 0"):
        FamilyMix(weights={"process_smooth": 0.0})


def test_spaces_have_all_kinds_of_domains() -> None:
    spaces = [draw_space(np.random.default_rng(seed)) for seed in range(150)]
    sizes = [len(space.hyperparameters) for space in spaces]
    assert min(sizes) == 2
    assert max(sizes) == 12
    kinds = {type(item.domain).__name__ for space in spaces for item in space.hyperparameters}
    assert kinds == {"Float", "Integer", "Ordinal", "Categorical"}
    assert any(item.when for space in spaces for item in space.hyperparameters)
    for space in spaces:
        units = Encoding(space).snap(np.random.default_rng(0).random((5, len(space.searched))))
        assert all(space.is_valid(space.from_unit(row)) for row in units)


def with_curves() -> SyntheticObjective:
    return tasks_of("tuning_curves", 1)[0]


def test_a_trial_in_segments_is_the_trial_in_one() -> None:
    objective = with_curves()
    space = objective.encoding.space
    rng = np.random.default_rng(0)
    config = next(
        config
        for config in (space.sample(rng) for _ in range(100))
        if np.isfinite(objective.value(config, objective.max_fidelity))
    )
    whole = run(objective, config, after=0, until=objective.max_fidelity)
    parts = run(objective, config, after=0, until=2)
    parts += run(objective, config, after=2, until=objective.max_fidelity)
    assert parts == whole
    assert [item.fidelity for item in whole] == list(range(1, objective.max_fidelity + 1))
    assert all(item.duration_s > 0 for item in whole)
    final = objective.value(config, objective.max_fidelity)
    assert whole[-1].metrics[METRIC] == pytest.approx(final, abs=6 * objective.noise)


def test_curves_rise_to_the_final_score_and_cross() -> None:
    crossings = 0
    for objective in tasks_of("tuning_curves"):
        units = some_units(objective)
        full = objective.max_fidelity
        curves = np.stack([objective.values(units, epoch) for epoch in range(1, full + 1)])
        assert curves[-1] == pytest.approx(objective.values(units, 10 * full), nan_ok=True)
        kept = curves[:, np.isfinite(curves).all(axis=0)]
        assert np.mean(np.diff(kept, axis=0) >= -1e-9) > 0.95
        early, late = kept[0].argsort().argsort(), kept[-1].argsort().argsort()
        crossings += np.corrcoef(early, late)[0, 1] < 0.98
    assert crossings > NUM_TASKS / 2


def test_some_curves_of_the_overfitting_family_pass_a_peak() -> None:
    falling = 0
    for objective in tasks_of("tuning_overfitting", 24):
        if objective.curves is None:
            continue
        units, full = some_units(objective), objective.max_fidelity
        last = objective.values(units, full)
        peak = np.max([objective.values(units, epoch) for epoch in range(1, full)], axis=0)
        falling += bool(np.nanmax(peak - last) > 0)
    assert falling >= 5


def test_crash_regions_have_about_their_share_and_raise() -> None:
    shares, raised = [], set()
    for objective in tasks_of("network_crashing", 40):
        if objective.crash is None:
            continue
        units = some_units(objective)
        fails = objective.crash(units)
        shares.append(fails.mean())
        for row in units[fails][:1]:
            with pytest.raises((InfeasibleError, TrialFailedError)) as error:
                run(objective, objective.encoding.space.from_unit(row), after=0, until=1)
            raised.add(error.type)
    assert 0.1 < np.mean(shares) < 0.3
    assert max(shares) < 0.5
    assert raised == {InfeasibleError, TrialFailedError}


def test_run_times_depend_on_the_config() -> None:
    for objective in tasks_of("process_rough"):
        seconds = np.exp(objective.cost(some_units(objective)))
        assert seconds.max() / seconds.min() > 1.5


def test_regret_finds_a_best_that_random_configs_miss() -> None:
    space = SearchSpace(
        hyperparameters=tuple(
            Hyperparameter(name=f"h{i}", domain=Float(low=0.0, high=1.0)) for i in range(8)
        )
    )

    class Peak:
        """A bowl whose top is 0, a place that 256 random configs of 8 dimensions never find."""

        def value(self, config, fidelity: int) -> float:
            return -float(((space.to_unit(config) - 0.31) ** 2).sum())

        def __call__(self, segment, *, trial_dir, report) -> None:
            report(Measurement(fidelity=1, metrics={METRIC: self.value(segment.config, 1)}))

    rng = np.random.default_rng(0)
    by_chance = max(Peak().value(space.sample(rng), 1) for _ in range(256))
    regret = Regret.of(Peak(), space, 1, np.random.default_rng(1))
    # Measured: -0.003 after local search, -0.16 by chance.
    assert regret.best > 0.05 * by_chance
    assert regret(regret.best) == 0
    assert regret(regret.median) == regret(float("nan")) == 1
    assert potential(0.0) > potential(0.1) > potential(1.0)


def past_study(num_trials: int) -> Study:
    """A finished study of a bowl with its top at .7, in which low values fail."""
    space = SearchSpace(
        hyperparameters=(
            Hyperparameter(name="rate", domain=Float(low=0.0, high=1.0)),
            Hyperparameter(name="decay", domain=Float(low=0.0, high=1.0)),
        )
    )
    events, rng = [], np.random.default_rng(0)
    for trial_id in range(num_trials):
        config, at = space.sample(rng), {"at_s": 0.0, "trial_id": trial_id}
        decision = Decision(proposer="random")
        events.append(
            Started(seq=len(events), config=config, until=1, seed=0, decision=decision, **at)
        )
        value = -((config["rate"] - 0.7) ** 2)
        status = TrialStatus.FAILED if config["rate"] < 0.2 else TrialStatus.COMPLETED
        if status is TrialStatus.COMPLETED:
            measurement = Measurement(fidelity=1, metrics={"value": value})
            events.append(Measured(seq=len(events), measurement=measurement, **at))
        events.append(Ended(seq=len(events), status=status, **at))
    spec = StudySpec(name="past", space=space, num_trials=num_trials)
    return Study.from_events(spec, events)


def test_a_past_study_becomes_a_task_that_looks_like_it() -> None:
    study = past_study(40)
    assert usable([past_study(6), study]) == (study,)
    mix = pickle.loads(pickle.dumps(StudyMix(studies=(study,), ratio=1.0)))
    tops = []
    for seed in range(5):
        space, objective = mix(seed)
        assert space == study.spec.space
        rates = np.linspace(0.0, 1.0, 101)
        values = objective.values(np.column_stack([rates, np.full(101, 0.5)]), 1)
        assert np.isnan(values[:10]).all(), "what failed then fails now"
        tops.append(rates[np.nanargmax(values)])
    assert np.abs(np.array(tops) - 0.7).max() < 0.15
    assert StudyMix(studies=(study, study)).weights["study past"] == 0.25
    assert sum(StudyMix(studies=(study,), ratio=0.3).weights.values()) == pytest.approx(1.0)
    assert {StudyMix(studies=(study,))(seed)[1].family for seed in range(40)} > {"study past"}
