"""Datasets of the hub: folders in its layout, a hub of our own, and every way to fail."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import datasets
import pytest

from lexmove.errors import TaskError
from lexmove.job.spec import HubSpec
from lexmove.trials.tasks.hub import hub_dataset
from trials.hub_files import clauses, write_dataset
from trials.hub_server import BROKEN, COMMIT, GATED, SLOW, serve_hub

GOOD = "small/contracts"
NOWHERE = "http://127.0.0.1:9"
"""A port at which nothing listens."""

CLIENT = """
import json, sys
from lexmove.errors import TaskError
from lexmove.job.spec import HubSpec
from lexmove.trials.tasks.hub import hub_dataset
try:
    found = hub_dataset(HubSpec(**json.loads(sys.argv[1])))
    print(json.dumps({role: data["text"][:] for role, data in found.items()}))
except TaskError as error:
    print(json.dumps(str(error)))
"""


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """What `datasets` keeps goes with the test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def contracts(tmp_path_factory):
    """A dataset of two configurations."""
    folder = tmp_path_factory.mktemp("hub") / "contracts"
    return write_dataset(folder, {"leases": clauses("lease"), "loans": clauses("loan")})


@pytest.fixture(scope="module")
def hub(contracts):
    with serve_hub({GOOD: contracts, GATED: contracts}) as address:
        yield address


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


