"""Exports of real studies: whole, honest about what is missing, and good without lexmove."""

import ast
import hashlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
import yaml
from ruamel.yaml import YAML
from typer.testing import CliRunner

from app.judged_study import WORDS, url
from architecture.readme_commands import shown
from architecture.readme_tree import README
from lexmove.app import stored
from lexmove.app.exporting import export
from lexmove.app.model_card import model_card
from lexmove.app.outlets.formats import FORMATS
from lexmove.cli.verbs import app
from lexmove.errors import NoSuccessfulTrialError, StudyNotFoundError, TaskError, UsageError
from lexmove.study.study import Study, StudySpec
from lexmove.trials.checkpoint import load_logits
from lexmove.trials.tasks.task import load_task
from told_study import SPACE

FILES = {
    "README.md",
    "best.json",
    "best.yaml",
    "classifier.py",
    "data/test.jsonl",
    "data/train.jsonl",
    "data/validation.jsonl",
    "metrics.py",
    "model_args.json",
    "requirements.txt",
    "run.sh",
    "train.py",
    "training_args.json",
}


def exported(folder: Path, to: Path, **options):
    said: list[str] = []
    provenance = export("s", to, store=url(folder), say=said.append, **options)
    return provenance, said


def without_lexmove() -> dict[str, str]:
    """The environment of a Python that has all packages but lexmove.

    That is installed by a link, which a plain path to packages does not follow.
    """
    python = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    packages = Path(transformers.__file__).parents[1]
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    more = {"PYTHON": str(python), "PYTHONPATH": str(packages), "OMP_NUM_THREADS": "1"}
    return kept | more


def test_a_card_tells_each_limit_once_and_where_its_study_stood(finished):
    outcome = stored.load("s", store=url(finished))
    assert "was not finished" not in model_card(outcome, stored.job_of(outcome.study))
    gone = replace(outcome.judgement, gaps=("a node is gone",))
    own = replace(outcome.study.spec, metric="/home/somebody/costs.py:cost")
    arms = (*outcome.arms, replace(outcome.arms[0], name="mine|theirs"))
    half = replace(
        outcome,
        study=replace(outcome.study, spec=own),
        state="interrupted",
        judgement=gone,
        arms=arms,
    )
    card = model_card(half, stored.job_of(outcome.study))
    assert card.count("a node is gone") == 1
    assert "Its study was not finished when it was exported" in card
    assert "| costs.py:cost, mean" in card
    assert "somebody" not in card
    assert "| mine\\|theirs |" in card


