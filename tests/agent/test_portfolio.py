"""The start portfolio in a study: what memory offers, the default, Sobol points, then the floor."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from agent.landscapes import (
    MIXED,
    Landscape,
    config_of,
    fine_tuning,
    finish,
    new_study,
    play,
    random_study,
    rungs,
    start,
)
from lexmove.agent.floor import FloorProposer
from lexmove.agent.memory import PastStudy, past_results
from lexmove.space.domain import Categorical, Value
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from lexmove.study.starts import PlannedStart, asked_for
from lexmove.study.study import Study, StudySpec, decision_rng
from lexmove.study.trial import TrialStatus

STARTS = tuple(
    PlannedStart(
        config=config_of(MIXED, seed), source="tos", reason=f"from tos (trial {seed}: f1 0.8)"
    )
    for seed in range(4)
)


def remembering(**fields: object) -> Study:
    return new_study(MIXED, starts=STARTS, **fields)


def go_on(study: Study, *values: float | None) -> Study:
    """The study after one more trial for each value; None is a failure."""
    for value in values:
        suggestion = FloorProposer().propose(study, decision_rng(study))
        assert suggestion is not None
        study = finish(start(study, suggestion), len(study.trials), value)
    return study


def go_to_the_end(study: Study, *values: float) -> Study:
    """The study after its pilot has reached these values at its further rungs."""
    for value in values:
        suggestion = FloorProposer().propose(study, decision_rng(study))
        assert suggestion is not None
        assert suggestion.trial_id is not None
        study = finish(start(study, suggestion), suggestion.trial_id, value)
    return study


def experts(study: Study) -> list[str]:
    return [trial.decision.expert for trial in study.trials]


MEMORY, DEFAULT = "start:memory", "start:default"


def test_two_starts_of_memory_come_first_then_the_default_the_others_and_the_floor() -> None:
    study = go_on(remembering(), 0.2, 0.3, 0.1, 0.1, 0.2, 0.4)
    assert experts(study)[:5] == [MEMORY, MEMORY, DEFAULT, MEMORY, MEMORY]
    assert experts(study)[5].startswith("floor:")
    tried = [trial.config for trial in study.trials if trial.decision.expert == MEMORY]
    assert tried == [item.config for item in STARTS]
    assert study.trials[2].config == MIXED.default


def test_the_log_says_where_a_start_comes_from() -> None:
    study = go_on(remembering(), 0.1)
    assert study.trials[0].decision.text.startswith("from tos (trial 0: f1 0.8): learning_rate ")


def test_all_are_started_at_once_where_there_is_room() -> None:
    study = remembering(parallel=8)
    for _ in range(6):
        suggestion = FloorProposer().propose(study, decision_rng(study))
        assert suggestion is not None
        study = start(study, suggestion)
    assert experts(study) == [MEMORY, MEMORY, DEFAULT, MEMORY, MEMORY, "start:sobol"]


@pytest.mark.parametrize(
    ("values", "num_tried"),
    [
        ((0.4, 0.5, 0.5, 0.9, 0.9), 2),  # not above the default: memory misleads
        ((0.4, 0.6, 0.5, 0.9, 0.9), 4),
        ((None, None, 0.5, 0.9, 0.9), 2),
        ((None, 0.6, 0.5, 0.9, 0.9), 4),
        ((0.4, 0.3, None, 0.9, 0.9), 4),  # the default failed: anything is better
        ((None, None, None, 0.9, 0.9), 2),
    ],
)
def test_memory_is_believed_until_it_misleads(
    values: tuple[float | None, ...], num_tried: int
) -> None:
    assert experts(go_on(remembering(), *values)).count("start:memory") == num_tried


def test_starts_are_compared_at_the_first_rung() -> None:
    study = remembering(fidelity=rungs(maximum=9, eta=3))
    for trial_id, value in enumerate((0.5, 0.6)):
        suggestion = FloorProposer().propose(study, decision_rng(study))
        assert suggestion is not None
        study = finish(start(study, suggestion), trial_id, value, status=TrialStatus.PAUSED)
    # There the default comes first: it costs a rung.
    assert experts(study) == [DEFAULT, MEMORY]
    # The pilot's end is below the default's value at the first rung, which does not matter.
    study = go_to_the_end(study, 0.1, 0.1)
    assert study.trials[1].status is TrialStatus.COMPLETED
    suggestion = FloorProposer().propose(study, decision_rng(study))
    assert suggestion is not None
    assert (suggestion.trial_id, suggestion.decision.expert) == (None, MEMORY)


def asked(*seeds: int) -> tuple[PlannedStart, ...]:
    return tuple(asked_for(config_of(MIXED, seed), by="you") for seed in seeds)


def test_what_the_user_asks_for_comes_in_place_of_the_default() -> None:
    study = go_on(new_study(MIXED, starts=asked(7)), 0.1, 0.2, 0.3)
    assert experts(study) == ["start:asked", "start:sobol", "start:sobol"]
    study = go_on(new_study(MIXED, starts=(*asked(7, 8), *STARTS)), 0.4, 0.1, 0.2, 0.3, 0.1, 0.1)
    assert experts(study) == ["start:asked", "start:asked", *[MEMORY] * 4]


@pytest.mark.parametrize(
    ("values", "num_tried"),
    [
        ((0.2, 0.5, 0.1, 0.2, 0.9), 2),  # not above the worst that was asked for
        ((0.2, 0.5, 0.1, 0.3, 0.9), 3),
        ((None, 0.5, 0.1, 0.2, 0.9), 3),
    ],
)
def test_beside_what_was_asked_for_memory_is_measured_by_that(
    values: tuple[float | None, ...], num_tried: int
) -> None:
    study = go_on(new_study(MIXED, starts=(*asked(7, 8), *STARTS)), *values)
    assert experts(study).count(MEMORY) == num_tried


def with_results(landscape: Landscape) -> Study:
    """A study of a job whose memory holds the results of one such study, too."""
    past = [PastStudy.from_study(random_study(MIXED, num_trials=20, landscape=landscape))]
    return new_study(MIXED, starts=STARTS, past=past_results(past, MIXED), num_trials=12)


def test_where_earlier_results_hold_the_default_is_not_tried() -> None:
    study = play(with_results(fine_tuning), FloorProposer(), fine_tuning)
    assert experts(study)[:4] == [MEMORY] * 4
    assert DEFAULT not in experts(study)


def test_where_they_misrank_the_first_trials_memory_is_compared_with_the_default() -> None:
    study = play(with_results(lambda config: -fine_tuning(config)), FloorProposer(), fine_tuning)
    assert experts(study)[:5] == [*[MEMORY] * 4, DEFAULT]
    assert experts(study).count(DEFAULT) == 1


def test_where_time_is_the_limit_the_default_comes_first() -> None:
    study = with_results(fine_tuning)
    timed = replace(study, spec=replace(study.spec, wall_clock_s=3600.0))
    assert experts(go_on(timed, 0.1, 0.2)) == [DEFAULT, MEMORY]


def test_where_the_first_trials_are_all_alike_it_is_too() -> None:
    study = go_on(with_results(fine_tuning), 0.1, 0.1, 0.8)
    assert experts(study) == [MEMORY, MEMORY, DEFAULT]


def test_where_the_first_trials_fail_it_is_too() -> None:
    study = go_on(with_results(fine_tuning), None, None, None, 0.1)
    assert experts(study) == [MEMORY, MEMORY, MEMORY, DEFAULT]


def test_a_start_that_was_tried_is_not_tried_again() -> None:
    default = replace(STARTS[0], config=MIXED.default)
    study = go_on(new_study(MIXED, starts=(default, STARTS[1], STARTS[1])), 0.1, 0.2, 0.3)
    assert experts(study) == [MEMORY, MEMORY, "start:sobol"]


def test_a_start_outside_the_space_is_passed_over() -> None:
    forbidden = Config({**STARTS[0].config, "batch_size": 64, "use_lora": False})
    assert not MIXED.is_valid(forbidden)
    study = go_on(new_study(MIXED, starts=(replace(STARTS[0], config=forbidden),)), 0.1, 0.2)
    assert experts(study) == ["start:default", "start:sobol"]


def test_a_study_decides_alike_from_any_prefix() -> None:
    study = go_on(remembering(), 0.1, 0.2, 0.3, 0.1, 0.2, 0.4)
    stored = Study.from_events(StudySpec.from_json(study.spec.to_json()), study.events)
    for trial in study.trials:
        before = stored.prefix(trial.started.seq)
        suggestion = FloorProposer().propose(before, decision_rng(before))
        assert suggestion is not None
        assert (suggestion.config, suggestion.decision) == (trial.config, trial.decision)


def test_planned_starts_survive_the_store() -> None:
    spec = remembering().spec
    assert StudySpec.from_json(spec.to_json()) == spec
    old = {key: value for key, value in spec.to_json().items() if key != "starts"}
    assert StudySpec.from_json(old) == replace(spec, starts=())


def test_without_memory_nothing_changes() -> None:
    study = go_on(new_study(MIXED), 0.1, 0.2, 0.3)
    assert experts(study) == ["start:default", "start:sobol", "start:sobol"]
    assert np.isfinite(FloorProposer().propose(study, decision_rng(study)).decision.predicted_gain)


@pytest.mark.parametrize(
    ("values", "floor_from"),
    [
        ((0.5, None, 0.4, None, 0.3, 0.2), 5),  # three results
        ((0.5, None, None, None, 0.3, 0.2), 4),  # three failures, and one that held
        ((None, None, None, 0.5, 0.3, 0.2), 4),
        ((None, None, None, None, None, None), 6),  # nothing to move from
    ],
)
def test_where_most_configs_fail_one_result_is_enough(
    values: tuple[float | None, ...], floor_from: int
) -> None:
    decided = [expert.startswith("floor:") for expert in experts(go_on(new_study(MIXED), *values))]
    assert decided == [index >= floor_from for index in range(len(values))]


def test_a_good_config_is_found_where_few_configs_hold() -> None:
    """Neighbours that both differ from the default fail: 5,461 of 531,441 configs hold."""
    space = SearchSpace(
        hyperparameters=tuple(
            Hyperparameter(name=f"c{i}", domain=Categorical(values=(0, 1, 2))) for i in range(12)
        )
    )

    def objective(config: Mapping[str, Value]) -> float | None:
        levels = [int(value) for value in config.values()]
        if any(one and other for one, other in pairwise(levels)):
            return None
        return float(sum(levels))

    reached = []
    for seed in range(4):
        study = play(new_study(space, num_trials=40, seed=seed), FloorProposer(), objective)
        assert study.incumbent is not None
        reached.append(study.incumbent.value)
    # 12, 12, 10 and 10; with Sobol points until three have held 0, 0, 6 and 0.
    assert sum(value >= 8 for value in reached) >= 3
