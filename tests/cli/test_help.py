"""The frozen words of `--help`, and what it costs."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.main import get_command

from cli.conftest import Lexmove
from lexmove.cli.verbs import app
from lexmove.trials.tasks.task import BUILT_IN

VERBS = tuple(
    name
    for name, verb in get_command(app).commands.items()
    if not verb.hidden and name != "cluster"
)
"""Those for people; `cluster` has pages of its own."""

HEAVY = ("torch", "ray", "optuna", "transformers", "datasets", "sklearn", "scipy", "numpy")

LOADED = """
import sys
sys.argv[1:] = {words}
from lexmove.cli import main
try:
    main()
except SystemExit as end:
    code = end.code
print(sorted(set({heavy}) & set(sys.modules)), code, file=sys.stderr)
"""


def loaded(
    words: list[str], heavy: tuple[str, ...], folder: Path, environment: dict[str, str]
) -> str:
    """What of `heavy` a call of the command line loads, and its exit code."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(words=words, heavy=heavy)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.splitlines()[-1]


def test_help_is_frozen(lexmove: Lexmove, golden: Callable[[str, str], None]) -> None:
    pages = [("lexmove --help", lexmove("--help"))]
    pages += [(f"lexmove {verb} --help", lexmove(verb, "--help")) for verb in VERBS]
    assert [page.exit_code for _, page in pages] == [0] * len(pages)
    text = "\n".join(f"$ {title}\n{page.stdout}" for title, page in pages)
    golden("cli_help.txt", text)


def test_the_built_in_tasks_are_listed(lexmove: Lexmove) -> None:
    said = lexmove("init", "--help").stdout
    assert [name for name in BUILT_IN if name not in said] == []


def test_every_verb_has_an_example(lexmove: Lexmove) -> None:
    for verb in VERBS:
        assert f"Example: lexmove {verb}" in lexmove(verb, "--help").stdout


@pytest.mark.parametrize(
    "words", [["--help"], ["ls", "--help"], ["tune", "--help"], ["submit", "--help"], ["--version"]]
)
def test_help_loads_nothing_heavy(
    words: list[str], tmp_path: Path, environment: dict[str, str]
) -> None:
    assert loaded(words, HEAVY, tmp_path, environment) == "[] 0"


@pytest.mark.parametrize(
    "words", [["ls"], ["show", "clauses"], ["show", "clauses", "2"], ["best", "clauses"]]
)
def test_reading_loads_neither_torch_nor_ray(
    words: list[str], store: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    heavy = ("torch", "ray", "transformers", "datasets")
    assert loaded([*words, "--store", store], heavy, tmp_path, environment) == "[] 0"


def test_planning_offline_loads_neither_torch_nor_ray(
    lexmove: Lexmove, tmp_path: Path, environment: dict[str, str]
) -> None:
    assert lexmove("init").exit_code == 0
    heavy = ("torch", "ray", "transformers", "datasets", "optuna")
    assert loaded(["plan", "job.yaml", "--offline"], heavy, tmp_path, environment) == "[] 0"
