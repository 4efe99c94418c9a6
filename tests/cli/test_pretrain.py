"""`lexmove pretrain`: what it refuses, and what it leaves behind."""

import json
from pathlib import Path

import pytest
import typer

from agent.test_task_families import past_study
from cli.conftest import Lexmove
from lexmove.agent.pretraining.held_out import Comparison
from lexmove.agent.pretraining.record import Record
from lexmove.agent.pretraining.run import PretrainingResult, Progress
from lexmove.app.pretraining_job import PretrainingRequest, begin, request_of, spec_of
from lexmove.cli.pretrain_view import say_progress, verdict, write_pretraining
from lexmove.coordinator.store import open_store
from lexmove.errors import UsageError
from lexmove.study.study import Study
from postgres_fixture import PostgresServer


def refused(lexmove: Lexmove, *words: str) -> str:
    done = lexmove("pretrain", *words)
    assert done.exit_code == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_folder_with_something_in_it_is_left_alone(lexmove: Lexmove, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    said = refused(lexmove, "--out", "mine")
    assert "mine exists and is not empty" in said
    assert "choose another folder for --out" in said
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_run_is_not_begun_twice(lexmove: Lexmove, tmp_path: Path) -> None:
    begin(tmp_path / "run", PretrainingRequest(steps=10, seed=3))
    assert "--resume goes on with it" in refused(lexmove, "--out", "run")
    assert request_of(tmp_path / "run") == PretrainingRequest(steps=10, seed=3)


def test_nothing_to_resume(lexmove: Lexmove) -> None:
    said = refused(lexmove, "--out", "nowhere", "--resume")
    assert "nowhere holds no pre-training to resume" in said


def test_a_broken_request(lexmove: Lexmove, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for text in ('{"stepps": 3}', "[]", '{"steps": 1.5}', '{"seed": true}'):
        (tmp_path / "run" / "request.json").write_text(text)
        assert "request.json is broken" in refused(lexmove, "--out", "run", "--resume")


def test_a_resumed_run_keeps_what_was_asked(lexmove: Lexmove) -> None:
    said = refused(lexmove, "--out", "run", "--resume", "--steps", "5", "--from-studies", "x")
    assert "leave out --steps, --from-studies" in said


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--steps", "0", "steps must be 1 or more decisions, not 0"),
        ("--workers", "0", "workers must be 1 or more processes, not 0"),
        ("--seed", "-1", "seed must be 0 to 2147483647, not -1"),
        ("--seed", "5000000000", "seed must be 0 to 2147483647, not 5000000000"),
    ],
)
def test_numbers_that_make_no_sense(
    lexmove: Lexmove, tmp_path: Path, option: str, value: str, said: str
) -> None:
    assert said in refused(lexmove, "--out", "run", option, value)
    assert not (tmp_path / "run").exists()


def test_a_store_with_nothing_to_learn_from(lexmove: Lexmove, store: str, tmp_path: Path) -> None:
    said = refused(lexmove, "--out", "run", "--from-studies", store)
    assert "no study of the store (1 in all) has 12 results" in said
    assert not (tmp_path / "run").exists()


def test_a_store_that_is_not_there(lexmove: Lexmove, tmp_path: Path) -> None:
    said = refused(lexmove, "--out", "run", "--from-studies", "sqlite:///nothere.db")
    assert "there is no store at sqlite:///" in said
    assert "check --from-studies" in said
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_no_store_can_be_in(lexmove: Lexmove, store: str) -> None:
    said = refused(lexmove, "--out", "q?x", "--from-studies", store)
    assert "--out q?x: past studies are copied there" in said


def stored(folder: Path, study: Study) -> str:
    url = f"sqlite:///{folder}/studies.db"
    store = open_store(url)
    store.create(study.spec)
    store.append(study.spec.name, *study.events)
    return url


