"""Judging, on a real study that ran in this process: crashes in between, lost files, other data."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file
from scipy.special import expit, logit, softmax
from sklearn.metrics import f1_score

from app.judged_study import WORDS, resume, run_study, url
from lexmove.app import stored
from lexmove.app.exporting import export
from lexmove.app.model_card import model_card
from lexmove.cli.result_view import write_result
from lexmove.errors import TaskError
from lexmove.results.summary import DEFAULT_ARM
from lexmove.trials.tasks.task import load_task


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


OWN = """
import numpy as np


def brier(labels, predicted, probabilities):
    return float(np.mean((probabilities - np.eye(2)[labels]) ** 2))


def level(labels, predicted, probabilities):
    return 0.5
"""


def own_metric(folder, name):
    (folder / "own.py").write_text(OWN)
    return {"name": f"{folder}/own.py:{name}", "goal": "minimize"}


def said_of(folder, texts):
    """The logits of a saved classifier."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, trust_remote_code=True
    ).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        inputs = tokenizer(list(texts), truncation=True, padding=True, return_tensors="pt")
        return model(**inputs).logits.numpy()


def test_of_a_tie_the_default_wins(tmp_path):
    outcome = run_study(tmp_path, metric=own_metric(tmp_path, "level"))
    assert {arm.validation.mean for arm in outcome.arms} == {0.5}
    assert outcome.winner.arm == DEFAULT_ARM


def test_a_model_scores_what_is_said_of_it_and_no_worse_for_its_calibration(tmp_path):
    outcome = run_study(tmp_path, metric=own_metric(tmp_path, "brier"))
    task = load_task(stored.job_of(outcome.study).task)
    for split, told in outcome.best_json()["model_scores"].items():
        logits = said_of(outcome.judgement.model, task.split(split).texts)
        chances = softmax(logits, axis=1)
        found = np.mean((chances - np.eye(2)[task.split(split).labels]) ** 2)
        assert found == pytest.approx(told, rel=0.02), split
    card = model_card(outcome, stored.job_of(outcome.study))
    assert f"value: {outcome.judgement.model_scores['test']:.4f}" in card
    assert "Its own.py:brier as it is saved: validation" in card
    judgement_file(tmp_path).unlink()
    for path in tmp_path.rglob("logits.safetensors"):  # all right, and sure of it
        right = {split: np.eye(2)[task.split(split).labels] for split in load_file(path)}
        save_file({split: 12 * values - 6 for split, values in right.items()}, path)
    calibration = resume(tmp_path).judgement.calibration
    assert (calibration.does_harm, calibration.temperature) == (True, 1.0)
    assert calibration.error_after == calibration.error_before


def test_a_card_speaks_of_a_model_only_where_one_was_kept(study):
    outcome = stored.load("s", store=url(study))
    job = stored.job_of(outcome.study)
    whole = model_card(outcome, job)
    assert "`model/README.md` says how to load it" in whole
    assert "**this model's config**" in whole
    bare = replace(outcome, judgement=replace(outcome.judgement, model=None, model_scores={}))
    for without in (bare, replace(outcome, judgement=None)):
        card = model_card(without, job)
        assert "No checkpoint was kept: `run.sh` trains the classifier" in card
        assert "**the winning config**" in card or without.judgement is None
        assert "model/" not in card
        assert "this model" not in card


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """A study of several labels per text, whose seeds decide together."""
    folder = tmp_path_factory.mktemp("together")
    run_study(folder, in_lists=True, decide={"threshold": "fitted", "ensemble": True})
    return folder


def test_seeds_that_decide_together_are_exported_and_do_as_told(together, tmp_path):
    said = []
    export("s", tmp_path / "best", store=url(together), say=said.append)
    assert not said
    outcome = stored.load("s", store=url(together))
    task, told = load_task(stored.job_of(outcome.study).task), outcome.judgement.ensemble
    folders = [tmp_path / "best" / "ensemble" / f"model_{number}" for number in (0, 1)]
    for split in ("validation", "test"):
        data = task.split(split)
        mean = np.mean([expit(said_of(folder, data.texts)) for folder in folders], axis=0)
        found = f1_score(data.labels, mean > told.threshold, average="macro")
        assert found == pytest.approx(getattr(told, split))
    card = (tmp_path / "best" / "README.md").read_text()
    assert f"all 2 seeds. Together they score validation {told.validation:.4f}, test" in card
    assert f"of their probabilities, and give a label above {told.threshold:.3g}." in card
    shutil.rmtree(together / "studies" / "s" / "ensemble" / "model_1")
    export("s", tmp_path / "other", store=url(together), say=said.append)
    assert said[0].startswith("no ensemble: ")
    assert not (tmp_path / "other" / "ensemble").exists()


def test_seeds_that_decide_together_have_a_threshold_of_their_own(together):
    """One seed gives every label a high probability, the other a low one; both are right."""
    judgement_file(together).unlink()
    outcome = stored.load("s", store=url(together))
    task = load_task(stored.job_of(outcome.study).task)
    for path in together.rglob("logits.safetensors"):
        is_first = path.parents[1].name in ("trial_0000", "trial_0001")  # both configs by one seed
        chances = {
            split: (0.85 if is_first else 0.05) + 0.1 * task.split(split).labels
            for split in load_file(path)
        }
        save_file({split: logit(values) for split, values in chances.items()}, path)
    found = resume(together).judgement
    assert (found.ensemble.validation, found.ensemble.test) == (1.0, 1.0)
    assert found.ensemble.threshold == pytest.approx(0.5)
    assert not 0.45 < found.threshold < 0.55
