"""`lexmove report`: the file it writes, what it says, and what it refuses."""

from pathlib import Path

import pytest

from cli.conftest import Lexmove
from cli.studies import NAME, make_store
from cli.test_help import loaded
from lexmove.cli.report_verb import _default_name


def test_a_page_is_written_here_and_its_path_said(lexmove: Lexmove, store: str) -> None:
    done = lexmove("report", NAME, "--store", store)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{NAME}.report.html\n"
    assert "open it in any browser" in done.stderr
    html = Path(f"{NAME}.report.html").read_text("utf-8")
    # The verdict of `best`, the repeated mean and the move are all there.
    assert "On the test split TF-IDF + logistic regression won" in html
    assert "0.5920 ± 0.0050" in html
    assert "learning_rate 2.0e-04 → 4.0e-04 (×2)" in html
    assert "f1_macro is nan at fidelity 1" in html


@pytest.mark.parametrize("option", ["--output", "--out"])
def test_another_place_can_be_named(
    option: str, lexmove: Lexmove, store: str, tmp_path: Path
) -> None:
    (tmp_path / "pages").mkdir()
    path = tmp_path / "pages" / "a.html"
    done = lexmove("report", NAME, "--store", store, option, str(path))
    assert done.exit_code == 0, done.stderr
    assert path.exists()


def test_several_studies_are_compared(
    lexmove: Lexmove, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_store(tmp_path)
    done = lexmove("report", NAME, f"{NAME}.repetitions.4", "--store", url)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "comparison.report.html\n"
    assert "2 studies compared" in Path("comparison.report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "nothing"),
        ([NAME, NAME], "is named twice"),
        ([NAME, "--output", "missing/a.html"], "give another place with --output"),
    ],
)
def test_what_cannot_be_is_refused(
    words: list[str], said: str, lexmove: Lexmove, store: str
) -> None:
    done = lexmove("report", *words, "--store", store)
    assert done.exit_code == 2
    assert said in done.stderr
    assert list(Path().iterdir()) == []


def test_a_page_is_written_whole_or_not_at_all(
    lexmove: Lexmove, store: str, tmp_path: Path
) -> None:
    (tmp_path / "a.html").mkdir()
    done = lexmove("report", NAME, "--store", store, "--output", "a.html")
    assert done.exit_code == 2
    assert "cannot write a.html" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


@pytest.mark.parametrize(
    ("place", "instead"),
    [(".", "report.html"), ("/", "/report.html"), ("pages", "pages/report.html")],
)
def test_a_folder_is_no_place_for_a_page(
    place: str, instead: str, lexmove: Lexmove, store: str, tmp_path: Path
) -> None:
    (tmp_path / "pages").mkdir()
    done = lexmove("report", NAME, "--store", store, "--output", place)
    assert done.exit_code == 2
    assert f"cannot write {place}: it is a folder" in done.stderr
    assert f"say --output {instead}" in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["pages"]


def test_the_name_of_a_file_is_one() -> None:
    assert _default_name(["contracts-2.b"]) == "contracts-2.b.report.html"
    assert _default_name(["../a/b"]) == "_a_b.report.html"
    assert _default_name([".."]) == "study.report.html"


def test_it_loads_neither_torch_nor_ray(
    store: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    heavy = ("torch", "ray", "transformers", "datasets")
    assert loaded(["report", NAME, "--store", store], heavy, tmp_path, environment) == "[] 0"