def test_past_studies_are_half_of_the_tasks_as_they_were_when_the_run_began(tmp_path: Path) -> None:
    study, out = past_study(14), tmp_path / "my run"
    url = stored(tmp_path, study)
    begin(out, PretrainingRequest(steps=9, from_studies=url))
    (tmp_path / "studies.db").unlink()
    asked = request_of(out)
    assert asked == PretrainingRequest(steps=9, from_studies=url)
    spec = spec_of(out, asked)
    assert spec.sources == "half synthetic families, half past studies (1)"
    assert spec.make_objective.studies == (study,)
    families = {spec.make_objective(seed)[1].family for seed in range(20)}
    assert "study past" in families
    assert len(families) > 1
    (out / "studies.db").unlink()
    with pytest.raises(UsageError, match=r"studies.db is missing.*: restore it, or begin again"):
        spec_of(out, asked)


def test_no_password_is_written_down(tmp_path: Path, postgres: PostgresServer) -> None:
    url = postgres.url(postgres.new_user())
    store = open_store(url)
    store.create(past_study(14).spec)
    store.append("past", *past_study(14).events)
    begin(tmp_path / "run", PretrainingRequest(from_studies=url))
    assert postgres.password in url
    assert postgres.password not in (tmp_path / "run" / "request.json").read_text()
    assert "1" in spec_of(tmp_path / "run", request_of(tmp_path / "run")).sources


def test_a_store_of_no_known_kind(lexmove: Lexmove) -> None:
    said = refused(lexmove, "--out", "run", "--from-studies", "sqlit:///studies.db")
    assert "sqlite:///" in said


def test_a_request_says_how_long_and_on_how_many_processes(tmp_path: Path) -> None:
    one, two = (
        spec_of(tmp_path, request)
        for request in (PretrainingRequest(steps=7), PretrainingRequest(workers=2))
    )
    assert (one.num_decisions, one.ppo.num_env_runners) == (7, 0)
    assert two.ppo.num_env_runners == 2


def a_result(difference: float, *, best_iteration: int = 20) -> PretrainingResult:
    found = Comparison(
        policy=0.03,
        floor=0.04,
        difference=difference,
        low=difference - 0.01,
        high=difference + 0.01,
        wins=40,
        losses=30,
    )
    return PretrainingResult(
        weights={},
        policy_version="0123456789abcdef",
        best_iteration=best_iteration,
        confirmation=found,
        record=Record(),
    )


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (a_result(-0.02), "better than the floor on tasks"),
        (a_result(0.0), "do not show"),
        (a_result(0.02), "do not use these weights"),
        (a_result(0.0, best_iteration=0), "the weights are the floor's own"),
    ],
)
def test_the_verdict_is_plain(result: PretrainingResult, said: str) -> None:
    assert said in verdict(result)
    assert result.beats_floor == ("better than the floor on" in verdict(result))


def test_the_last_words(capsys: pytest.CaptureFixture[str]) -> None:
    write_pretraining(a_result(-0.02), Path("run/policy.safetensors"))
    assert capsys.readouterr().out.splitlines() == [
        "weights   run/policy.safetensors",
        "policy    0123456789abcdef, after 20 iterations",
        "held out  regret 0.0300 (floor 0.0400)",
        "          difference -0.0200 (-0.0300 to -0.0100), better on 40 tasks, worse on 30",
        "The policy is better than the floor on tasks that it has not seen.",
    ]


def test_a_line_of_progress(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(
        iteration=11,
        num_decisions=12_288,
        total_decisions=1_000_000,
        mean_return=1.923,
        kl_to_floor=0.0131,
        entropy=float("nan"),
        seconds_left=7_800.0,
        held_out=a_result(-0.02).confirmation,
    )
    say_progress(progress)
    assert capsys.readouterr().err == (
        "iteration 12 · 12,288 of 1,000,000 decisions · return 1.923 · KL to floor 0.013 · "
        "entropy – · held-out regret 0.0300 (floor 0.0400) · 2 h 10 min left\n"
    )


def test_an_interrupted_run_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lexmove.app import pretraining_job
    from lexmove.cli.commands import run_pretrain

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pretraining_job, "run", interrupted)
    with pytest.raises(typer.Exit) as ended:
        run_pretrain(
            tmp_path / "run", steps=9, seed=None, workers=None, resume=False, from_studies=None
        )
    assert ended.value.exit_code == 130
    assert f"lexmove pretrain --out {tmp_path / 'run'} --resume" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "request.json").read_text())["steps"] == 9
