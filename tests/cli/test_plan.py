"""The page that `plan` prints: first what most want to know, and as wide as the terminal."""

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from app.test_remembering import past_study, write_past
from cli.conftest import Lexmove
from cli.studies import make_store
from lexmove.space.loading import load_job_and_space

ROWS = "clause,kind\n" + "".join(
    f"some words of clause {number},{('lease', 'sale')[number % 2]}\n" for number in range(40)
)
JOB = {
    "name": "clauses",
    "task": {"files": {"train": "clauses.csv"}, "text": "clause", "label": "kind"},
    "model": {"name": "minilm", "num_hidden_layers": 1, "max_length": 16},
    "metric": {"name": "costs.py:cost", "goal": "minimize"},
    "space": {"parameters": {"learning_rate": {"min": 1e-4, "max": 1e-2, "log": True}}},
    "budget": {"trials": 12},
}
STYLE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def job(tmp_path: Path) -> Path:
    (tmp_path / "clauses.csv").write_text(ROWS)
    (tmp_path / "costs.py").write_text("def cost(true, predicted, probabilities): return 0.5\n")
    (tmp_path / "job.yaml").write_text(json.dumps(JOB))
    return tmp_path / "job.yaml"


def on_a_terminal(
    *words: str, folder: Path, columns: int, environment: dict[str, str], **more: str
) -> list[str]:
    """What a terminal of that width shows, line by line, styles included."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "lexmove", *words],
        cwd=folder,
        env={**environment, "TERM": "xterm-256color", **more, "COLUMNS": str(columns)},
        stdout=child,
        stderr=subprocess.DEVNULL,
    )
    os.close(child)
    shown = b""
    with suppress(OSError):  # a terminal whose last writer has left
        while piece := os.read(parent, 65536):
            shown += piece
    os.close(parent)
    assert process.wait() == 0
    return shown.decode().replace("\r", "").splitlines()


def test_it_fits_a_narrow_terminal_and_stresses_what_counts(
    job: Path, environment: dict[str, str]
) -> None:
    lines = on_a_terminal(
        "plan", "job.yaml", folder=job.parent, columns=80, environment=environment
    )
    plain = [STYLE.sub("", line) for line in lines]
    assert max(map(len, plain)) <= 80
    top = " ".join(line.strip() for line in plain[: plain.index("")])
    assert re.fullmatch(
        r"Plan of clauses: minimize costs\.py:cost in 8 trials, 4 more to repeat the best "
        r"Takes about .+ in all; it fits this machine; \d warnings? about the data below",
        top,
    )
    assert STYLE.search(lines[0])
    (start,) = (n for n, line in enumerate(plain) if line.startswith("warning: validation has 8"))
    assert STYLE.search(lines[start])
    warning = " ".join(line.strip() for line in plain[start : start + 3])
    assert "differences under about" in warning, "no word is cut"
    assert not any("GPU hours" in line for line in plain), "none were asked for"


def test_a_wide_terminal_without_colour(job: Path, environment: dict[str, str]) -> None:
    words = ("plan", "job.yaml", "--offline")
    lines = on_a_terminal(
        *words, folder=job.parent, columns=120, environment=environment, NO_COLOR="1"
    )
    assert not any("\x1b[3" in line for line in lines), "no colour"
    plain = [STYLE.sub("", line).rstrip() for line in lines]
    assert plain[1] == "It fits this machine; how long it takes was not measured"


def test_in_a_pipe_no_sentence_is_broken(job: Path, lexmove: Lexmove) -> None:
    done = lexmove("plan", "job.yaml", "--offline", COLUMNS="40")
    title = "Plan of clauses: minimize costs.py:cost in 8 trials, 4 more to repeat the best"
    assert done.stdout.splitlines()[0] == title


def test_a_class_of_any_name_takes_one_short_row(job: Path, lexmove: Lexmove) -> None:
    kinds = ("ri\033[31msk", "two\nlines", "long " * 80, "it's")
    rows = "".join(f'clause {number},"{kinds[number % 4]}"\n' for number in range(80))
    (job.parent / "clauses.csv").write_text(f"clause,kind\n{rows}")
    page = lexmove("plan", "job.yaml").stdout
    assert "\033" not in page
    lines = page.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("class "))
    table = lines[start : start + 5]
    assert max(map(len, table)) < 100
    names = [re.split(r"\s{2,}", line)[0] for line in table[1:]]
    assert {"it's", r"'ri\x1b[31msk'", r"'two\nlines'"} < set(names)
    assert sum(name.startswith("'long long") and name.endswith("…'") for name in names) == 1


@pytest.mark.parametrize(
    ("trials", "finalists", "said"),
    [
        (12, {}, "repeated: the best config and the default, with 2 fresh seeds each"),
        (
            30,
            {"compare": [{"name": "by hand", "config": {"learning_rate": 1e-3}}]},
            "repeated: the best 3 configs, the default and 1 comparison, with 2 fresh seeds each",
        ),
        (
            7,
            {},
            "repeated: the best config and the default, with one fresh seed each: raise "
            "budget.trials, or finalists.seeds, to tell luck apart",
        ),
    ],
)
def test_what_is_repeated_is_said(
    job: Path, lexmove: Lexmove, trials: int, finalists: dict[str, Any], said: str
) -> None:
    job.write_text(json.dumps(JOB | {"budget": {"trials": trials}, "finalists": finalists}))
    assert said in lexmove("plan", "job.yaml", "--offline").stdout.splitlines()


def test_the_time_limit_of_a_trial_is_said(job: Path, lexmove: Lexmove) -> None:
    """Whoever meant `trials` sees it."""
    for budget, is_said in (({"trial": 4}, True), ({"trials": 12}, False)):
        job.write_text(json.dumps(JOB | {"budget": budget}))
        page = lexmove("plan", "job.yaml", "--offline").stdout
        assert ("takes longer than 4 s fails (budget.trial)" in page) is is_said


def test_what_does_not_fit_is_said_first(job: Path, lexmove: Lexmove) -> None:
    job.write_text(json.dumps(JOB | {"resources": {"cpu": 999}}))
    lines = lexmove("plan", "job.yaml", "--offline").stdout.splitlines()
    assert lines[1].startswith("It does not fit this machine, see below; ")
    assert lines[-1].startswith("does not fit: 1 trial at once with 999 CPUs")


def test_offline_a_column_that_is_two_things_is_found(job: Path, lexmove: Lexmove) -> None:
    task = {**JOB["task"], "text": "kind"}
    job.write_text(json.dumps({**JOB, "task": task}))
    planned = lexmove("plan", str(job), "--offline")
    assert planned.exit_code != 0
    assert "task.text and task.label both name the column 'kind'" in planned.stderr


def test_offline_nothing_is_promised_of_gpus(job: Path, lexmove: Lexmove) -> None:
    job.write_text(json.dumps(JOB | {"resources": {"gpu": 1}}))
    done = lexmove("plan", "job.yaml", "--offline")
    lines = done.stdout.splitlines()
    assert lines[1].startswith("Whether it fits this machine is open: its GPUs were not looked at;")
    assert lines[-1].startswith("fits if there are GPUs: 1 trial at once with 1 CPU and 1 GPU each")
    assert "it fits" not in done.stdout.replace("Whether it fits", "")
    fit = json.loads(lexmove("plan", "job.yaml", "--offline", "--json").stdout)["fit"]
    assert fit["is_fitting"] is fit["gpus"] is None
    job.write_text(json.dumps(JOB | {"resources": {"gpu": 1, "cpu": 999}}))
    lines = lexmove("plan", "job.yaml", "--offline").stdout.splitlines()
    assert lines[1].startswith("It does not fit this machine"), "whatever GPUs there are"


@pytest.mark.parametrize("name", ["f1_marco", "f1_macro"])
def test_offline_a_metric_is_known_without_torch(
    name: str, job: Path, environment: dict[str, str]
) -> None:
    job.write_text(json.dumps(JOB | {"metric": {"name": name}}))
    code = "import sys; sys.modules['torch'] = None; from lexmove.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "plan", "job.yaml", "--offline"],
        cwd=job.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if name == "f1_macro":
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 2
        assert "unknown metric 'f1_marco'; did you mean 'f1_macro'?" in done.stderr


def test_it_says_for_how_many_trials_the_time_will_do(job: Path, lexmove: Lexmove) -> None:
    job.write_text(json.dumps(JOB | {"budget": {"wall_clock": "2s"}}))
    shown = lexmove("plan", "job.yaml").stdout
    assert shown.startswith("Plan of clauses: minimize costs.py:cost in 2 s of search, ")
    (said,) = re.findall(r"ends the search after 2 s: time for about ([\d,]+) trials? like", shown)
    assert 1 <= int(said.replace(",", "")) < 500
    assert "as many as the time allows for the search, at most" in shown
    assert "gains are weighed against the seconds that they take" in shown
    plan = json.loads(lexmove("plan", "job.yaml", "--json").stdout)
    assert plan["budget"] == {"trials": 1000, "parallel": 1, "wall_clock_s": 2.0, "limit": "time"}
    assert plan["estimate"]["search_s"] == plan["estimate"]["search_most_s"] == 2.0


def test_a_clock_beside_a_number_of_trials_changes_nothing_of_what_is_tried(
    job: Path, lexmove: Lexmove
) -> None:
    job.write_text(json.dumps(JOB | {"budget": {"trials": 900, "wall_clock": "2s"}}))
    shown = lexmove("plan", "job.yaml").stdout
    assert "the clock ends the search after 2 s: time for about" in shown
    assert "gains are weighed" not in shown
    job.write_text(json.dumps(JOB | {"budget": {"trials": 12, "wall_clock": "1d"}}))
    assert "the clock" not in lexmove("plan", "job.yaml").stdout, "it is never reached"


def test_what_the_job_asks_for_goes_to_the_end_first(job: Path, lexmove: Lexmove) -> None:
    fields = {"fidelity": {"max_epochs": 4, "eta": 2}, "budget": {"trials": 40}}
    most = {}
    for starts in ([], [{"learning_rate": 1e-4}, {"learning_rate": 2e-4}]):
        job.write_text(json.dumps({**JOB, **fields, "agent": {"starts": starts, "memory": False}}))
        page = " ".join(lexmove("plan", "job.yaml", "--offline").stdout.split())
        assert ("what the job asks for to the end first" in page) is bool(starts)
        told = json.loads(lexmove("plan", "job.yaml", "--offline", "--json").stdout)
        most[len(starts)] = told["epochs"]["search_most"]
    assert most[2] - most[0] == 4 - 1


@pytest.mark.parametrize(("proposer", "is_said"), [("policy", True), ("random", False)])
def test_it_says_who_goes_to_the_end_first(
    job: Path, lexmove: Lexmove, proposer: str, *, is_said: bool
) -> None:
    fields = {
        "fidelity": {"max_epochs": 4, "eta": 2},
        "agent": {"proposer": proposer, "memory": False},
    }
    job.write_text(json.dumps({**JOB, **fields}))
    page = " ".join(lexmove("plan", "job.yaml", "--offline").stdout.split())
    assert "pause after 1, 2, the best 1 in 2 go on" in page
    assert ("the default to the end first" in page) is is_said


def test_it_says_what_earlier_studies_change(job: Path, lexmove: Lexmove, tmp_path: Path) -> None:
    fields = {
        "metric": {"name": "f1_macro"},
        "fidelity": {"max_epochs": 4, "eta": 2},
        "budget": {"trials": 200},
    }
    told = {}
    for memory in (False, True):
        job.write_text(json.dumps({**JOB, **fields, "agent": {"memory": memory}}))
        if not memory:
            loaded, space = load_job_and_space(job)
            url = write_past(tmp_path, past_study(loaded.model_copy(update={"name": "tos"}), space))
        page = " ".join(lexmove("plan", "job.yaml", "--offline", LEXMOVE_STORE=url).stdout.split())
        assert ("10 that earlier studies speak for to the end first" in page) is memory
        words = ("plan", "job.yaml", "--offline", "--json")
        told[memory] = json.loads(lexmove(*words, LEXMOVE_STORE=url).stdout)["epochs"]
    short = JOB | fields | {"budget": {"trials": 10}, "finalists": {"top": 1, "seeds": 2}}
    job.write_text(json.dumps(short))
    page = " ".join(lexmove("plan", "job.yaml", "--offline", LEXMOVE_STORE=url).stdout.split())
    assert "6 that earlier studies speak for to the end first" in page, "there are no more"
    job.write_text(json.dumps(JOB | fields))
    by_option = lexmove("plan", "job.yaml", "--offline", "--store", url)
    assert "10 that earlier studies speak for" in " ".join(by_option.stdout.split())
    assert by_option.stderr.splitlines()[-1] == f"next: lexmove tune job.yaml --store {url}"
    assert told[True]["search_most"] - told[False]["search_most"] == (10 - 1) * (4 - 1)
    assert told[True]["search"] == told[False]["search"]


def test_the_next_command_is_one_that_works(job: Path, lexmove: Lexmove, tmp_path: Path) -> None:
    job.rename(tmp_path / "my job.yaml")
    words = ("plan", "my job.yaml", "--offline")
    assert lexmove(*words).stderr.splitlines()[-1] == "next: lexmove tune 'my job.yaml'"
    url = make_store(tmp_path)  # where a study has the job's name
    said = lexmove(*words, LEXMOVE_STORE=url).stderr.splitlines()[-1]
    assert said.startswith("study 'clauses' exists already, of a job that differs in task.name (")
    assert said.endswith(": lexmove resume clauses, or change `name` in the job")
