"""The page on steering: priors, starts, enqueued configs, a narrower space, more trials."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from architecture.readme_commands import shown
from architecture.readme_tree import ROOT
from end_to_end.test_readme import job, run, write_clauses
from lexmove.job.document import parse_document
from lexmove_process import begun

PAGE = ROOT / "platform" / "lexmove" / "tutorials" / "steering.md"


def block(having: str) -> dict[str, Any]:
    """The page's one YAML block with these words in it."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    (found,) = [block for block in blocks if having in block]
    return read(found)


def read(text: str) -> dict[str, Any]:
    data = parse_document(text, path="page").data
    assert isinstance(data, dict)
    return data


def space() -> dict[str, Any]:
    """The shipped space with the page's lines in it."""
    whole = read((ROOT / "search_spaces" / "encoder_small.yaml").read_text("utf-8"))
    steered = block("prior:")["parameters"]
    assert steered.keys() <= whole["parameters"].keys()
    return {**whole, "parameters": {**whole["parameters"], **steered}}


def write_jobs(folder: Path) -> None:
    """`job.yaml`, steered, and `narrow.yaml`, with a smaller range for the learning rate."""
    write_clauses(folder)
    steered = read(job())
    steered |= {
        **block("starts:"),
        "model": {"name": "minilm", "num_hidden_layers": 1, "max_length": 16},
        "budget": {"trials": 8, "parallel": 2},
        "fidelity": {"max_epochs": 2, "eta": 2},
        "finalists": {"top": 1, "seeds": 1},
        "space": "space.yaml",
    }
    # Trials 2 to 4 are asked for, too: what the agent draws there might be the page's own config.
    rates = (5e-4, 3e-4, 4e-4)
    linear = [{"learning_rate": rate, "lr_scheduler_type": "linear"} for rate in rates]
    steered["agent"] = {**steered["agent"], "starts": [*steered["agent"]["starts"], *linear]}
    narrow = {**steered, "name": "narrow", "agent": {}, "space": "narrow_space.yaml"}
    narrower = json.loads(json.dumps(space()))
    narrower["parameters"]["learning_rate"] |= {"min": 2e-4, "max": 4e-3}
    for name, data in (
        ("job.yaml", steered),
        ("narrow.yaml", narrow),
        ("space.yaml", space()),
        ("narrow_space.yaml", narrower),
    ):
        (folder / name).write_text(json.dumps(data))


@pytest.mark.slow  # a minute on an idle machine
@pytest.mark.timeout(900)
def test_a_study_is_steered(tmp_path: Path) -> None:
    write_jobs(tmp_path)
    planned = run(tmp_path, ["plan", "job.yaml"])
    assert "within a factor of 3" in planned
    assert planned.count("asked for by the job") == 5
    tuning = begun(tmp_path, "tune", "job.yaml")
    while not (tmp_path / "studies" / "contracts" / "trials").is_dir():
        assert tuning.poll() is None, tuning.communicate()
        time.sleep(0.2)
    # Of a study that runs, on Ray, from a process beside it.
    run(tmp_path, shown("lexmove enqueue contracts learning_rate=8e-4 weight_decay=0.1"))
    out, err = tuning.communicate(timeout=300)
    assert tuning.returncode == 0, f"{out}\n{err}"
    assert experts(tmp_path)[:6] == ["start:asked"] * 6
    assert "start:default" not in experts(tmp_path)
    assert len(experts(tmp_path)) == 7, "six of the search's own budget and one"
    enqueued = trials(tmp_path)[5]["config"]
    assert (enqueued["learning_rate"], enqueued["weight_decay"]) == (8e-4, 0.1)

    run(tmp_path, shown("lexmove enqueue contracts lr_scheduler_type=cosine --like 4"))
    before = len(experts(tmp_path))
    run(tmp_path, shown("lexmove resume contracts"))
    assert experts(tmp_path)[before:] == ["start:asked"]
    assert "asked for" in run(tmp_path, shown("lexmove show contracts"))
    again = begun(tmp_path, "enqueue", "contracts", "learning_rate=8e-4", "weight_decay=0.1")
    _, err = again.communicate(timeout=60)
    assert again.returncode == 2
    assert "trial 5 of study 'contracts' tried just this config" in err

    run(tmp_path, shown("lexmove resume contracts --trials +8"))
    assert len(experts(tmp_path)) == before + 1 + 8
    planned = run(tmp_path, shown("lexmove plan narrow.yaml"))
    assert re.search(r"memory: \d starts? from 1 past study: contracts", planned)
    run(tmp_path, shown("lexmove tune narrow.yaml"))
    rates = [trial["config"]["learning_rate"] for trial in trials(tmp_path, "narrow")]
    assert all(2e-4 <= rate <= 4e-3 for rate in rates)
    assert "start:memory" in experts(tmp_path, "narrow")


def trials(folder: Path, study: str = "contracts") -> list[dict[str, Any]]:
    found = json.loads(run(folder, ["show", study, "--json"]))["trials"]
    assert isinstance(found, list)
    return found


def experts(folder: Path, study: str = "contracts") -> list[str]:
    return [trial["move"]["expert"] for trial in trials(folder, study)]
