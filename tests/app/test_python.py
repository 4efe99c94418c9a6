"""What Python shows of a study: its progress where somebody reads it, and its trials as a table."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

import lexmove
from app.test_running import SPACE, make_job
from cli.studies import NAME, make_store
from lexmove.app import stored
from lexmove.coordinator.store import open_store
from lexmove.errors import UsageError
from lexmove.study.study import Study


class Terminal(io.StringIO):
    """A stderr that somebody looks at."""

    def isatty(self) -> bool:
        return True


def told(folder: Path, stderr: io.StringIO, **options: object) -> str:
    """What a study that soon ends says on this stderr."""
    job = make_job(folder, resources={"gpu": 999.0})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stderr)
        with pytest.raises(UsageError, match="lower `resources` in the job"):
            lexmove.tune(job, SPACE, store=f"sqlite:///{folder}/studies.db", **options)
    return stderr.getvalue()


def test_a_terminal_and_a_notebook_are_told_how_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told(tmp_path, Terminal()).endswith("] checking the job\n")
    assert told(tmp_path, io.StringIO()) == ""
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert told(tmp_path, io.StringIO()).endswith("] checking the job\n")


def test_ipython_without_a_kernel_is_a_terminal_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert told(tmp_path, io.StringIO()) == ""


def test_progress_can_be_switched_off_and_be_ones_own(tmp_path: Path) -> None:
    phases: list[str] = []

    def note(phase: str, study: Study | None) -> None:
        phases.append(phase)

    assert told(tmp_path, Terminal(), progress=None) == ""
    assert told(tmp_path, Terminal(), progress=note) == ""
    assert phases


def test_the_trials_as_a_table(tmp_path: Path) -> None:
    url = make_store(tmp_path)
    study = open_store(url).load(NAME)
    table = stored.load(NAME, store=url).trials_dataframe()
    assert isinstance(table, pd.DataFrame)
    assert table.index.name == "trial"
    assert list(table.index) == [trial.trial_id for trial in study.trials]
    assert list(table.columns)[:5] == ["state", "epochs", study.spec.metric, "seconds", "move"]
    assert list(table.columns)[5:] == [f"config/{name}" for name in study.spec.space.names]
    assert study.incumbent is not None
    best = table[study.spec.metric].idxmax()
    assert best == study.incumbent.trial_id
    row, trial = table.loc[best], study.trials[best]
    assert (row["state"], row["epochs"]) == (trial.status.value, trial.fidelity)
    assert row["move"] == trial.decision.text
    assert {name: row[f"config/{name}"] for name in trial.config} == trial.config
    for name in set(study.spec.space.names) - set(trial.config):
        assert pd.isna(row[f"config/{name}"])
