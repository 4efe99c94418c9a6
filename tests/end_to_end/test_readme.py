"""What the README shows, on the user's own csv: every command of it is run by this or another test.

The job is the README's, with a smaller budget.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from architecture.readme_commands import commands, shown
from architecture.readme_tree import ROOT
from lexmove_process import begun

ELSEWHERE = {
    "make test": "what runs this test",
    "make demo": "tests/cli/test_demo_and_doctor.py runs what it calls",
}
"""Commands that no test gives to a shell, and what there is instead."""

WORDS = {
    "lease": "rent premises tenant landlord",
    "tax": "duty levy fiscal return",
    "end": "cancel expire notice terminate",
}
_PATIENCE_S = 900


def job() -> str:
    """The README's first job."""
    (text, *_) = re.findall(r"```yaml\n(name: contracts\n.*?)```", readme(), re.DOTALL)
    return str(text)


def readme() -> str:
    return (ROOT / "README.md").read_text("utf-8")


def write_clauses(folder: Path) -> None:
    """Clauses of forty contracts, in the columns that the job names."""
    rows = [
        f"{words} clause {number},{label},contract {number}"
        for number in range(40)
        for label, words in WORDS.items()
    ]
    (folder / "clauses.csv").write_text("clause,type,contract\n" + "\n".join(rows) + "\n")


def run(folder: Path, words: list[str]) -> str:
    """What `lexmove WORDS` writes to stdout; it ends well."""
    process = begun(folder, *words)
    out, err = process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == 0, f"{words}\n{out}\n{err}"
    return str(out)


@pytest.mark.slow  # a minute on an idle machine
@pytest.mark.timeout(900)
def test_the_first_steps_on_ones_own_csv(tmp_path: Path) -> None:
    write_clauses(tmp_path)
    shutil.copytree(ROOT / "search_spaces", tmp_path / "search_spaces")
    small = job().replace("trials: 24", "trials: 7").replace("max_epochs: 4", "max_epochs: 2")
    assert small != job()
    (tmp_path / "job.yaml").write_text(small)

    assert "contracts" in run(tmp_path, shown("lexmove plan job.yaml"))
    run(tmp_path, shown("lexmove tune job.yaml"))
    assert "learning_rate" in run(tmp_path, shown("lexmove show contracts"))
    best = json.loads(run(tmp_path, shown("lexmove best contracts --json")))
    assert best["repeated"]["num_seeds"] >= 1
    run(tmp_path, shown("lexmove resume contracts"))
    assert "contracts" in run(tmp_path, shown("lexmove report contracts"))
    assert (tmp_path / "contracts.report.html").stat().st_size > 1e6
    run(tmp_path, shown("lexmove export contracts --out best"))
    _trains_anew(tmp_path)

    (tmp_path / "leases.yaml").write_text(small.replace("name: contracts", "name: leases"))
    run(tmp_path, ["tune", "leases.yaml", "--address", "in-process"])
    run(tmp_path, shown("lexmove report contracts leases"))
    assert (tmp_path / "comparison.report.html").stat().st_size > 1e6


def _trains_anew(folder: Path) -> None:
    words = shown("best/run.sh --seed 1 --out anew")
    environment = os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    subprocess.run([folder / "best" / "run.sh", *words], cwd=folder, env=environment, check=True)
    result = json.loads((folder / "anew" / "result.json").read_text())
    assert result["seed"] == 1


@pytest.mark.slow  # two minutes on an idle machine
@pytest.mark.timeout(1200)
def test_an_example_as_its_readme_has_it(tmp_path: Path) -> None:
    (tmp_path / "platform").symlink_to(ROOT / "platform")
    shutil.copytree(ROOT / "search_spaces", tmp_path / "search_spaces")
    run(tmp_path, shown("lexmove plan platform/lexmove/examples/offline_single_label.yaml"))
    run(tmp_path, shown("lexmove tune platform/lexmove/examples/offline_single_label.yaml"))
    assert "f1" in run(tmp_path, shown("lexmove best offline_single_label"))


def test_every_command_is_run_by_a_test() -> None:
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    given = set(re.findall(r'shown\(\s*"([^"]+)"', tests))
    given |= {
        f"{command} --address $RAY_API_SERVER_ADDRESS"
        for command in re.findall(r'there\(\s*"([^"]+)"', tests)
    }
    assert commands() - given - set(ELSEWHERE) == set()
    assert set(ELSEWHERE) <= commands()
