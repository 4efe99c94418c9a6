"""Prepared data: made once per node, mapped by all, made anew where anything differs."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lexmove.errors import TaskError
from lexmove.trials import prepared
from lexmove.trials.model import load_tokenizer
from lexmove.trials.prepared import Preparation, forget_data, prepare, task_of
from lexmove.trials.stopwatch import Stopwatch
from lexmove.trials.tokens import tokenized
from trials.data_files import spec, write
from trials.tiny_models import folder_of

ROWS = [
    {"text": f"The {what} of part {i} ends.", "label": what}
    for i in range(20)
    for what in ("lease", "licence")
]


@pytest.fixture
def wanted(tmp_path, monkeypatch):
    """A preparation of a small file, and a cache of its own."""
    monkeypatch.setenv("LEXMOVE_CACHE", str(tmp_path / "cache"))
    forget_data()
    yield Preparation(
        task=spec(write(tmp_path / "a.jsonl", ROWS)), model_name="minilm", max_length=16
    )
    forget_data()


def arrays(found):
    return {
        (name, field): np.array(getattr(tokens, field))
        for name, tokens in found.splits.items()
        for field in ("ids", "offsets", "starts", "labels")
    }


def folders(tmp_path):
    return sorted(path for path in (tmp_path / "cache" / "tokens").iterdir() if path.is_dir())


def test_another_process_maps_what_one_has_made(wanted, tmp_path, monkeypatch):
    made = prepare(wanted)
    (folder,) = folders(tmp_path)
    forget_data()
    clock = Stopwatch()
    monkeypatch.setattr(prepared, "tokenized", None)
    mapped = prepare(replace(wanted, data=made.fingerprint), clock)
    assert "tokenise" not in clock.take()
    assert (mapped.labels, mapped.fingerprint) == (("lease", "licence"), made.fingerprint)
    assert mapped.splits["train"].shape == made.splits["train"].shape
    for key, values in arrays(made).items():
        assert np.array_equal(arrays(mapped)[key], values)
    owner = mapped.splits["train"].ids
    while not isinstance(owner, np.memmap):
        owner = owner.base
    assert Path(owner.filename).parent == folder, "pages of the file, not a copy"


def test_texts_are_not_even_read_where_the_tokens_are_known(wanted, tmp_path):
    made = prepare(wanted)
    (tmp_path / "a.jsonl").unlink()
    forget_data()
    assert arrays(prepare(replace(wanted, data=made.fingerprint))).keys() == arrays(made).keys()


@pytest.mark.parametrize("change", [{"max_length": 12}, {"max_segments": 2}])
def test_what_differs_is_made_apart(wanted, tmp_path, change):
    prepare(wanted)
    other = prepare(replace(wanted, **change))
    assert len(folders(tmp_path)) == 2
    assert other.splits["train"].shape == ("segments" if "max_segments" in change else "flat")


@pytest.mark.parametrize("first", [False, True])
def test_a_column_of_no_label_is_as_the_job_says_and_not_as_an_earlier_one(wanted, tmp_path, first):
    rows = [
        {"text": f"part {i} of {what}", "label": what}
        for i in range(30)
        for what in ("a", "a;b", "")
    ]
    file = write(tmp_path / "several.jsonl", rows)
    for asked in (first, not first):
        task = spec(file, label_separator=";", no_label_column=asked)
        forget_data()
        assert prepare(replace(wanted, task=task)).no_label_column == asked


@pytest.mark.parametrize(
    "change",
    [
        {"truncation_side": "left"},
        {"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]},
    ],
)
def test_tokenizers_of_one_vocabulary_that_say_other_tokens_are_kept_apart(
    wanted, tmp_path, change
):
    rows = [
        {"text": "the lease ends", "pair": f"tax is {i}", "label": "ab"[i % 2]} for i in range(60)
    ]
    task = spec(write(tmp_path / "pairs.jsonl", rows), pair="pair")
    one, other = folder_of("Bert", tmp_path / "one"), str(tmp_path / "other")
    settings = Path(shutil.copytree(one, other)) / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | change))
    for name in (one, other):
        found = prepare(replace(wanted, task=task, model_name=name, max_length=6)).splits["train"]
        own = tokenized(task_of(task).train, load_tokenizer(name), max_length=6)
        assert np.array_equal(found.ids, own.ids)
        assert (found.seconds is None) == (own.seconds is None)
    assert len(folders(tmp_path)) == 2


def test_changed_texts_are_refused_under_an_old_fingerprint(wanted, tmp_path):
    old = task_of(wanted.task).fingerprint
    forget_data()
    write(tmp_path / "a.jsonl", ROWS[2:])
    with pytest.raises(TaskError, match="on this machine are not those"):
        prepare(replace(wanted, data=old))
    assert len(prepare(wanted).splits["train"]) < len(ROWS)


@pytest.mark.parametrize("damage", ["about.json", "train.ids.npy"])
def test_a_damaged_folder_is_made_again(wanted, tmp_path, damage):
    made = arrays(prepare(wanted))
    (folder,) = folders(tmp_path)
    (folder / damage).write_bytes(b"{")
    forget_data()
    again = arrays(prepare(wanted))
    assert all(np.array_equal(again[key], values) for key, values in made.items())


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(wanted, tmp_path):
    (tmp_path / "cache").write_text("a file in the way")
    assert len(prepare(wanted).splits["train"]) > 0


def test_tokens_that_nobody_uses_go_in_the_end(wanted, tmp_path, monkeypatch):
    prepare(wanted)
    (old,) = folders(tmp_path)
    monkeypatch.setattr(prepared, "_KEPT_S", 0.05)
    time.sleep(0.1)
    prepare(replace(wanted, max_length=12))
    assert old not in folders(tmp_path)
    assert len(folders(tmp_path)) == 1


@pytest.mark.slow
def test_of_processes_that_begin_together_one_makes_the_tokens(wanted, tmp_path):
    script = (
        "import json, sys\n"
        "from lexmove.job.spec import TaskSpec\n"
        "from lexmove.trials.prepared import Preparation, prepare\n"
        "from lexmove.trials.stopwatch import Stopwatch\n"
        "from lexmove.trials import prepared\n"
        "calls = []\n"
        "real = prepared.tokenized\n"
        "prepared.tokenized = lambda *a, **k: calls.append(1) or real(*a, **k)\n"
        "task = TaskSpec.model_validate(json.loads(sys.argv[1]))\n"
        "prepare(Preparation(task=task, model_name='minilm', max_length=16))\n"
        "print(len(calls))\n"
    )
    argument = json.dumps(wanted.task.model_dump(mode="json", exclude_none=True))
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, argument], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    calls = [int(process.communicate()[0]) for process in running]
    assert sorted(calls) == [0, 3], "three splits, once"
