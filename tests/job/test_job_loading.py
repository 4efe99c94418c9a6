"""Reading jobs: every mistake with its place, rule and way out."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from lexmove.errors import InvalidFileError
from lexmove.job.document import parse_document
from lexmove.job.loading import job_from_json, job_to_json, load_job, parse_job
from lexmove.job.spec import MORE_IS_BETTER, TASKS, BudgetSpec, JobSpec, ResourcesSpec
from lexmove.trials.metrics import METRICS
from lexmove.trials.tasks.lex_glue import LEX_GLUE
from lexmove.trials.tasks.task import BUILT_IN

WHOLE = """\
name: ledgar-modernbert
task: {name: lex_glue/ledgar, max_train: 1000}
model: {name: answerdotai/ModernBERT-base, max_length: 512}
metric: {name: f1_macro, goal: maximize}
space: search_spaces/encoder.yaml
budget: {trials: 48, wall_clock: 6h, trial: 90s, parallel: 4}
fidelity: {max_epochs: 8, eta: 3}
resources: {gpu: 0.5, cpu: 4}
store: sqlite:///studies.db
"""
LEAST = "name: a\ntask: {name: license_role}\nspace: c.yaml\n"


def _mistakes(text: str) -> list[str]:
    _, mistakes = parse_job(parse_document(text, path="j.yaml"))
    return [str(item) for item in mistakes]


def test_a_whole_job() -> None:
    job, mistakes = parse_job(parse_document(WHOLE, path="j.yaml"))
    assert mistakes == []
    assert job is not None
    assert job.budget == BudgetSpec(trials=48, wall_clock=21600.0, trial=90.0, parallel=4)
    assert BudgetSpec().trials == BudgetSpec(trial=90.0).trials == 24
    assert job.budget.limit == BudgetSpec().limit == "trials"
    timed = BudgetSpec(wall_clock=21600.0)
    assert (timed.trials, timed.limit) == (1000, "time"), "no default ends it earlier"
    assert BudgetSpec.model_validate_json(timed.model_dump_json()) == timed
    assert BudgetSpec(trials=60, wall_clock=9.0, limit="time").trials == 60
    with pytest.raises(ValueError, match="limit: time needs a wall_clock"):
        BudgetSpec(limit="time")
    assert job.resources == ResourcesSpec(cpu=4.0, gpu=0.5)
    assert isinstance(job.resources.cpu, float)
    assert job_from_json(job_to_json(job)) == job


def test_an_inline_space_survives_json() -> None:
    text = "name: a\ntask: {name: license_role}\nspace: {parameters: {lr: {min: 1e-6, max: 1}}}\n"
    job, _ = parse_job(parse_document(text, path="j.yaml"))
    assert job is not None
    assert job_from_json(job_to_json(job)) == job


# Added to the least job from line 4 on.
ADDED = [
    ("seeds: 3", "4:1: unknown key 'seeds' in a job; did you mean 'seed'?"),
    ("budget: {trails: 3}", "4:10: unknown key 'trails' in budget; did you mean 'trials'?"),
    ("budget: {zzz: 3}", "4:10: unknown key 'zzz' in budget; known: trials, parallel, wall_clock,"),
    ("budget: {trials: '3'}", "4:18: budget.trials must be a whole number: write 3, not '3'"),
    ("budget: {trials: many}", "4:18: budget.trials must be a whole number, not 'many'"),
    ("budget: {trials: 2.5}", "4:18: budget.trials must be a whole number, not 2.5"),
    ("budget: {trials: true}", "4:18: budget.trials must be a whole number, not true"),
    ("budget: {trials: 0}", "4:18: budget.trials must be above 0, not 0"),
    ("budget:\n  parallel: -1", "5:13: budget.parallel must be above 0, not -1"),
    ("budget: {wall_clock: 6x}", "4:22: budget.wall_clock: '6x' is no duration; write 90s, 30m,"),
    ("budget: {trial: -3h}", "4:17: budget.trial: '-3h' is no duration above 0; write 90s"),
    ("budget: {trial: infs}", "4:17: budget.trial: 'infs' is no duration above 0; write 90s"),
    ("budget: 3", "4:9: budget must be a mapping of keys to values, not 3"),
    ("budget:", "4:1: budget is empty: give a value, or leave the key out"),
    ("seed:", "4:1: seed is empty: give a value, or leave the key out"),
    ("resources: {cpu: '2'}", "4:18: resources.cpu must be a number: write 2, not '2'"),
    ("resources: {cpu: .inf}", "4:18: resources.cpu must be a finite number, not inf"),
    ("resources: {gpu: -0.5}", "4:18: resources.gpu must be at least 0, not -0.5"),
    ("metric: {goal: max}", "4:16: metric.goal must be 'maximize' or 'minimize', not 'max'"),
    (
        "metric: {name: accuracy, goal: minimize}",
        "4:32: metric.goal: minimize would find the worst accuracy; leave goal out",
    ),
    ("metric: {name: 3}", "4:16: metric.name must be text: write '3', not 3"),
    ("metric: {name: 007}", "4:16: metric.name must be text: write '007', not 007"),
    ("metric: {name: 1e3}", "4:16: metric.name must be text: write '1e3', not 1e3"),
    ("metric: {name: True}", "4:16: metric.name must be text: write 'True', not True"),
    ("metric: {name: [a]}", "4:16: metric.name must be text, not a list"),
    ("agent: {online_learning: yes}", "agent.online_learning must be true or false: write true,"),
    ("agent: {online_learning: NO}", "agent.online_learning must be true or false: write false,"),
    ("agent: {online_learning: 1}", "agent.online_learning must be true or false, not 1"),
    ("model: {max_length: 9000}", "4:21: model.max_length must be at most 8192, not 9000"),
    ("fidelity: {eta: 1}", "4:17: fidelity.eta must be at least 2, not 1"),
    ("fidelity: {first_rung: 1}", "4:11: fidelity: first_rung needs eta; give eta: 3"),
    (
        "fidelity: {first_rung: 4, eta: 2}",
        "4:11: fidelity: first_rung 4 must be below max_epochs 4",
    ),
    (
        "finalists: {compare: [{name: default, config: {}}]}",
        "4:12: finalists: a comparison cannot be called 'default'",
    ),
    (
        "finalists: {compare: [{name: trial 3, config: {}}]}",
        "4:12: finalists: a comparison cannot be called 'trial 3'",
    ),
    (
        "finalists: {compare: [{name: a, config: {}}, {name: a, config: {}}]}",
        "4:12: finalists: two comparisons are called 'a'; rename one",
    ),
    (
        'finalists: {compare: [{name: "a\\nb", config: {}}]}',
        "4:12: finalists: a comparison's name is one line of text, not 'a\\nb'",
    ),
    (
        "finalists: {compare: [{name: x}]}",
        "4:23: finalists.compare.0.config is missing: finalists.compare.0 needs name and config",
    ),
    (
        "finalists: {compare: [{name: x, config: {}}, {name: y, config: {}, cfg: 1}]}",
        "4:68: unknown key 'cfg' in finalists.compare.1; did you mean 'config'?",
    ),
    (
        "finalists: {compare: [{name: x, config: {a: [1]}}]}",
        "4:45: finalists.compare.0.config.a must be a finite number, a text, true or false, not a",
    ),
    ("finalists: {compare: x}", "4:22: finalists.compare must be a list, not 'x'"),
    (
        "agent: {starts: [{learning_rate: null}]}",
        "4:34: agent.starts.0.learning_rate is empty: give a value, or leave the key out",
    ),
    ("agent: {starts: [3]}", "4:18: agent.starts.0 must be a mapping of keys to values, not 3"),
    ("resources: Auto", "4:12: resources must be auto, or a mapping of keys to values, not 'Auto'"),
    ("budget: {trial: true}", "4:17: budget.trial must be a duration, such as 90s, 30m, 6h or 1d,"),
    ("track: [7]", "4:9: track.0 must be text: write '7', not 7"),
    (
        "budget: {trials: 4}\nfinalists: {top: 1, seeds: 2}",
        "4:18: budget.trials 4 leaves nothing for the search: the repetitions take 4 (1 finalist",
    ),
    (
        "budget: {trials: 2}\ndecide: {ensemble: true}",
        "5:20: decide.ensemble needs repetitions, and there are none",
    ),
    ("seed: 1\nseed: 2", "5:1: the key 'seed' stands twice (first on line 4): keep one"),
]


@pytest.mark.parametrize(("added", "expected"), ADDED)
def test_mistakes_in_a_job(added: str, expected: str) -> None:
    (mistake,) = _mistakes(LEAST + added)
    assert mistake.startswith("j.yaml:")
    assert expected in mistake


# Added to the section of a task that reads files.
OF_A_TASK = [
    (
        "endings: [a]",
        "36: task.endings must be the name of a column, or a list of two or more, not",
    ),
    (
        "endings: 3",
        "36: task.endings must be the name of a column, or a list of two or more, not 3",
    ),
    ("endings: [a, 1]", "40: task.endings.1 must be text: write '1', not 1"),
    ("endings: [a, [b]]", "40: task.endings.1 must be text, not a list"),
    ("endings: [a, b, a]", "36: task.endings names the column 'a' twice"),
    ("endings: [a, label]", "36: task.endings and task.label both name the column 'label'"),
    (
        "label: text",
        "34: task.text and task.label both name the column 'text'; each needs a column",
    ),
    ("pair: label", "33: task.label and task.pair both name the column 'label'"),
    ("label_separator: ''", "44: task.label_separator must be a text that is not empty, not ''"),
    ("split: {train: 2}", "42: task.split.train must be below 1, not 2"),
]


@pytest.mark.parametrize(("added", "expected"), OF_A_TASK)
def test_mistakes_in_the_task_of_a_job(added: str, expected: str) -> None:
    (mistake,) = _mistakes(f"name: a\ntask: {{files: {{train: c}}, {added}}}\nspace: c")
    assert mistake.startswith(f"j.yaml:2:{expected}")


def test_a_group_may_be_a_column_that_is_read_for_more() -> None:
    assert _mistakes("name: a\ntask: {files: {train: c}, group: label}\nspace: c") == []


def test_the_columns_of_a_task_that_reads_none_do_not_matter() -> None:
    assert _mistakes("name: a\ntask: {name: license_role, label: text}\nspace: c") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "task: {name: license_role}\nspace: c",
            "1:1: name is missing: a job needs name, task and space",
        ),
        (
            "name: a\ntask: {}\nspace: c",
            "2:7: task: give exactly one of name (a built-in task), files",
        ),
        (
            "name: a\ntask: {name: b, files: {train: c}}\nspace: c",
            "2:7: task: give exactly one of name (a built-in task), files",
        ),
        (
            "name: a\ntask: {files: {test: c}}\nspace: c",
            "2:15: task.files.train is missing: task.files needs train",
        ),
        (
            "name: a\ntask:\n  files:\n    tain: c\n    train: d\nspace: c",
            "4:5: unknown key 'tain' in task.files; did you mean 'train'?",
        ),
        (
            "name: a b\ntask: {name: license_role}\nspace: c",
            "1:7: name must be 1 to 100 letters, digits,",
        ),
        (
            "name: a\ntask: {name: license_role}\nspace: 3",
            "3:8: space must be the path of a search-space",
        ),
        (
            "name: a\ntask: {name: license_role}\nspace:",
            "3:1: space must be the path of a search-space",
        ),
        ("- name", "1:1: a job is a mapping with name, task and space, not a list"),
    ],
)
def test_mistakes_in_what_every_job_needs(text: str, expected: str) -> None:
    mistakes = _mistakes(text)
    assert len(set(mistakes)) == 1
    assert mistakes[0].startswith(f"j.yaml:{expected}")


def test_all_mistakes_come_at_once_in_the_order_of_the_file() -> None:
    text = "nme: a\ntask: {nmae: x, max_train: '3'}\nspace: c\nseed: -1\nbudget: {parallel: x}\n"
    assert [item.split(": ")[0] for item in _mistakes(text)] == [
        "j.yaml:1:1",
        "j.yaml:1:1",
        "j.yaml:2:8",
        "j.yaml:2:28",
        "j.yaml:4:7",
        "j.yaml:5:20",
    ]


def test_load_job_raises_them_all(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(LEAST + "seed: -1\nseed: 3\nx: 1\n")
    with pytest.raises(InvalidFileError) as caught:
        load_job(path)
    assert [item.line for item in caught.value.mistakes] == [4, 5, 6]
    path.write_text(LEAST + "seed: 1\nseed: 3\n")
    with pytest.raises(InvalidFileError, match="stands twice"):
        load_job(path)


def test_inputs_are_looked_up_beside_the_job(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n")
    (tmp_path / "encoder").mkdir()
    path = tmp_path / "job.yaml"
    path.write_text(
        "name: a\ntask: {files: {train: a.csv, test: /data/b.csv}}\nspace: c.yaml\n"
        "model: {name: encoder}\nstore: sqlite:///s.db\nstorage: out\n"
    )
    job = load_job(path)
    assert job.task.files is not None
    assert job.task.files.train == str(tmp_path / "a.csv")
    assert job.task.files.test == "/data/b.csv"
    assert job.task.files.validation is None
    assert job.model.name == str(tmp_path / "encoder")
    assert (job.space, job.store, job.storage) == ("c.yaml", "sqlite:///s.db", "out")


def test_a_hub_model_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(WHOLE)
    assert load_job(path).model.name == "answerdotai/ModernBERT-base"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("{", "no JSON"), ("3", "a job is a mapping"), ('{"name": "a"}', "task is missing")],
)
def test_a_stored_job_that_is_none(text: str, complaint: str) -> None:
    with pytest.raises(InvalidFileError, match=f"<stored job>: .*{complaint}"):
        job_from_json(text)


def test_how_a_stored_job_spelled_a_number_is_not_known() -> None:
    job = {"name": "a", "task": {"name": "b"}, "space": "c", "store": 7}
    with pytest.raises(InvalidFileError, match="store must be text, not 7: put quotes around it"):
        job_from_json(json.dumps(job))


def test_a_job_cannot_be_changed() -> None:
    job, _ = parse_job(parse_document(LEAST, path="j.yaml"))
    assert isinstance(job, JobSpec)
    with pytest.raises(ValidationError, match="frozen"):
        job.name = "b"


@pytest.mark.parametrize("name", ["..", "../a", "a/b", "/a", ".a", "a/..", "a\n"])
def test_a_study_cannot_be_named_out_of_its_storage(name):
    with pytest.raises(ValueError, match="name"):
        JobSpec(name=name, task={"name": "b"}, space="c.yaml")


@pytest.mark.parametrize(
    "storage", ["s3://bucket/studies", "gs://b", "file:///mnt/x", "out", "/x", "s3"]
)
def test_a_storage_is_a_folder_or_a_place_in_an_object_store(storage):
    assert job_with(storage=storage).storage == storage


@pytest.mark.parametrize(
    ("storage", "complaint"),
    [
        ("s4://bucket/studies", "s4://... names no place that lexmove can write"),
        ("s3://", "s3:// names no place"),
        ("s3:/bucket/studies", "s3: wants two slashes"),
        ("s3:bucket", "s3: wants two slashes"),
        ("s3://me:secret@bucket/x", "it holds a password"),
        ("s3://me:sec/ret@bucket/x", "it holds a password"),
        ("abfs://c@a.dfs.core.windows.net/x?client_secret=k", "its option 'client_secret' may be"),
        ("abfss://c@a.dfs.core.windows.net/x?sv=1&sig=k", "its option 'sv' may be a secret"),
    ],
)
def test_a_storage_that_cannot_be_used_is_refused_with_the_way_out(storage, complaint):
    with pytest.raises(ValueError, match=complaint):
        job_with(storage=storage)


def job_with(**changes):
    return JobSpec(name="a", task={"name": "b"}, space="c.yaml", **changes)


def test_a_study_that_minimised_such_a_metric_can_still_be_read():
    job = {"name": "s", "task": {"name": "license_category"}, "space": "s.yaml"}
    spec = JobSpec.model_validate(job | {"metric": {"name": "accuracy", "goal": "minimize"}})
    assert job_from_json(job_to_json(spec)) == spec


def test_more_of_every_metric_of_a_trial_is_better():
    assert set(MORE_IS_BETTER) == set(METRICS)


def test_the_tasks_that_a_job_may_name_are_those_that_load():
    assert set(TASKS) == {*BUILT_IN, *LEX_GLUE}


def test_a_task_and_a_metric_that_are_not_there_are_told_at_their_line(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(
        "name: a\ntask:\n  name: license_categry\nspace: s.yaml\n"
        "metric: {name: f1, goal: minimize}\n"
    )
    with pytest.raises(InvalidFileError) as caught:
        load_job(path)
    task, metric = str(caught.value).splitlines()
    assert task == f"{path}:3:9: unknown task 'license_categry'; did you mean 'license_category'?"
    assert metric.startswith(f"{path}:5:16: unknown metric 'f1'")
    assert metric.endswith("; one of your own is file.py:function")
    job = {"name": "s", "task": {"name": "gone"}, "space": "s.yaml", "metric": {"name": "gone"}}
    spec = JobSpec.model_validate(job)
    assert job_from_json(job_to_json(spec)) == spec, "of a study that knew them"
