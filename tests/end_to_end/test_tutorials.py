"""The tutorials: their commands, jobs and scripts, on small data and offline."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml

from architecture.readme_commands import shown
from architecture.readme_tree import ROOT
from cluster.head import Head, clean_environment, running_head
from cluster.test_submit import LONG_S, calling, lexmove, num_ended, there, until
from lexmove.trials.tasks.lex_glue import REVISION
from lexmove_process import begun
from s3_fixture import S3Server
from trials.hub_files import LEX_GLUE_FEATURES, write_dataset
from trials.hub_server import serve_hub

TOKEN = "d" * 64
WORDS = ("rent premises tenant", "duty levy fiscal", "cancel expire notice", "court forum venue")
SIZES = {"train": 240, "validation": 80, "test": 80}
PUBLISHED = (
    "TF-IDF + SVM (published)",
    "Legal-BERT (published)",
    "MiniLM v2 L12 (published)",
)


def block(page: str, language: str, *, having: str) -> str:
    """The page's one block of that language with these words in it."""
    text = (ROOT / "platform" / "lexmove" / "tutorials" / page).read_text("utf-8")
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    (found,) = [block for block in blocks if having in block]
    return str(found)


def run(folder: Path, words: list[str], **changes: str) -> tuple[str, str]:
    """What `lexmove WORDS` writes to stdout and stderr; it ends well."""
    process = begun(folder, *words, environment=clean_environment() | changes)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, f"{words}\n{out}\n{err}"
    return str(out), str(err)


@pytest.mark.slow  # three minutes on a busy machine
@pytest.mark.timeout(1800)
def test_a_csv_becomes_a_study_and_a_model(tmp_path: Path) -> None:
    script = block("your_own_csv.md", "python", having="csv.writer").replace("1500", "200")
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    _, said = run(tmp_path, shown("lexmove init --data notices.csv"))
    assert "the text is in column 'text', the class in 'category'" in said
    _make_small(tmp_path / "job.yaml")

    planned, _ = run(tmp_path, shown("lexmove plan job.yaml"))
    for part in ("over 16", "warning: validation has", "warning: class ", "estimate: ", "fits: 2"):
        assert part in planned
    result, said = run(tmp_path, shown("lexmove tune job.yaml"))
    assert "trial 0 paused at epoch 1" in said
    assert "repeating the finalists with fresh seeds" in said
    table, _ = run(tmp_path, shown("lexmove show notices"))
    assert re.search(r"trial +state +f1_macro +Δ parent +move +why +epoch +trained", table)
    assert "trial 4 of study" in run(tmp_path, shown("lexmove show notices 4"))[0]
    _says_all_that_the_page_explains(run(tmp_path, shown("lexmove show notices 6"))[0])
    assert run(tmp_path, shown("lexmove best notices"))[0] == result
    assert "On the test split" in result
    assert "TF-IDF + logistic regression" in result

    _, said = run(tmp_path, shown("lexmove report notices"))
    assert "wrote notices.report.html" in said
    assert _first_long_line(tmp_path / "notices.csv") not in (
        tmp_path / "notices.report.html"
    ).read_text("utf-8"), "the page says that the report quotes no text"
    run(tmp_path, shown("lexmove export notices --out best"))
    environment = os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    words = shown("best/run.sh --seed 1 --out anew")
    subprocess.run([tmp_path / "best/run.sh", *words], cwd=tmp_path, env=environment, check=True)
    assert json.loads((tmp_path / "anew/result.json").read_text())["seed"] == 1

    run(tmp_path, shown("lexmove resume notices --trials 8"))
    (study,) = json.loads(run(tmp_path, ["ls", "--json"])[0])["studies"]
    assert (study["state"], study["trials"]) == ("finished", 16)
    _remembers(tmp_path)


def _make_small(path: Path) -> None:
    """The job that `init` wrote, with a budget and a model for a test."""
    text = path.read_text()
    for old, new in (
        ("trials: 24", "trials: 10"),
        ("num_hidden_layers: 2", "num_hidden_layers: 1"),
        ("max_length: 64", "max_length: 16"),
        ("max_epochs: 4", "max_epochs: 2"),
    ):
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def _says_all_that_the_page_explains(of_trial: str) -> None:
    for row in ("move", "why", "predicted gain", "realised gain", "policy version"):
        assert re.search(rf"^{row} +\S", of_trial, re.MULTILINE), row
    assert "What the agent nearly did instead" in of_trial


def _first_long_line(path: Path) -> str:
    return next(line for line in path.read_text("utf-8").splitlines() if len(line) > 60)


def _remembers(folder: Path) -> None:
    """A second job begins with what did best in the first."""
    second = (folder / "job.yaml").read_text().replace("name: notices ", "name: more ")
    (folder / "more.yaml").write_text(second)
    planned, _ = run(folder, ["plan", "more.yaml", "--offline"])
    assert re.search(r"memory: \d starts? from 1 past study: notices", planned)


def test_a_job_with_other_splits_and_seeds_is_one() -> None:
    """The pages' short pieces of jobs, and the seven tasks that a job may name."""
    from lexmove.job.spec import JobSpec
    from lexmove.trials.tasks.lex_glue import LEX_GLUE

    csv_page = (ROOT / "platform" / "lexmove" / "tutorials" / "your_own_csv.md").read_text("utf-8")
    pieces = re.findall(r"`(task: \{.+?\}|finalists: \{.+?\})`", csv_page)
    assert len(pieces) >= 2
    job = _cluster_job()
    for piece in pieces:
        for section, fields in yaml.safe_load(piece).items():
            job[section] = {**job.get(section, {}), **fields}
    spec = JobSpec.model_validate(job)
    assert spec.finalists.seeds == 4
    assert spec.task.split.validation == 0.3
    cluster_page = (
        ROOT / "platform" / "lexmove" / "tutorials" / "lexglue_on_a_cluster.md"
    ).read_text("utf-8")
    for name in LEX_GLUE:
        assert f"`{name.removeprefix('lex_glue/')}`" in cluster_page or f"`{name}`" in cluster_page


