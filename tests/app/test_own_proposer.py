"""A proposer of the user's own: what is refused, what stops a study, and how it goes on."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from app.test_running import SPACE, make_job, silent
from lexmove.app import running, stored
from lexmove.app.checking import check_words
from lexmove.app.own_proposer import load_own_proposer
from lexmove.app.planning import first_suggestions
from lexmove.app.preparing import settled, study_spec
from lexmove.app.remembering import Memory
from lexmove.cluster.package import JOB_NAME, package_of
from lexmove.errors import StudyFailedError, UsageError
from lexmove.job.loading import load_job
from lexmove.job.spec import JobSpec
from lexmove.study.study import Study, decision_rng
from lexmove.study.trial import Ended, Started, TrialStatus

MINE = """
from lexmove.study.trial import Decision, Suggestion

class Mine:
    name = "mine"

    def propose(self, study, rng, *, lane=0):
        FIRST
        if not study.num_trials_left:
            return None
        config = study.spec.space.sample(rng)
        decision = Decision(proposer=self.name, text="a draw", lane=lane)
        return Suggestion(config=config, until=study.spec.fidelity.rungs[0], decision=decision)
"""
AT_LINE = 8


def mine(first: str = "pass") -> str:
    """The file, with a statement that comes first in `propose`."""
    return MINE.replace("FIRST", first)


def with_mine(folder: Path, text: str, **fields: object) -> JobSpec:
    path = folder / "mine.py"
    path.write_text(text)
    return make_job(folder, agent={"proposer": f"{path}:Mine"}, **fields)


def test_a_plan_asks_it_for_the_first_trials(tmp_path: Path) -> None:
    job = with_mine(tmp_path, mine())
    check_words(job, SPACE)
    found = first_suggestions(job, SPACE, Memory())
    assert [item.decision.proposer for item in found] == ["mine"] * 4
    assert len({item.config for item in found}) == 4


def test_a_module_of_the_current_folder_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "house_of_rules").mkdir()
    (tmp_path / "house_of_rules" / "drawing.py").write_text(mine())
    monkeypatch.chdir(tmp_path)
    job = make_job(tmp_path, agent={"proposer": "house_of_rules.drawing:Mine"})
    check_words(job, SPACE)
    assert settled(job).agent.proposer == "house_of_rules.drawing:Mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"there is no file .*mine\.py; a class of your own is written .*file\.py:class"),
        ("class Main: pass", r"mine\.py has no class 'Mine'; did you mean 'Main'\?"),
        ("def Mine(): pass", r"'Mine' in .*mine\.py is no class but <function"),
        ("import no_such_lib", r"mine\.py cannot be imported: ModuleNotFoundError"),
        (
            "class Mine:\n  def __init__(self, seed): pass",
            r"cannot be made: TypeError: .*'seed'; a proposer is made without arguments",
        ),
        ("class Mine: propose = print", r"has no `name` that can be read"),
        ("class Mine: name, propose = 3, print", r"its `name` is 3, and must be a text"),
        ("class Mine: name, propose = ' ', print", r"its `name` is ' ', and must be a text"),
        ("class Mine: name, propose = 'policy', print", r"'policy' is that of a proposer of lex"),
        ("class Mine: name = 'mine'", r"has no `propose` that can be read"),
        ("class Mine: name, propose = 'mine', 3", r"`propose` is no method but 3; it is called as"),
        (mine("return None"), r"suggests nothing for an empty study"),
        (mine("return {'learning_rate': 1}"), r"returned {'learning_rate': 1}: it must return a"),
        (mine("1 / 0"), rf"failed with ZeroDivisionError: division by zero in line {AT_LINE}"),
        (mine("exit(3)"), rf"failed with SystemExit: 3 in line {AT_LINE}"),
        (
            mine("return Suggestion(config={'learning_rat': 1}, until=1, decision=Decision('x'))"),
            r"failed with TypeError: Decision",
        ),
        (
            mine("return Suggestion(config={'learning_rate': 1.0}, until=1, decision=None)"),
            r"suggested with None where a Decision belongs",
        ),
    ],
)
def test_what_is_no_proposer_is_refused(text: str | None, message: str, tmp_path: Path) -> None:
    job = with_mine(tmp_path, text or "")
    if text is None:
        (tmp_path / "mine.py").unlink()
    with pytest.raises(UsageError, match=message) as caught:
        check_words(job, SPACE)
    assert str(caught.value).startswith(f"proposer '{tmp_path}/mine.py:Mine'")


SUGGESTED = "Suggestion(config=CONFIG, until=UNTIL, decision=Decision(proposer='m'), trial_id=ID)"


@pytest.mark.parametrize(
    ("config", "until", "trial_id", "message"),
    [
        (
            "{'learning_rat': 1}",
            "1",
            "None",
            r"an invalid config: the space has no hyperparameter 'learni",
        ),
        (
            "{'learning_rate': 1.0}",
            "1",
            "None",
            r"invalid config: learning_rate = 1.0 is not possible",
        ),
        ("{'learning_rate': '1e-4'}", "1", "None", r"invalid config: learning_rate = '1e-4' is"),
        ("None", "1", "None", r"suggested an invalid config"),
        ("{}", "0", "None", r"until 0, which is no whole number from 1 to 4"),
        ("{}", "5", "None", r"until 5, which"),
        ("{}", "2.0", "None", r"until 2.0, which"),
        ("{}", "2", "0", r"wants to continue trial 0, and there is none"),
        ("{}", "2", "'0'", r"wants to continue trial '0', and there is none"),
    ],
)
def test_a_suggestion_that_cannot_be_carried_out_is_refused(
    config: str, until: str, trial_id: str, message: str, tmp_path: Path
) -> None:
    suggested = SUGGESTED.replace("CONFIG", config).replace("UNTIL", until)
    job = with_mine(tmp_path, mine(f"return {suggested.replace('ID', trial_id)}"))
    with pytest.raises(UsageError, match=message):
        check_words(job, SPACE)


def _empty(job: JobSpec) -> Study:
    return Study(spec=study_spec(job, SPACE))


def _started(study: Study, until: int) -> Study:
    own = load_own_proposer(json.loads(study.spec.job)["agent"]["proposer"])
    found = own.propose(study, decision_rng(study))
    assert found is not None
    return study.with_event(
        Started(
            seq=study.num_events,
            at_s=0.0,
            trial_id=len(study.trials),
            config=dict(found.config),
            until=until,
            seed=0,
            decision=found.decision,
        )
    )


def test_what_the_user_asks_for_comes_before_what_it_says(tmp_path: Path) -> None:
    starts = [{"learning_rate": 2e-3}, {"learning_rate": 3e-3}]
    asked = {**with_mine(tmp_path, mine()).agent.model_dump(), "starts": starts}
    job = make_job(tmp_path, agent=asked)
    check_words(job, SPACE)
    (first, second, third, *_) = first_suggestions(job, SPACE, Memory())
    assert [dict(item.config) for item in (first, second)] == starts
    assert first.decision.text.startswith("asked for by the job: learning_rate")
    assert third.decision.expert != "start:asked"


def test_what_the_study_does_not_allow_is_refused(tmp_path: Path) -> None:
    budget, none = {"trials": 2}, {"top": 0}
    job = with_mine(tmp_path, mine(), budget=budget, finalists=none)
    study = _started(_started(_empty(job), 1), 1)
    paused = study.with_event(
        Ended(seq=2, at_s=0.0, trial_id=1, status=TrialStatus.PAUSED, reason=None)
    )

    def said(first: str) -> str:
        (tmp_path / "mine.py").write_text(mine(first))
        own = load_own_proposer(job.agent.proposer)
        with pytest.raises(StudyFailedError) as caught:
            own.propose(paused, np.random.default_rng(0))
        return str(caught.value)

    decision = "decision=Decision(proposer='m')"
    assert "beyond the budget of 2" in said(f"return Suggestion(config={{}}, until=1, {decision})")
    running_one = f"return Suggestion(config={{}}, until=2, {decision}, trial_id=0)"
    assert "continue trial 0, which is RUNNING, not PAUSED" in said(running_one)
    back = f"return Suggestion(config={{}}, until=0, {decision}, trial_id=1)"
    assert "next_rung(0) is the next rung" in said(back)
    odd = f"return Suggestion(config={{}}, until=2, {decision}, trial_id=1, seed=3)"
    odd_decision = odd.replace("decision=Decision(proposer='m')", "decision=Decision(proposer=3)")
    assert "suggested what cannot be written down: " in said(odd_decision)


@pytest.mark.slow  # half a minute on a busy machine
def test_a_study_that_it_stops_loses_nothing_and_goes_on_when_it_is_mended(tmp_path: Path) -> None:
    fields = {"budget": {"trials": 4}, "finalists": {"top": 0}, "fidelity": {"max_epochs": 1}}
    job = with_mine(tmp_path, mine("if len(study.trials) == 2: 1 / 0"), **fields)
    url = f"sqlite:///{tmp_path}/studies.db"
    with pytest.raises(StudyFailedError) as caught:
        running.tune(job, SPACE, store=url, address="in-process", progress=silent)
    said = str(caught.value)
    assert "study 's' had to stop after 2 trials: proposer" in said
    assert (
        f"mine.py:Mine' failed with ZeroDivisionError: division by zero in line {AT_LINE}" in said
    )
    assert "`lexmove resume s` goes on" in said
    before = stored.load("s", store=url).study
    assert [trial.status for trial in before.trials] == [TrialStatus.COMPLETED] * 2

    with pytest.raises(StudyFailedError, match="had to stop after 2 trials"):
        running.resume("s", store=url, address="in-process", progress=silent)
    assert stored.load("s", store=url).study.num_events == before.num_events

    (tmp_path / "mine.py").write_text(mine())
    after = running.resume("s", store=url, address="in-process", progress=silent).study
    assert after.events[: before.num_events] == before.events
    assert [trial.decision.proposer for trial in after.trials] == ["mine"] * 4

    (tmp_path / "mine.py").unlink()
    with pytest.raises(UsageError, match="there is no file"):
        running.resume("s", store=url, address="in-process", extra_trials=1, progress=silent)
    done = running.resume("s", store=url, progress=silent)
    assert (done.state, done.study.spec.num_trials) == ("finished", 4), "nothing was extended"


JOB = """
name: mine
task: {name: license_role}
metric: {name: costs.py:cost}
space: {parameters: {learning_rate: {min: 1.0e-5, max: 1.0e-2}}}
agent: {proposer: mine.py:Mine}
"""


def test_its_file_is_found_beside_the_job_and_travels_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "mine.py").write_text(mine())
    (folder / "costs.py").write_text("def cost(true, predicted, probabilities): return 1.0\n")
    (folder / "job.yaml").write_text(JOB)
    monkeypatch.chdir(tmp_path)
    job = load_job("jobs/job.yaml")
    check_words(job, SPACE)
    assert job.agent.proposer == "jobs/mine.py:Mine"
    assert settled(job).agent.proposer == f"{folder}/mine.py:Mine"
    assert settled(job).metric.name == f"{folder}/costs.py:cost"

    package = package_of(job)
    package.write(tmp_path / "package.zip")
    with zipfile.ZipFile(tmp_path / "package.zip") as archive:
        archive.extractall(tmp_path / "there")
    there = load_job(tmp_path / "there" / JOB_NAME)
    assert there.agent.proposer == f"{tmp_path}/there/agent/mine.py:Mine"
    check_words(there, SPACE)


def test_what_is_sent_is_checked_as_far_as_it_is_here(tmp_path: Path) -> None:
    elsewhere = ("/only/there/mine.py:Mine", "only_there.rules:Mine")
    for name in elsewhere:
        job = make_job(tmp_path, agent={"proposer": name})
        check_words(job, SPACE, is_sent=True)
        with pytest.raises(UsageError, match=r"there is no (file|module)"):
            check_words(job, SPACE)
    broken = with_mine(tmp_path, mine("1 / 0"))
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        check_words(broken, SPACE, is_sent=True)
