"""Bad input: one message that says what is wrong, the exit code, nothing half-written."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
import typer

from cli.conftest import Lexmove
from lexmove.cli.conduct import conducted, resumable, say_next
from lexmove.errors import ClusterError, NoSuccessfulTrialError
from lexmove_process import begun

JOB = """\
name: study
task: {name: license_category}
space:
  parameters:
    learning_rate: {min: 1e-5, max: 1e-3, log: true}
"""


def refused(lexmove: Lexmove, *words: str, code: int = 2) -> str:
    """What a call that must fail says; stdout stays empty and there is no traceback."""
    done = lexmove(*words)
    assert done.exit_code == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def write_job(folder: Path, text: str = JOB) -> str:
    (folder / "job.yaml").write_text(text)
    return "job.yaml"


def test_a_missing_file(lexmove: Lexmove) -> None:
    assert "nowhere.yaml" in refused(lexmove, "tune", "nowhere.yaml")


def test_broken_yaml(lexmove: Lexmove, tmp_path: Path) -> None:
    said = refused(lexmove, "tune", write_job(tmp_path, "name: [unclosed\n"))
    assert said.startswith("error: job.yaml:")


def test_all_mistakes_of_a_file_at_once(lexmove: Lexmove, tmp_path: Path) -> None:
    job = JOB.replace("name: study", "name: study\nbudgte: {trials: 3}\nseed: many")
    said = refused(lexmove, "plan", write_job(tmp_path, job))
    assert said.startswith("error: 2 mistakes\n")
    assert "job.yaml:2:1: unknown key 'budgte'" in said
    assert "did you mean 'budget'?" in said
    assert "job.yaml:3:7: seed must be" in said


@pytest.mark.parametrize("verb", ["plan", "tune"])
def test_an_unknown_task(verb: str, lexmove: Lexmove, tmp_path: Path) -> None:
    job = write_job(tmp_path, JOB.replace("license_category", "license_categorie"))
    assert "did you mean 'license_category'?" in refused(lexmove, verb, job)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.yaml"]


def test_an_unknown_hyperparameter(lexmove: Lexmove, tmp_path: Path) -> None:
    job = write_job(tmp_path, JOB.replace("learning_rate", "learning_rat"))
    assert "did you mean 'learning_rate'?" in refused(lexmove, "plan", job, "--offline")


def test_an_unknown_study_names_the_nearest(lexmove: Lexmove, store: str) -> None:
    said = refused(lexmove, "show", "clause", "--store", store)
    assert "did you mean 'clauses'?" in said


def test_an_unknown_trial(lexmove: Lexmove, store: str) -> None:
    said = refused(lexmove, "show", "clauses", "9", "--store", store)
    assert "its trials: 0 to 3" in said


def test_a_store_of_no_known_kind(lexmove: Lexmove) -> None:
    assert "sqlite:///" in refused(lexmove, "ls", "--store", "sqlit:///studies.db")


def test_a_store_that_is_no_database(lexmove: Lexmove, tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("these are my notes\n" * 100)
    refused(lexmove, "ls", "--store", "sqlite:///notes.db", code=1)


def test_words_that_are_no_usage(lexmove: Lexmove) -> None:
    assert "No such option" in refused(lexmove, "ls", "--colour")
    assert "No such command" in refused(lexmove, "tun")


def test_exit_codes_come_from_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    @conducted
    def verb(error: Exception) -> None:
        raise error

    codes = []
    for error in (NoSuccessfulTrialError("none"), ClusterError("no answer"), KeyboardInterrupt()):
        with pytest.raises(typer.Exit) as ended:
            verb(error)
        codes.append(ended.value.exit_code)
    assert codes == [3, 4, 130]
    assert capsys.readouterr().err == "error: none\nerror: no answer\ninterrupted\n"


def test_a_package_that_is_missing_is_no_bug(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @conducted
    def verb() -> None:
        import plotly.graph_objects  # noqa: F401

    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.delitem(sys.modules, "plotly.graph_objects", raising=False)
    with pytest.raises(typer.Exit):
        verb()
    said = capsys.readouterr().err
    assert f"{sys.executable} has no plotly, which lexmove needs for this" in said
    assert "pip install plotly" in said
    assert "bug" not in said


def test_a_bug_is_one_line_and_says_how_to_see_more(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @conducted
    def verb() -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.delenv("LEXMOVE_DEBUG", raising=False)
    with pytest.raises(typer.Exit):
        verb()
    assert capsys.readouterr().err == (
        "error: ZeroDivisionError: by nothing\n"
        "this is a bug in lexmove; `LEXMOVE_DEBUG=1` shows the trace\n"
    )
    monkeypatch.setenv("LEXMOVE_DEBUG", "1")
    with pytest.raises(typer.Exit):
        verb()
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupted_study_says_how_to_go_on(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, resumable("clauses", store=store):
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
    assert f"lexmove resume clauses --store {store}\n" in capsys.readouterr().err


def terminated() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


def test_sigterm_interrupts_a_study_as_ctrl_c_does(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where no trial runs, as while the finalists are compared."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(typer.Exit) as ended, resumable("clauses", store=store):
        terminated()
    assert ended.value.exit_code == 130
    assert "lexmove resume clauses" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_comes_next_is_said_without_the_password(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say_next("clauses", store="postgresql+psycopg://me:secret@host/studies")
    said = capsys.readouterr().err
    assert "--store postgresql+psycopg://me:…@host/studies" in said
    assert "secret" not in said
    assert "--trials 8  go on with eight more trials" in said
    say_next("clauses", store="postgresql://host/studies", is_timed=True)
    assert "--trials 1  search for as long again" in capsys.readouterr().err


def test_an_interrupt_before_the_study_says_that_nothing_was_written(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit), resumable("other", store=store):
        raise KeyboardInterrupt
    assert "nothing was written" in capsys.readouterr().err


def test_ctrl_c_ends_a_real_process_with_130(tmp_path: Path, environment: dict[str, str]) -> None:
    pipe = tmp_path / "job.yaml"
    os.mkfifo(pipe)  # the verb waits for a job file that is never written
    process = begun(tmp_path, "plan", "job.yaml", "--offline", environment=environment)
    with pipe.open("w"):  # opens as soon as the verb reads
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "interrupted\n")