def test_it_is_all_there_and_whole(finished, tmp_path):
    provenance, said = exported(finished, tmp_path / "best")
    assert said == []
    files = {p.relative_to(tmp_path / "best").as_posix() for p in (tmp_path / "best").rglob("*.*")}
    assert files >= FILES | {"provenance.json", "model/config.json", "model/model.safetensors"}
    assert json.loads((tmp_path / "best" / "provenance.json").read_text()) == provenance
    for name, digest in provenance["files"].items():
        content = (tmp_path / "best" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest, name
    outcome = stored.load("s", store=url(finished))
    best = json.loads((tmp_path / "best" / "best.json").read_text())
    assert best == json.loads(json.dumps(outcome.best_json()))
    assert YAML(typ="safe").load(tmp_path / "best" / "best.yaml") == best
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_the_config_in_the_words_of_other_tools(finished, tmp_path):
    provenance, _ = exported(finished, tmp_path / "best", formats=["hydra", "wandb"])
    assert {"hydra.yaml", "wandb.yaml"} < set(provenance["files"])
    config = json.loads((tmp_path / "best" / "best.json").read_text())["config"]
    # Read by PyYAML, as those tools do, for which 1e-05 would be a text.
    read = {
        name: yaml.safe_load((tmp_path / "best" / f"{name}.yaml").read_text())
        for name in ("hydra", "wandb")
    }
    assert read["hydra"]["hyperparameters"] == config
    assert read["wandb"]["metric"] == {"name": "f1_macro", "goal": "maximize"}
    assert read["wandb"]["parameters"] == {name: {"value": config[name]} for name in config}
    with pytest.raises(UsageError, match="no format 'hydr'; did you mean 'hydra'"):
        exported(finished, tmp_path / "other", formats=["hydr"])


def handed_on(folder, to, words):
    """What is said of an export of the study that is there, run in a folder."""
    to.mkdir()
    words = ["s" if word == "contracts" else word for word in words]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(to)
        done = CliRunner().invoke(app, [*words, "--store", url(folder)])
    assert done.exit_code == 0, done.output
    return done.stderr


def test_it_is_written_and_handed_on_as_the_readme_has_it(
    finished,
    mlflow_uri,
    hub,
    tmp_path,
):
    words = shown("lexmove export contracts --out best --format hydra --format wandb")
    handed_on(finished, tmp_path / "a", words)
    assert (tmp_path / "a" / "best" / "wandb.yaml").exists()

    words = shown("lexmove export contracts --out best --to mlflow")
    said = handed_on(finished, tmp_path / "b", words)
    run_id = said.partition("MLflow as run ")[2].split()[0]
    client = importlib.import_module("mlflow").MlflowClient(tracking_uri=mlflow_uri)
    assert float(client.get_run(run_id).data.params["learning_rate"]) > 0

    words = shown("lexmove export contracts --out best --push-to-hub me/contracts")
    said = handed_on(finished, tmp_path / "c", words)
    assert f"pushed it to {hub.url}/me/contracts" in said
    assert {"train.py", "model/model.safetensors"} < set(hub.files)
    assert not any(name.startswith("data/") for name in hub.files)


def test_dotted_names_become_groups_for_hydra():
    made = Study(spec=StudySpec(name="s", space=SPACE))
    found = FORMATS["hydra"](made, {"peft.r": 8, "peft.use_lora": True, "lr": 1e-5})
    assert found["hyperparameters"] == {"peft": {"r": 8, "use_lora": True}, "lr": 1e-5}


def test_the_checkpoint_says_what_was_scored(finished, tmp_path):
    exported(finished, tmp_path / "best")
    outcome = stored.load("s", store=url(finished))
    folder = tmp_path / "best" / "model"
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, trust_remote_code=True
    ).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    task = load_task(stored.job_of(outcome.study).task)
    with torch.inference_mode():
        inputs = tokenizer(
            list(task.validation.texts), truncation=True, padding=True, return_tensors="pt"
        )
        said = (model(**inputs).logits * model.config.calibration).numpy()
    repetitions = stored.repetitions_of(stored.open_store(url(finished)), outcome.study)
    recorded = [
        load_logits(Path(trial.measurements[-1].checkpoint), data=task.fingerprint)["validation"]
        for trial in repetitions.trials
        if trial.decision.expert == outcome.winner.arm
    ]
    assert min(np.abs(said - logits).max() for logits in recorded) < 2e-2, "bf16 on some CPUs"


