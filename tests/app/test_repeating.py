"""Which configs are repeated, and by which seeds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.judged_study import run_study
from cli.studies import NAME, RATES, decision, make_store
from lexmove.app import stored
from lexmove.app.repeating import repetition_stage
from lexmove.coordinator.repetitions import RepetitionProposer
from lexmove.coordinator.store import open_store
from lexmove.results.summary import DEFAULT_ARM, repeated_arms
from lexmove.study.protocols import TrialStore
from lexmove.study.study import Study
from lexmove.study.trial import Ended, Measured, Measurement, Started, TrialStatus


@pytest.fixture
def store(tmp_path: Path) -> TrialStore:
    return open_store(make_store(tmp_path))


def proposed(store: TrialStore, study: Study, **finalists: int) -> RepetitionProposer:
    job = stored.job_of(study)
    if finalists:
        asked = job.finalists.model_copy(update=finalists)
        job = job.model_copy(update={"finalists": asked})
    stage = repetition_stage(store, job, study, lambda phase, state: None)
    assert stage is not None
    proposer = stage.coordinator.proposer
    assert isinstance(proposer, RepetitionProposer)
    return proposer


def before_trial(study: Study, trial_id: int) -> Study:
    return study.prefix(study.trials[trial_id].started.seq)


def longer(store: TrialStore, rate: float, value: float) -> Study:
    """The study with one trial more."""
    study = store.load(NAME)
    trial_id, seq, at_s = len(study.trials), study.num_events, 1.8e9
    measurement = Measurement(fidelity=1, metrics={study.spec.metric: value}, duration_s=1.0)
    common = {"at_s": at_s, "trial_id": trial_id}
    return store.append(
        NAME,
        Started(
            seq=seq, config={"learning_rate": rate}, until=1, seed=9, decision=decision(0), **common
        ),
        Measured(seq=seq + 1, measurement=measurement, **common),
        Ended(seq=seq + 2, status=TrialStatus.PAUSED, **common),
    )


@pytest.mark.parametrize("seed", [0, 1, 7, 2**31 - 1, 2**40])
def test_no_trial_of_the_search_had_the_seed_of_a_repetition(store: TrialStore, seed: int) -> None:
    """A finalist would be given its own lucky score again, as if it were another one."""
    study = before_trial(store.load(NAME), 3)
    study = replace(study, spec=replace(study.spec, seed=seed))
    # As `carried_out` draws them, for a trial that starts after so many events.
    searched = {int(np.random.default_rng([seed, n]).integers(2**31)) for n in range(3000)}
    assert searched.isdisjoint(proposed(store, study, top=1, seeds=3).seeds)


def test_nor_in_a_study_that_ran(tmp_path: Path) -> None:
    run_study(tmp_path)
    opened = open_store(f"sqlite:///{tmp_path}/studies.db")
    own, repeated = ({t.segment.seed for t in opened.load(n).trials} for n in opened.names())
    assert len(own) == 3
    assert len(repeated) == 2
    assert own.isdisjoint(repeated)


def test_who_goes_on_does_not_draw_the_seeds_of_the_finalists_again(store: TrialStore) -> None:
    """Otherwise the same finalists had other scores on the test split after every extension."""
    study = store.load(NAME)
    first, again = (proposed(store, before_trial(study, number)) for number in (2, 3))
    assert list(first.seeds) == list(again.seeds)


def test_repetitions_that_were_begun_keep_their_seeds(store: TrialStore) -> None:
    """Those of the store are 1, 2 and 3, as another version of lexmove might have drawn them."""
    assert list(proposed(store, store.load(NAME), top=1, seeds=3).seeds) == [1, 2, 3]


def test_who_repeated_best_is_repeated_again_beside_a_better_score(store: TrialStore) -> None:
    """One lucky score in the search does not push it out."""
    study = longer(store, RATES[0] * 3, 0.9)
    arms = [item.arm for item in proposed(store, study, top=1, seeds=1).configs]
    assert arms == ["trial 4", "trial 2", DEFAULT_ARM]
    assert [item.arm for item in proposed(store, study, top=2, seeds=1).configs][:2] == arms[:2]


def test_a_comparison_that_repeated_best_does_not_push_out_the_winner(store: TrialStore) -> None:
    name = f"{NAME}.repetitions.4"
    begun = store.load(name)
    first = begun.trials[0]
    common = {"at_s": 1.8e9, "trial_id": len(begun.trials)}
    started = {"config": {"learning_rate": 2e-2}, "until": 4, "seed": 7}
    by_hand = replace(first.decision, expert="by hand")
    measurement = Measurement(fidelity=4, metrics={begun.spec.metric: 0.95}, duration_s=1.0)
    seq = begun.num_events
    repetitions = store.append(
        name,
        Started(seq=seq, decision=by_hand, **started, **common),
        Measured(seq=seq + 1, measurement=measurement, **common),
        Ended(seq=seq + 2, status=TrialStatus.COMPLETED, **common),
    )
    means = {a.name: a.validation.mean for a in repeated_arms(repetitions) if a.validation}
    assert max(means, key=lambda name: means[name]) == "by hand"
    study = longer(store, RATES[0] * 3, 0.9)
    arms = [item.arm for item in proposed(store, study, top=1, seeds=1).configs]
    assert arms == ["trial 4", "trial 2", DEFAULT_ARM]


def test_it_is_not_repeated_twice(store: TrialStore) -> None:
    study = longer(store, RATES[0] * 3, 0.1)
    arms = [item.arm for item in proposed(store, study, top=1, seeds=1).configs]
    assert arms == ["trial 2", DEFAULT_ARM]


def test_repetitions_of_a_version_that_kept_no_winner_go_on_as_they_were_begun(
    store: TrialStore,
) -> None:
    study = longer(store, RATES[0] * 3, 0.9)
    begun = store.load(f"{NAME}.repetitions.4").spec
    store.create(replace(begun, name=f"{NAME}.repetitions.5", num_trials=2))
    arms = [item.arm for item in proposed(store, study, top=1, seeds=1).configs]
    assert arms == ["trial 4", DEFAULT_ARM]
