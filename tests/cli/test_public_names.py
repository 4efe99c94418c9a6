"""What `import lexmove` offers."""

import tomllib
from pathlib import Path

import pytest

import lexmove
from lexmove.errors import UsageError
from lexmove.job.spec import JobSpec


def test_the_public_names() -> None:
    assert lexmove.__all__ == ["AskTell", "__version__", "load_job", "resume", "tune"]
    assert sorted(lexmove.__all__) == lexmove.__all__
    for name in lexmove.__all__:
        assert getattr(lexmove, name) is not None
        assert name in dir(lexmove)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'tuna'"):
        _ = lexmove.tuna


def test_the_version_is_the_projects() -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"
    assert tomllib.loads(project.read_text())["project"]["version"] == lexmove.__version__


def test_a_job_object_needs_its_space() -> None:
    job = JobSpec.model_validate({"name": "a", "task": {"name": "license_role"}, "space": "s"})
    with pytest.raises(UsageError, match="tune\\(job, space\\)"):
        lexmove.tune(job)