def test_the_checkpoint_classifies_as_the_readme_has_it(finished, tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(from transformers import .*?)```", README.read_text(), re.S)
    shutil.copytree(finished / "studies" / "s" / "model", tmp_path / "studies/contracts/model")
    monkeypatch.chdir(tmp_path)
    *before, last = ast.parse(code).body
    names: dict = {}
    exec(compile(ast.Module(before, []), "README.md", "exec"), names)
    (said,) = eval(ast.unparse(last), names)
    assert said["label"] in WORDS
    (long,) = names["classify"]("the lease is due " * 400)
    assert 0 < long["score"] <= 1


@pytest.mark.slow
def test_it_trains_without_lexmove(finished, tmp_path):
    exported(finished, tmp_path / "best")
    environment = without_lexmove()
    asked = [environment["PYTHON"], "-c", "import transformers, lexmove"]
    assert subprocess.run(asked, env=environment, cwd=tmp_path, check=False).returncode
    done = subprocess.run(
        [tmp_path / "best" / "run.sh", "--seed", "5", "--out", tmp_path / "anew"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "anew" / "result.json").read_text())
    assert result["seed"] == 5
    assert 0 <= result["test"]["f1_macro"] <= 1
    best = json.loads((tmp_path / "best" / "best.json").read_text())
    assert result["stated"] == {"validation": best["repeated"], "test": best["test"]}
    assert best["test"] is not None
    assert (tmp_path / "anew" / "model" / "model.safetensors").exists()
    assert f"the model is in {tmp_path}/anew/model, its scores in" in done.stderr


def run_there(folder, *words, python=sys.executable):
    """What a run.sh says that does not come to train: `train.py` stands for its own words."""
    (folder / "train.py").write_text("import sys\nprint('trained', *sys.argv[1:])\n")
    return subprocess.run(
        [folder / "run.sh", *words],
        env=os.environ | {"PYTHON": str(python)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_run_says_what_it_needs_before_it_begins(finished, tmp_path):
    folder = tmp_path / "best"
    exported(finished, folder)
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    done = run_there(folder, python=bare)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{bare} lacks torch, transformers, accelerate, numpy, scikit-learn" in done.stderr
    assert f"pip install -r {folder}/requirements.txt, or PYTHON=…" in done.stderr
    assert "Traceback" not in done.stderr
    done = run_there(folder, python=tmp_path / "none")
    assert done.returncode == 2
    assert "PYTHON=… names another one" in done.stderr


def test_run_leaves_a_folder_alone_that_has_something_in_it(finished, tmp_path):
    folder = tmp_path / "best"
    exported(finished, folder)
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").write_text("precious")
    for words in (["--out", full], [f"--out={full}"]):
        done = run_there(folder, *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{full} is there already and is not empty" in done.stderr
    done = run_there(folder, "--seed", "3", "--force", "--out", full)
    assert (done.returncode, done.stdout) == (0, f"trained --seed 3 --out {full}\n")
    done = run_there(folder)
    assert (done.returncode, done.stdout) == (0, "trained\n")
    assert f"the model is in {folder}/trained/model" in done.stderr
    assert "[--force]" in run_there(folder, "--help").stdout


def test_what_is_not_there_is_said(study, tmp_path):
    shutil.rmtree(study / "studies" / "s" / "model")
    provenance, said = exported(study, tmp_path / "best", with_data=False)
    assert "data/ was left out" in said[0]
    assert said[1].startswith("no checkpoint: ")
    assert set(provenance["files"]) == {name for name in FILES if not name.startswith("data/")}


def test_a_folder_with_something_in_it_is_left_alone(finished, tmp_path):
    (tmp_path / "mine").write_text("precious")
    for folder in (tmp_path, tmp_path / "mine"):
        with pytest.raises(UsageError, match="is not empty: give another --out"):
            exported(finished, folder)
    assert (tmp_path / "mine").read_text() == "precious"
    (tmp_path / "empty").mkdir()
    exported(finished, tmp_path / "empty")


def test_a_place_that_cannot_be_written_is_an_error(finished, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        exported(finished, tmp_path / "file" / "best")
    with pytest.raises(StudyNotFoundError):
        export("other", tmp_path / "best", store=url(finished), say=print)


def test_other_data_are_refused(study, tmp_path):
    path = study / "rows.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[::-1]))
    with pytest.raises(TaskError, match="are not those that it was made with"):
        exported(study, tmp_path / "best")
    assert list(tmp_path.iterdir()) == [] or not (tmp_path / "best").exists()


def test_before_a_trial_has_succeeded_there_is_nothing(finished, tmp_path):
    store = f"sqlite:///{tmp_path}/empty.db"
    spec = stored.load("s", store=url(finished)).study.spec
    stored.open_store(store).create(spec)
    with pytest.raises(NoSuccessfulTrialError, match="nothing to export"):
        export("s", tmp_path / "best", store=store, say=print)
