"""The verb `export`: what is refused before anything is written."""

from pathlib import Path

import pytest

from cli.conftest import Lexmove
from cli.studies import NAME

WORDS = ("export", NAME, "--out", "best")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--to", "mlflow"), "MLFLOW_TRACKING_URI is not set"),
        (("--push-to-hub", "me/tos"), "HF_TOKEN is not set"),
        (("--push-to-hub", "tos"), "write USER/NAME"),
    ],
)
def test_who_cannot_be_handed_to_is_said_first(
    options: tuple[str, ...],
    words: str,
    lexmove: Lexmove,
    store: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("mlflow", reason="pip install mlflow-skinny")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    done = lexmove(*WORDS, "--store", store, *options)
    assert done.exit_code == 2
    assert words in done.stderr
    assert not (tmp_path / "best").exists()


@pytest.mark.parametrize("out", [".", "../here", "{here}"])
def test_the_current_folder_is_not_replaced(
    out: str, lexmove: Lexmove, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    out = out.format(here=here)
    done = lexmove("export", NAME, "--out", out, "--store", store, "--without-data")
    assert done.exit_code == 2
    said = f"cannot write {out}: it is the current folder; give another place with --out"
    assert said in done.stderr.replace("\n", "")
    assert [path.name for path in tmp_path.rglob("*")] == ["here"]


def test_a_format_that_is_none_is_a_mistake_of_usage(lexmove: Lexmove, store: str) -> None:
    done = lexmove(*WORDS, "--store", store, "--format", "toml")
    assert done.exit_code == 2
    assert "hydra" in done.stderr
