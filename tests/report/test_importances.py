"""Importances: both measures, at equal training, and only where they mean something."""

import pytest

from lexmove.report.chronicle import chronicle_of
from lexmove.report.importances import MIN_TRIALS, importances_of
from lexmove.study.study import Study
from report.studies import simulated_study


def test_both_measures_are_shares_of_what_all_configs_have(hundred: Study) -> None:
    found = importances_of(chronicle_of(hundred))
    assert found is not None
    for shares in (found.ped_anova, found.fanova):
        assert sum(shares.values()) == pytest.approx(1.0)
        assert set(shares) == {
            *("learning_rate", "per_device_train_batch_size", "lr_scheduler_type"),
            *("warmup_ratio", "peft.use_lora"),
        }
    assert list(found.left_out) == ["peft.r", "peft.lora_alpha"]
    assert found.ped_anova != found.fanova
    assert found.fidelity == 1, "that is what most trials have"


def test_they_are_the_same_each_time(hundred: Study) -> None:
    assert importances_of(chronicle_of(hundred)) == importances_of(chronicle_of(hundred))


@pytest.mark.parametrize("num_trials", [0, 5, MIN_TRIALS - 1])
def test_of_few_trials_there_are_none(num_trials: int) -> None:
    assert importances_of(chronicle_of(simulated_study(num_trials, failing=0.0))) is None
