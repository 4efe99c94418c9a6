"""The proposer that serves one job: which weights, from where, and when new ones are taken."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from lexmove.agent.policy import PointerPolicy, load_weights, save_weights, weights_hash
from lexmove.agent.serving import ServedProposer
from lexmove.errors import ModelError, UsageError
from lexmove.study.study import Study, decision_rng


def extended(study: Study) -> Study:
    """The study with trials left, so that learning is worth it."""
    return replace(study, spec=replace(study.spec, num_trials=len(study.trials) + 8))


def empty(study: Study) -> Study:
    return Study(spec=study.spec)


def version_of(policy: PointerPolicy) -> str:
    return weights_hash(policy.state_dict())


def test_a_new_job_starts_untrained_with_its_weights_on_disk(served: Study, tmp_path: Path):
    serving = ServedProposer("policy", study=empty(served), weights_dir=tmp_path, learns=False)
    version = serving.proposer.policy_version
    assert version == version_of(PointerPolicy.untrained())
    assert version_of(load_weights(tmp_path / f"{version}.safetensors")) == version


def test_a_new_job_starts_with_the_weights_that_it_names(served: Study, tmp_path: Path):
    policy = PointerPolicy.untrained()
    policy.residual.weight.data.fill_(0.5)
    version = save_weights(policy, tmp_path / "mine.safetensors")
    serving = ServedProposer(
        "policy",
        study=empty(served),
        weights_dir=tmp_path / "kept",
        learns=False,
        weights=tmp_path / "mine.safetensors",
    )
    assert serving.proposer.policy_version == version
    assert version_of(load_weights(tmp_path / "kept" / f"{version}.safetensors")) == version


def test_a_resumed_job_serves_the_weights_of_its_last_decision(served: Study, tmp_path: Path):
    policy = PointerPolicy.untrained()
    policy.residual.weight.data.fill_(0.25)
    version = version_of(policy)
    save_weights(policy, tmp_path / f"{version}.safetensors")
    first = served.trials[0].events[0]
    decided = replace(first, decision=replace(first.decision, policy_version=version))
    study = Study.from_events(served.spec, [decided])
    serving = ServedProposer("policy", study=study, weights_dir=tmp_path, learns=False)
    assert serving.proposer.policy_version == version


def test_weights_that_are_gone_are_an_error_that_names_the_file(served: Study, tmp_path: Path):
    with pytest.raises(ModelError, match=r"[0-9a-f]{16}\.json"):
        ServedProposer("policy", study=served, weights_dir=tmp_path, learns=False)


def test_other_proposers_have_no_weights_and_never_learn(served: Study, tmp_path: Path):
    serving = ServedProposer("random", study=served, weights_dir=tmp_path, learns=True)
    before = serving.proposer
    assert serving.after(extended(served)) is before
    assert not list(tmp_path.iterdir())
    serving.close()


def test_an_unknown_proposer_is_named_with_the_nearest(served: Study, tmp_path: Path):
    with pytest.raises(UsageError, match="did you mean 'random'"):
        ServedProposer("randon", study=served, weights_dir=tmp_path, learns=False)


@pytest.mark.slow  # twenty seconds with its set-up
def test_new_weights_that_cannot_be_written_are_not_served_and_the_job_goes_on(
    ray_session: None,
    served: Study,
    policy: PointerPolicy,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    old, weights_dir = version_of(policy), tmp_path / "weights"
    save_weights(policy, weights_dir / f"{old}.safetensors")
    serving = ServedProposer("policy", study=served, weights_dir=weights_dir, learns=True)
    weights_dir.rename(tmp_path / "away")
    weights_dir.write_text("in the way")
    study = extended(served)
    for _ in range(2000):
        proposer = serving.after(study)
        if "cannot write" in caplog.text:
            break
        time.sleep(0.1)
    serving.close()
    assert "the job goes on with the weights that it has" in caplog.text
    suggestion = proposer.propose(study, decision_rng(study))
    assert suggestion.decision.policy_version == proposer.policy_version == old
    (path, *_) = serving.weights
    assert version_of(load_weights(tmp_path / "away" / path.name)) == old


@pytest.mark.slow  # ten seconds
def test_new_weights_are_on_disk_before_they_are_served(
    ray_session: None, served: Study, policy: PointerPolicy, tmp_path: Path
):
    old = version_of(policy)
    save_weights(policy, tmp_path / f"{old}.safetensors")
    serving = ServedProposer("policy", study=served, weights_dir=tmp_path, learns=True)
    study = extended(served)
    for _ in range(2000):
        proposer = serving.after(study)
        if proposer.policy_version != old:
            break
        time.sleep(0.1)
    serving.close()
    assert proposer.policy_version != old
    path = tmp_path / f"{proposer.policy_version}.safetensors"
    assert version_of(load_weights(path)) == proposer.policy_version
    suggestion = proposer.propose(study, decision_rng(study))
    assert suggestion.decision.policy_version == proposer.policy_version