def ask(address, home, *, offline=False, **spec):
    """What a fresh process says that has this hub and this cache: texts by role, or the error.

    The address of the hub is read when its library is imported.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HF_") and not name.lower().endswith("_proxy")
    } | {"HF_ENDPOINT": address, "HF_HOME": str(home)}
    if offline:
        environment["HF_HUB_OFFLINE"] = "1"
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, json.dumps(spec)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def texts(name):
    return {role: data["text"][:] for role, data in clauses(name).items()}


def load(path, **fields):
    return hub_dataset(HubSpec(id=str(path), **fields))


def test_a_configuration_of_a_folder_by_the_list_in_its_readme(contracts):
    found = load(contracts, config="loans")
    assert {role: data["text"][:] for role, data in found.items()} == texts("loan")
    assert found["train"].features["label"].names == ["fair", "unfair"]


def test_a_configuration_of_a_folder_without_a_readme(tmp_path):
    both = {"leases": clauses("lease"), "loans": clauses("loan")}
    folder = write_dataset(tmp_path / "plain", both, readme=False)
    found = load(folder, config="leases")
    assert {role: data["text"][:] for role, data in found.items()} == texts("lease")


def test_files_that_changed_are_read_again(tmp_path):
    folder = write_dataset(tmp_path / "one" / "set", {"loans": clauses("loan")})
    assert load(folder, config="loans")["train"]["text"][0] == "loan train 0"
    clauses("new")["train"].to_parquet(folder / "loans" / "train-00000-of-00001.parquet")
    assert load(folder, config="loans")["train"]["text"][0] == "new train 0"
    namesake = write_dataset(tmp_path / "two" / "set", {"loans": clauses("other")})
    assert load(namesake, config="loans")["train"]["text"][0] == "other train 0"


def test_splits_by_name_and_left_out(contracts):
    found = load(contracts, config="loans", train="test", validation=None, test="train")
    assert set(found) == {"train", "test"}
    assert found["train"]["text"][:] == texts("loan")["test"]
    assert found["test"]["text"][:] == texts("loan")["train"]


def test_files_of_other_kinds(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\nfirst,a\nsecond,b\n")
    found = load(tmp_path, validation=None, test=None)
    assert found["train"]["text"][:] == ["first", "second"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"config": "loan"},
            r"no configuration 'loan'; did you mean 'loans'\? \(configurations: leases, loans\)",
        ),
        ({}, r"has the configurations leases, loans; name one in task\.hub\.config"),
        (
            {"config": "loans", "validation": "valid"},
            r"\(loans\): no split 'valid'; did you mean 'validation'\? \(splits: train,"
            r" validation, test\); .* task\.hub\.validation, or write validation: null",
        ),
        ({"config": "loans", "train": "all"}, r"no split 'all'; .* in task\.hub\.train$"),
        ({"config": "loans", "revision": "main"}, r"a folder has no revisions"),
    ],
)
def test_what_a_folder_does_not_have_is_named_with_what_it_has(contracts, fields, message):
    with pytest.raises(TaskError, match=message):
        load(contracts, **fields)


@pytest.mark.parametrize(
    ("files", "fields", "message"),
    [
        ({}, {}, r"holds no data files that can be read"),
        ({"train.parquet": "no parquet"}, {}, r"cannot be loaded: Parquet"),
        ({"a/train.parquet": "no parquet"}, {"config": "a"}, r"\(a\): cannot be loaded: Parquet"),
        (
            {"train.csv": "text,label\na,1\n", "test.csv": "text,class\na,1\n"},
            {"validation": None},
            r"cannot be loaded: Couldn't cast",
        ),
        ({"README.md": "---\nconfigs: [\n---\n", "train.csv": "a\n1\n"}, {}, r"cannot be loaded"),
        ({"set.py": "", "train.csv": "a\n1\n"}, {}, r"loading script, and scripts are not run"),
        ({"train.csv": "text,label\n"}, {"validation": None, "test": None}, r"holds no rows"),
    ],
)
def test_unreadable_files_of_a_folder_say_why(tmp_path, files, fields, message):
    folder = tmp_path / "set"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    with pytest.raises(TaskError, match=message):
        load(folder, **fields)


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./nowhere", "a/b/c", "a b", "x..y/z"])
def test_neither_a_folder_nor_an_id(name):
    with pytest.raises(TaskError, match="neither a folder that exists nor the id of a dataset"):
        load(name)


def test_progress_bars_are_back_afterwards(contracts, monkeypatch):
    monkeypatch.setattr(datasets.utils.tqdm, "_hf_datasets_progress_bars_disabled", False, False)
    datasets.enable_progress_bars()
    load(contracts, config="loans")
    assert not datasets.are_progress_bars_disabled()


@pytest.mark.slow
def test_a_dataset_is_downloaded_quietly_and_found_again_offline(hub, home):
    found, said = ask(hub, home, id=GOOD, config="loans")
    assert found == texts("loan")
    assert said == ""
    pinned = {"id": GOOD, "config": "loans", "revision": COMMIT}
    assert ask(hub, home, **pinned)[0] == texts("loan")
    found, said = ask(hub, home, offline=True, **pinned)
    assert found == texts("loan")
    assert f"HF_HUB_OFFLINE is set); using the copy of revision {COMMIT}" in said
    assert ask(NOWHERE, home, **pinned)[0] == texts("loan")
    other, _ = ask(NOWHERE, home, id=GOOD, config="loans", revision="f" * 40)
    assert f"is of revision {COMMIT}, not {'f' * 40}; load it once where the hub can" in other
    missing, _ = ask(NOWHERE, home, id=GOOD, config="leases")
    assert "(leases): the Hugging Face hub cannot be reached" in missing


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"id": "small/contract"},
            "small/contract: the hub has no dataset of this id, or a private one",
        ),
        ({"id": GOOD, "revision": "v2"}, f"{GOOD}: no revision 'v2' on the hub; task.hub.revision"),
        ({"id": GOOD, "config": "loan"}, f"{GOOD}: no configuration 'loan'; did you mean 'loans'?"),
        (
            {"id": GOOD, "config": "loans", "test": "tset"},
            f"{GOOD} (loans): no split 'tset'; did you mean 'test'?",
        ),
        ({"id": GATED, "config": "loans"}, f"{GATED}: is gated: only those whom its owners let in"),
        (
            {"id": BROKEN},
            f"{BROKEN}: the Hugging Face hub cannot be reached (Server error '500 Internal",
        ),
    ],
)
def test_what_the_hub_refuses_is_said_in_a_sentence(hub, home, spec, message):
    said, _ = ask(hub, home, **spec)
    assert isinstance(said, str)
    assert said.startswith(message)
    assert "\n" not in said


@pytest.mark.parametrize(
    ("where", "offline", "reason"),
    [
        ("nowhere", False, "Connection refused"),
        pytest.param("slow", False, "no answer in 10 s", marks=pytest.mark.slow),
        ("nowhere", True, "HF_HUB_OFFLINE is set"),
    ],
)
def test_a_hub_out_of_reach_answers_soon_with_the_ways_out(hub, tmp_path, where, offline, reason):
    address = hub if where == "slow" else NOWHERE
    start = time.monotonic()
    said, _ = ask(address, tmp_path, offline=offline, id=SLOW)
    assert time.monotonic() - start < 30
    assert reason in said
    for way_out in (str(Path(tmp_path)), "HF_HOME", "task.hub.id", "task.files"):
        assert way_out in said
