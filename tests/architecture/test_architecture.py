"""The rules of the repository: layers, lazy imports, what lies where, and what the README says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from architecture.readme_tree import END, README, ROOT, START, block, files, tree

_TOP_LEVEL = {
    "LICENSE",
    "Makefile",
    "NOTICE",
    "README.md",
    "cluster.yaml",
    "constraints.txt",
    "platform",
    "pyproject.toml",
    "search_spaces",
    "tests",
}
_VAGUE = {"util", "utils", "helper", "helpers", "base", "manager", "handler", "common"}
_MAX_LINES = 400
_HEAVY = ("torch", "ray", "transformers", "datasets", "gymnasium", "sklearn", "optuna")


def python(code: str, *, cwd: Path = ROOT) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def modules() -> list[str]:
    return [path for path in files() if path.endswith(".py")]


def test_the_import_contracts_hold():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-logo", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_platform_is_no_package():
    """One of that name would shadow the standard library's module, and break torch and ray."""
    assert not (ROOT / "platform" / "__init__.py").exists()


def test_platform_is_the_standard_librarys():
    printed = python("import platform; print(platform.__file__); print(platform.system())")
    path, system = printed.splitlines()
    assert not Path(path).is_relative_to(ROOT / "platform")
    assert system


@pytest.mark.parametrize("module", ["lexmove", "lexmove.cli", "lexmove.errors", "lexmove.results"])
def test_light_modules_load_nothing_heavy(module):
    source = (ROOT / "platform").as_posix()
    loaded = python(
        f"import sys; sys.path.insert(0, {source!r}); import {module}; print(*sys.modules)"
    ).split()
    assert module in loaded
    assert not set(_HEAVY) & set(loaded)


def test_the_top_level_is_what_was_agreed():
    entries = {path.split("/")[0] for path in files()}
    assert {entry for entry in entries if not entry.startswith(".")} == _TOP_LEVEL


def test_no_module_is_too_long():
    lengths = {path: len((ROOT / path).read_text("utf-8").splitlines()) for path in modules()}
    assert {path: n for path, n in lengths.items() if n > _MAX_LINES} == {}


def test_no_module_has_a_vague_name():
    names = {path: set(re.split(r"[/_.]", path)) for path in modules()}
    assert {path for path, words in names.items() if words & _VAGUE} == set()


def test_the_readme_shows_every_file():
    assert START in README.read_text("utf-8")
    assert END in README.read_text("utf-8")
    assert block() == tree(), "renew it: python tests/architecture/readme_tree.py --write"
