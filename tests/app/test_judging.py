"""Judging, on a real study that ran in this process: crashes in between, lost files, other data."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from app.judged_study import WORDS, resume, url
from lexmove.app import stored
from lexmove.cli.result_view import write_result
from lexmove.errors import TaskError
from lexmove.results.summary import DEFAULT_ARM


def judgement_file(folder):
    (path,) = (folder / "studies" / "s").glob("judgement_*.json")
    return path


def test_a_judgement_that_a_crash_left_out_is_made_by_resume(study):
    whole = stored.load("s", store=url(study)).judgement
    judgement_file(study).unlink()
    before = stored.load("s", store=url(study))
    assert (before.state, before.judgement) == ("interrupted", None)
    # The weights are gone since the first judgement; a crash before it would have left them.
    found = resume(study)
    assert found.state == "finished"
    assert found.judgement.winner == whole.winner
    assert found.judgement.differences == whole.differences
    assert "the winner's model was not kept" in found.judgement.gaps[0]
    assert resume(study).judgement == found.judgement, "a second time changes nothing"


def test_the_judgement_of_another_study_is_not_taken(study):
    path = judgement_file(study)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"key": "of another"}))
    assert stored.load("s", store=url(study)).judgement is None
    assert resume(study).judgement.key != "of another"


def test_near_duplicates_of_training_texts_are_told_with_the_scores(study, capsys):
    """The few texts of this study stand in every split."""
    outcome = stored.load("s", store=url(study))
    assert set(outcome.judgement.leaks) == {"validation", "test"}
    write_result(outcome)
    said = " ".join(capsys.readouterr().out.split())
    number, size = outcome.judgement.leaks["test"], outcome.judgement.sizes["test"]
    assert f"{number} of {size} test texts are near-duplicates of training texts" in said


def test_lost_logits_leave_a_winner_by_its_scores_and_say_so(study):
    judgement_file(study).unlink()
    for path in study.rglob("logits.safetensors"):
        path.unlink()
    found = resume(study)
    assert found.state == "finished"
    (gap,) = found.judgement.gaps
    assert "cannot be read here" in gap
    assert gap.endswith("nothing was compared or calibrated, and no model was kept")
    means = {arm.name: arm.validation.mean for arm in found.arms}
    assert found.judgement.winner.arm == max(means, key=means.get)
    assert found.judgement.differences == ()


@pytest.mark.parametrize("change", ["order", "size"])
def test_other_data_are_refused(study, change):
    judgement_file(study).unlink()
    path = study / "rows.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[::-1] if change == "order" else lines[:-6]))
    with pytest.raises(TaskError, match="are not those that it began with"):
        resume(study)


def test_a_default_that_wins_is_the_config_that_is_told(study, capsys):
    reference = study / "studies" / "s" / "reference.json"
    beaten = {"test": 0.0, "validation": 0.0}  # else nothing is said of what it beats
    reference.write_text(json.dumps(json.loads(reference.read_text()) | beaten))
    path = judgement_file(study)
    data = json.loads(path.read_text())
    outcome = stored.load("s", store=url(study))
    default = dict(outcome.study.spec.space.default)
    data["winner"] = {"arm": DEFAULT_ARM, "config": default, "until": 2, "trial_id": None}
    path.write_text(json.dumps(data))
    found = stored.load("s", store=url(study))
    best = found.best_json()
    assert best["config"] == default
    assert best["trial_id"] is None
    assert best["test"] == best["default"]["test"]
    write_result(found)
    said = capsys.readouterr().out
    assert "best config (default)" in said
    assert "no tuned config is better than the default" in said


def test_a_winner_that_learned_nothing_is_told(study):
    """Its logits are replaced by those of a model that says the same of every text."""
    assert stored.load("s", store=url(study)).judgement.only_class is None
    judgement_file(study).unlink()
    for path in study.rglob("logits.safetensors"):
        logits = load_file(path)
        save_file({k: np.tile(v[:1], (len(v), 1)) for k, v in logits.items()}, path)
    assert resume(study).judgement.only_class in WORDS
