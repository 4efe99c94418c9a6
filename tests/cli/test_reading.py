"""`ls`, `show` and `best` on a study made by hand: JSON contract, and words without colours."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cli.conftest import Lexmove
from cli.studies import SPACE
from lexmove.app.stored import Outcome, load
from lexmove.cli.result_view import write_result
from lexmove.cli.study_view import write_trial
from lexmove.results.summary import Arm, Repeated
from lexmove.study.starts import asked_for
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Decision, Measured, Measurement, Started

READ = (["ls"], ["show", "clauses"], ["show", "clauses", "3"], ["best", "clauses"])


def read_json(lexmove: Lexmove, store: str, *words: str) -> dict:
    done = lexmove(*words, "--store", store, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_ls_json(lexmove: Lexmove, store: str) -> None:
    assert read_json(lexmove, store, "ls") == {
        "schema_version": 1,
        "studies": [
            {
                "study": "clauses",
                "state": "interrupted",
                "goal": "maximize",
                "metric": "f1_macro",
                "budget": {"trials": 6, "wall_clock_s": None},
                "incumbent": {"trial_id": 2, "value": 0.6},
                "trials": 4,
                "winner": "trial 2",
                "repeated": {
                    "mean": 0.592,
                    "ci95": pytest.approx(0.00497, rel=0.01),
                    "num_seeds": 3,
                },
            }
        ],
    }


def test_show_json(lexmove: Lexmove, store: str) -> None:
    shown = read_json(lexmove, store, "show", "clauses")
    trials = shown.pop("trials")
    assert shown == {
        "schema_version": 1,
        "study": "clauses",
        "state": "interrupted",
        "goal": "maximize",
        "metric": "f1_macro",
        "budget": {"trials": 6, "wall_clock_s": None},
        "incumbent": {"trial_id": 2, "value": 0.6},
    }
    assert [trial["state"] for trial in trials] == ["PAUSED", "PAUSED", "PAUSED", "FAILED"]
    assert trials[0]["move"] == {
        "text": "the default config",
        "origin": None,
        "probability": None,
        "predicted_gain": None,
        "realised_gain": None,
        "expert": "start:default",
    }
    assert trials[1]["move"]["realised_gain"] == pytest.approx(0.1)
    assert trials[3]["value"] is None
    assert trials[3]["reason"] == "f1_macro is nan at fidelity 1"
    assert {key for trial in trials for key in trial} == {
        *("trial_id", "state", "value", "config", "move", "fidelity", "reason"),
        *("started", "finished"),
    }


def test_show_json_of_one_trial(lexmove: Lexmove, store: str) -> None:
    trial = read_json(lexmove, store, "show", "clauses", "2")
    assert (trial["schema_version"], trial["study"], trial["trial_id"]) == (1, "clauses", 2)
    assert trial["config"] == {"learning_rate": 4e-4}


def test_a_metric_of_ones_own_has_one_name_for_people(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own = "/home/somebody/costs.py:brier"
    study = load("clauses", store=store).study
    events = [
        replace(event, measurement=replace(event.measurement, metrics={own: 0.25}))
        if isinstance(event, Measured)
        else event
        for event in study.events
    ]
    study = Study.from_events(replace(study.spec, metric=own), events)
    write_trial(study, study.trials[2])
    said = capsys.readouterr().out
    assert re.search(r"^ *epoch +costs\.py:brier +took", said, re.MULTILINE)
    assert "somebody" not in said


def test_a_profile_in_words_and_for_programs(lexmove: Lexmove, store: str) -> None:
    found = read_json(lexmove, store, "show", "clauses", "--profile")["profile"]
    assert set(found) == {"search", "repetitions"}
    search = found["search"]
    total = sum(search["phases_s"].values()) + search["handover_s"] + search["idle_s"]
    assert total == pytest.approx(search["slots"] * search["wall_s"])
    said = lexmove("show", "clauses", "--store", store, "--profile")
    assert "Where the slots' time went" in said.stdout
    assert "at work" in said.stdout
    refused = lexmove("show", "clauses", "3", "--store", store, "--profile")
    assert refused.exit_code == 2
    assert "leave the trial's number out" in refused.stderr


def test_best_json(lexmove: Lexmove, store: str) -> None:
    best = read_json(lexmove, store, "best", "clauses")
    told = [(item["other"], item["split"], item["mean"]) for item in best.pop("differences")]
    assert told == [
        ("default", "validation", 0.179),
        ("default", "test", 0.179),
        ("TF-IDF + logistic regression", "test", -0.108),
    ]
    repeated = best.pop("repeated")
    assert repeated["num_seeds"] == 3
    assert repeated["mean"] == pytest.approx(0.592)
    assert repeated["ci95"] == pytest.approx(4.302653 * 0.002 / 3**0.5)
    assert best == {
        "schema_version": 1,
        "study": "clauses",
        "state": "interrupted",
        "trial_id": 2,
        "config": {"learning_rate": 4e-4},
        "validation": 0.6,
        "test": pytest.approx(0.572),
        "default": {"validation": pytest.approx(0.413), "test": pytest.approx(0.393)},
        "reference": {"name": "TF-IDF + logistic regression", "validation": 0.69, "test": 0.68},
        "policy_version": "v0",
        "ensemble": {"num_models": 3, "validation": 0.61, "test": 0.58, "threshold": None},
        "calibration": {
            "temperature": 1.7,
            "error_before": 0.11,
            "error_after": 0.03,
            "does_harm": False,
        },
        "threshold": None,
        "model": "studies/clauses/model",
        "model_scores": None,
        "classes": None,
        "warnings": [
            "the lead over the default config is within noise on test (+0.179, 95 % between -0.011"
            " and +0.369)",
            "TF-IDF + logistic regression does better on test than the tuned transformer (-0.108,"
            " 95 % between -0.168 and -0.048): it is cheaper, too",
        ],
        "published": [],
    }


def test_words_are_frozen(lexmove: Lexmove, store: str, golden: Callable[[str, str], None]) -> None:
    pages = []
    for words in READ:
        done = lexmove(*words, "--store", store)
        assert (done.exit_code, done.stderr) == (0, "")
        said = done.stdout.replace(f" --store {store}", " --store URL")
        pages.append(f"$ lexmove {' '.join(words)}\n{said}")
    golden("cli_reading.txt", "\n".join(pages))


def test_best_of_an_interrupted_study_says_so_first(
    lexmove: Lexmove, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = lexmove("best", "clauses", "--store", store).stdout.splitlines()
    assert lines[0] == (
        "study clauses: interrupted, 4 of 6 trials; `lexmove resume clauses --store "
        f"{store}` goes on"
    )
    outcome = load("clauses", store=store)
    all_begun = replace(outcome.study.spec, num_trials=4)
    study = replace(outcome.study, spec=all_begun)
    write_result(replace(outcome, study=study))
    assert capsys.readouterr().out.startswith(
        "study clauses: interrupted, 4 of 4 trials, its last steps are missing; `lexmove resume"
    )
    asked = asked_for(study.spec.space.default, by="you", after=4)
    grown = replace(all_begun, num_trials=5, starts=(asked,))
    write_result(replace(outcome, study=replace(study, spec=grown)))
    assert capsys.readouterr().out.startswith(
        "study clauses: 1 config to be tried, 4 of 5 trials; `lexmove resume clauses"
    )
    write_result(replace(outcome, state="running"))
    assert capsys.readouterr().out.startswith(
        "study clauses is running, 4 of 6 trials: this may change yet"
    )
    write_result(replace(outcome, state="finished"))
    assert capsys.readouterr().out.startswith("Trajectory of study clauses")
    foreign = replace(study, spec=replace(all_begun, job=""))
    write_result(replace(outcome, study=foreign))
    assert "lexmove resume" not in capsys.readouterr().out


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
@pytest.mark.parametrize(
    ("lead", "num_seeds", "said"),
    [
        (0.1, 3, "worse than this one when both were repeated)"),
        (0.0, 3, "the same as this one when both were repeated)"),
        (-0.1, 1, "better than this one when repeated, but with 1 seed)"),
        (None, 0, "was not repeated to its end)"),
    ],
)
def test_what_the_search_liked_best_is_told_from_the_winner_whichever_way_is_better(
    goal: str,
    lead: float | None,
    num_seeds: int,
    said: str,
    store: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """To be minimised, the search liked trial 0 best, which is repeated as the default."""
    outcome = load("clauses", store=store)
    study = Study.from_events(replace(outcome.study.spec, goal=goal), outcome.study.events)
    assert outcome.judgement is not None
    assert study.incumbent is not None
    arm, trial_id = ("default", 0) if study.incumbent.trial_id == 2 else ("trial 2", 2)
    winner = replace(outcome.judgement.winner, arm=arm, trial_id=trial_id)
    beside = Repeated.of([0.5 - study.sign * (lead or 0.0)] * num_seeds)
    arms = tuple(
        replace(item, validation=Repeated.of([0.5] * 3) if item.name == arm else beside)
        for item in outcome.arms
    )
    judgement = replace(outcome.judgement, winner=winner)
    write_result(replace(outcome, study=study, judgement=judgement, arms=arms))
    assert f" in the search, and {said}" in capsys.readouterr().out


def test_what_was_made_of_the_winner_is_told_with_its_own_scores(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = load("clauses", store=store)
    judgement = outcome.judgement
    assert judgement is not None
    assert judgement.ensemble is not None
    assert judgement.calibration is not None
    own = replace(outcome.study.spec, metric="/home/somebody/costs.py:brier")
    made = replace(
        judgement,
        ensemble=replace(judgement.ensemble, threshold=0.27),
        calibration=replace(judgement.calibration, temperature=1.0, does_harm=True),
        model_scores={"validation": 0.0049, "test": 0.0054},
    )
    write_result(replace(outcome, study=replace(outcome.study, spec=own), judgement=made))
    lines = capsys.readouterr().out.splitlines()
    assert (
        "3 seeds of the winner together: validation 0.6100, test 0.5800;"
        " a label is given above the mean probability 0.27"
    ) in lines
    assert (
        "probabilities are as trained: calibrated, costs.py:brier is worse on validation" in lines
    )
    assert "it is the seed that was best on validation: validation 0.0049, test 0.0054" in lines


def test_best_warns_of_a_comparison_that_repeated_better(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = load("clauses", store=store)
    assert outcome.judgement is not None
    beside = replace(outcome.judgement.differences[0], other="by hand", mean=-0.02)
    judgement = replace(outcome.judgement, differences=(beside,))
    arms = (*outcome.arms, replace(outcome.arms[0], name="by hand"))
    write_result(replace(outcome, judgement=judgement, arms=arms))
    assert (
        "warning: the comparison by hand does better on validation than trial 2 (-0.020,"
        in capsys.readouterr().out
    )


def test_studies_within_studies_are_not_among_the_known(lexmove: Lexmove, store: str) -> None:
    done = lexmove("show", "nope", "--store", store)
    assert done.exit_code == 2
    assert "; known: clauses" in done.stderr
    assert "repetitions" not in done.stderr


def test_best_says_plainly_that_the_reference_won(lexmove: Lexmove, store: str) -> None:
    lines = lexmove("best", "clauses", "--store", store).stdout.splitlines()
    assert (
        "On the test split TF-IDF + logistic regression won, 0.6800 against 0.5720 for the best "
        "config (trial 2): a lead of 0.1080, beyond noise. Tuning changed the default config's "
        "score by +0.1790, within noise."
    ) in lines


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}])
def test_a_pipe_gets_no_escape_codes(lexmove: Lexmove, store: str, variables: dict) -> None:
    for words in READ:
        assert "\x1b" not in lexmove(*words, "--store", store, **variables).stdout


def test_the_store_may_come_from_the_environment(lexmove: Lexmove, store: str) -> None:
    done = lexmove("ls", LEXMOVE_STORE=store)
    assert done.exit_code == 0
    assert "clauses" in done.stdout


def test_an_empty_store_says_what_to_do(lexmove: Lexmove) -> None:
    done = lexmove("ls")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "lexmove init" in done.stderr


def test_a_store_that_is_not_there_is_told_from_an_empty_one(
    lexmove: Lexmove, tmp_path: Path
) -> None:
    path = tmp_path / "mistyped.db"
    done = lexmove("ls", "--store", f"sqlite:///{path}")
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"no store at {path}" in done.stderr
    assert not path.exists()


def test_a_comparison_may_be_called_anything_in_the_verdict(
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = StudySpec(name="s", space=SPACE, metric="loss", goal="minimize")
    events = (
        Started(
            seq=0,
            at_s=0.0,
            trial_id=0,
            config={"learning_rate": 1e-4},
            until=1,
            seed=0,
            decision=Decision(proposer="p"),
        ),
        Measured(
            seq=1, at_s=0.0, trial_id=0, measurement=Measurement(fidelity=1, metrics={"loss": 0.3})
        ),
    )
    study = Study.from_events(spec, events)
    scores = {"trial 0": 0.5, "default": 0.7, "mine [bold]": 0.2}
    arms = tuple(
        Arm(name=name, config=SPACE.default, validation=None, test=Repeated.of([score] * 2))
        for name, score in scores.items()
    )
    write_result(Outcome(study=study, state="finished", arms=arms, reference=None))
    last = capsys.readouterr().out.splitlines()[-1]
    assert "mine [bold] won, 0.2000 against 0.5000" in last
    assert "changed the default config's score by -0.2000" in last, "less is better, and is less"


def test_repetitions_are_no_study_of_their_own(lexmove: Lexmove, store: str) -> None:
    (found,) = (
        check["detail"]
        for check in json.loads(lexmove("doctor", "--store", store, "--json").stdout)["checks"]
        if check["name"] == "store"
    )
    assert found.endswith(", 1 study")


def test_a_value_is_given_once(lexmove: Lexmove, store: str) -> None:
    words = ("learning_rate=1e-3", "learning_rate=2e-3")
    done = lexmove("enqueue", "clauses", *words, "--store", store)
    assert done.exit_code == 2
    assert "learning_rate is given twice" in done.stderr
