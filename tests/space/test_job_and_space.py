"""A job with its space: where the space is found, and all mistakes of both at their place."""

from pathlib import Path

import pytest

from lexmove.errors import InvalidFileError
from lexmove.space.loading import load_job_and_space

JOB = "name: a\ntask: {name: license_role}\n"


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def _mistakes(job: Path) -> list[str]:
    with pytest.raises(InvalidFileError) as caught:
        load_job_and_space(job)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_a_job_with_its_space_inline(tmp_path: Path) -> None:
    text = JOB + "space: {parameters: {lr: {min: 1e-5, max: 1e-3}}}"
    job, space = load_job_and_space(_write(tmp_path / "job.yaml", text))
    assert job.name == "a"
    assert space.names == ("lr",)


def test_a_space_is_looked_up_beside_the_job_then_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job_path = _write(tmp_path / "jobs" / "job.yaml", JOB + "space: space.yaml")
    _write(tmp_path / "space.yaml", "parameters: {here: {value: 1}}")
    job, space = load_job_and_space(job_path)
    assert (job.space, space.names) == ("space.yaml", ("here",))
    beside = _write(tmp_path / "jobs" / "space.yaml", "parameters: {beside: {value: 1}}")
    job, space = load_job_and_space(job_path)
    assert (job.space, space.names) == (str(beside), ("beside",))


def test_mistakes_of_job_and_space_come_together(tmp_path: Path) -> None:
    job = _write(tmp_path / "job.yaml", JOB + "space: s.yaml\nseeds: 1\nseed: -1\nseed: 2")
    space = _write(tmp_path / "s.yaml", "parameters: {x: {min: 2, max: 1}}")
    assert _mistakes(job) == [
        f"{job}:4:1: unknown key 'seeds' in a job; did you mean 'seed'?",
        f"{job}:5:7: seed must be at least 0, not -1",
        f"{job}:6:1: the key 'seed' stands twice (first on line 5): keep one",
        f"{space}:1:23: min 2 must be below max 1: exchange them",
    ]


def test_mistakes_of_an_inline_space_have_their_place_in_the_job(tmp_path: Path) -> None:
    text = JOB + "space:\n  parameters:\n    x: {min: 2, max: 1}\n    x: 3\nbudget: 3\n"
    job = _write(tmp_path / "job.yaml", text)
    assert _mistakes(job) == [
        f"{job}:5:14: min 2 must be below max 1: exchange them",
        f"{job}:6:5: the key 'x' stands twice (first on line 5): keep one",
        f"{job}:7:9: budget must be a mapping of keys to values, not 3",
    ]


def test_configs_that_a_job_asks_for_are_held_to_the_space(tmp_path: Path) -> None:
    text = """\
space:
  parameters:
    lr: {min: 1e-5, max: 1e-3}
    use: {values: [false, true]}
    rank: {min: 1, max: 64, when: {use: true}}
  forbid: [{use: true, rank: 1}]
agent:
  starts:
    - {lr: 1e-4, rnk: 3}
    - lr: 0.5
      use: 1
    - {rank: 3}
    - {use: true, rank: 1}
    - {use: true, rank: 2}
finalists: {compare: [{name: mine, config: {lr: low}}]}
"""
    job = _write(tmp_path / "job.yaml", JOB + text)
    assert _mistakes(job) == [
        f"{job}:11:18: the space has no hyperparameter 'rnk'; did you mean 'rank'?",
        f"{job}:12:11: lr = 0.5 is not possible: it is a number in [1e-05, 0.001]",
        f"{job}:13:12: use = 1 is not possible: it is one of false, true",
        f"{job}:14:7: rank is inactive here: its `when` does not hold",
        f"{job}:15:7: {{'lr': 0.000505, 'use': True, 'rank': 1}} is a forbidden combination",
        f"{job}:17:49: lr = 'low' is not possible: it is a number in [1e-05, 0.001]",
    ]


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ("none.yaml", "job.yaml:3:8: space: there is no file 'none.yaml', neither in "),
        ("broken.yaml", "broken.yaml:1:3: the bracket opened on line 1 is not closed here"),
        ("3", "job.yaml:3:8: space must be the path of a search-space file, or its content"),
    ],
)
def test_a_space_that_cannot_be_read(tmp_path: Path, space: str, expected: str) -> None:
    _write(tmp_path / "broken.yaml", "[1")
    job = _write(tmp_path / "job.yaml", JOB + f"space: {space}")
    (mistake,) = _mistakes(job)
    assert expected in mistake