def _cluster_job() -> dict[str, Any]:
    found = yaml.safe_load(block("lexglue_on_a_cluster.md", "yaml", having="lex_glue/ledgar"))
    assert isinstance(found, dict)
    return found


@pytest.mark.slow  # two heads and a study; two and a half minutes on a busy machine
@pytest.mark.timeout(1200)
def test_lex_glue_on_a_cluster_that_reaches_no_hub(
    tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = s3_server.uri(f"lex/{tmp_path.name}")
    folder, cache = tmp_path / "client", tmp_path / "hf"
    _write_client(folder, storage=uri)
    with serve_hub({"coastalcph/lex_glue": _ledgar(tmp_path)}, commit=REVISION) as address:
        near = {"HF_HOME": str(cache), "HF_ENDPOINT": address}
        assert "Task lex_glue/ledgar" in run(folder, shown("lexmove plan job.yaml"), **near)[0]

    # What `ray start` is given on the nodes; a client has neither data nor model.
    monkeypatch.setenv("HF_HOME", str(cache))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with running_head(token=TOKEN, home=tmp_path / "first") as head:
        _submitted_and_stopped(head, folder)
    shutil.rmtree(tmp_path / "first")
    with running_head(token=TOKEN, home=tmp_path / "second") as head:
        words = shown("lexmove submit --resume contracts --storage s3://BUCKET/studies")
        _called(head, folder, *words[:-1], uri, "--wait")
        _read(head, folder)


def _write_client(folder: Path, *, storage: str) -> None:
    """The page's job with the built-in model and a small budget, and the spaces beside it."""
    small = {
        "model": {"name": "minilm", "num_hidden_layers": 1, "max_length": 16},
        "space": "search_spaces/encoder_small.yaml",
        "budget": {"trials": 7, "parallel": 2},
        "fidelity": {"max_epochs": 6, "eta": 2},
        "finalists": {"top": 1, "seeds": 1},
        "resources": {"cpu": 1, "gpu": 0},
        "storage": storage,
    }
    shutil.copytree(ROOT / "search_spaces", folder / "search_spaces")
    job = _cluster_job()
    assert set(small) < set(job)
    (folder / "job.yaml").write_text(json.dumps(job | small))


def _ledgar(folder: Path) -> Path:
    """A dataset of the hub's layout: LEDGAR's columns and classes, four of which occur."""
    features = datasets.Features(LEX_GLUE_FEATURES["ledgar"])
    splits = {
        split: datasets.Dataset.from_list(
            [
                {"text": f"{WORDS[row % 4]} {split} provision {row}", "label": row % 4 * 25}
                for row in range(size)
            ],
            features=features,
        )
        for split, size in SIZES.items()
    }
    return write_dataset(folder / "lex_glue", {"ledgar": splits})


def _called(head: Head, folder: Path, *words: str) -> tuple[str, str]:
    """What a client without data and model gets to read; the call ends well."""
    done = lexmove(head, folder, *words, HF_HOME=str(folder / "nothing"))
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr


def _submitted_and_stopped(head: Head, folder: Path) -> None:
    def has_room() -> bool:
        planned, _ = _called(head, folder, *there("lexmove plan job.yaml"), "--offline")
        return "fits: 2 trials at once" in planned and "1 node up now" in planned

    until(has_room, what="a node")
    _, said = _called(head, folder, *shown("lexmove submit job.yaml"))
    for part in ("submitted study contracts as job", "  sent ", "  studies ", "  dashboard "):
        assert part in said
    watcher = calling(head, folder, *there("lexmove watch contracts"))
    until(lambda: num_ended(head, "contracts") >= 2, what="two segments")
    _called(head, folder, *there("lexmove stop contracts"))
    watcher.communicate(timeout=LONG_S)
    assert watcher.returncode == 130
    log, _ = _called(head, folder, *there("lexmove logs contracts"))
    assert f"using the copy of revision {REVISION}" in log


def _read(head: Head, folder: Path) -> None:
    """The study is finished; what can be read of it from elsewhere."""
    assert "trial 3, " in _called(head, folder, *there("lexmove logs contracts 3"))[0]
    table, _ = _called(head, folder, *there("lexmove best contracts"))
    for row in PUBLISHED:
        assert row in table
    best = json.loads(_called(head, folder, *there("lexmove best contracts --json"))[0])
    assert {item["model"] for item in best["published"]} >= {"BERT", "RoBERTa-large"}
    _, said = _called(head, folder, *there("lexmove report contracts"))
    assert "contracts.report.html" in said
    page = (folder / "contracts.report.html").read_text("utf-8")
    assert "Legal-BERT" in page
    _called(head, folder, *there("lexmove export contracts --out best"))
    assert json.loads((folder / "best" / "best.json").read_text())["study"] == "contracts"


def test_the_hosts_of_the_page_become_a_file_for_rays_launcher() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "lexmove"),
            *shown("lexmove cluster hosts 10.0.0.1 10.0.0.2 10.0.0.3"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    config = yaml.safe_load(done.stdout)
    assert config["provider"]["head_ip"] == "10.0.0.1"
    assert config["provider"]["worker_ips"] == ["10.0.0.2", "10.0.0.3"]
