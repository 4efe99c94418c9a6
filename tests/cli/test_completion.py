"""What a shell is offered at a Tab, asked as bash asks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.studies import NAME

CALL = "from lexmove.cli import main; main()"


def offered(line: str, folder: Path, environment: dict[str, str], **more: str) -> list[str]:
    """The words for the end of a line."""
    words = line.split(" ")
    asked = {
        "_LEXMOVE_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", CALL],
        cwd=folder,
        env={**environment, **asked, **more},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_verbs_and_options(tmp_path: Path, environment: dict[str, str]) -> None:
    assert offered("lexmove re", tmp_path, environment) == ["resume", "report"]
    assert "answer" not in offered("lexmove ", tmp_path, environment), "hidden verbs stay so"
    assert "--without-data" in offered("lexmove export x --", tmp_path, environment)


@pytest.mark.parametrize("verb", ["show", "report", "logs"])
def test_the_names_of_studies(
    verb: str, store: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    line = f"lexmove {verb} "
    assert offered(line, tmp_path, environment, LEXMOVE_STORE=store) == [NAME]
    assert offered(f"{line}cl", tmp_path, environment, LEXMOVE_STORE=store) == [NAME]
    assert offered(f"{line}x", tmp_path, environment, LEXMOVE_STORE=store) == []


def test_a_store_on_the_line_and_none_at_all(
    store: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    assert offered(f"lexmove show --store {store} ", tmp_path, environment) == [NAME]
    assert offered("lexmove show ", tmp_path, environment) == []
    assert offered("lexmove show --address http://127.0.0.1:1 ", tmp_path, environment) == []
    assert offered("lexmove show --store nonsense ", tmp_path, environment) == []
    assert list(tmp_path.iterdir()) == [], "nothing is made by asking"


def test_bash_is_told_how_to_ask(tmp_path: Path, environment: dict[str, str]) -> None:
    """In a real bash, the function that `--show-completion bash` prints."""
    script = """
eval "$(lexmove --show-completion bash)"
COMP_WORDS=(lexmove do) COMP_CWORD=1
_lexmove_completion lexmove
echo "${COMPREPLY[@]}"
"""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**environment, "PATH": programs},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["doctor"], done.stderr
