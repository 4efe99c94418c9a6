"""LexGLUE: all seven tasks from files of its layout, and the scores that were published."""

import json
import os
import subprocess
import sys

import datasets
import numpy as np
import pytest

from lexmove.errors import TaskError
from lexmove.job.spec import TaskSpec
from lexmove.trials.tasks.lex_glue import FOLDER_VARIABLE, LEX_GLUE, REVISION, load_lex_glue
from lexmove.trials.tasks.published_scores import PUBLISHED, PublishedScore, published_scores
from lexmove.trials.tasks.task import load_task
from trials.hub_files import (
    LEX_GLUE_FEATURES,
    SPLITS,
    clauses,
    lex_glue_rows,
    write_dataset,
    write_lex_glue,
)
from trials.hub_server import serve_hub

SEVEN = ("ecthr_a", "ecthr_b", "scotus", "eurlex", "ledgar", "unfair_tos", "case_hold")
SIZES = {"scotus": 13, "eurlex": 100, "ledgar": 100, "unfair_tos": 8, "case_hold": 5}
NO_LABEL = {"ecthr_a", "ecthr_b", "unfair_tos"}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """What `datasets` keeps goes with the test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_lex_glue(tmp_path_factory.mktemp("lex_glue") / "with_names")


@pytest.fixture
def source(folder, monkeypatch):
    """LexGLUE is read from this folder."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    return folder


def plain(examples):
    """Examples as JSON; of several labels their positions."""
    labels = examples.labels
    return {
        "texts": list(examples.texts),
        "labels": [np.flatnonzero(row).tolist() if row.ndim else int(row) for row in labels],
        "endings": examples.endings,
    }


def test_there_are_seven_pinned_to_a_commit():
    assert list(LEX_GLUE) == [f"lex_glue/{config}" for config in SEVEN]
    assert len(REVISION) == 40


def test_what_each_of_the_seven_becomes(source, golden):
    found = {name: load_lex_glue(name) for name in LEX_GLUE}
    golden(
        "lex_glue.json",
        json.dumps(
            {
                name: {
                    "classes": [len(splits.labels), splits.labels[0], splits.labels[-1]],
                    "no_label_column": splits.no_label_column,
                    **{split: plain(getattr(splits, split)) for split in SPLITS},
                }
                for name, splits in found.items()
            },
            indent=1,
            ensure_ascii=False,
        )
        + "\n",
    )


@pytest.mark.parametrize("config", SEVEN)
def test_rows_keep_their_order_labels_and_names(source, config):
    splits = load_lex_glue(f"lex_glue/{config}")
    assert len(splits.labels) == SIZES.get(config, 10)
    assert splits.no_label_column == (config in NO_LABEL)
    feature = LEX_GLUE_FEATURES[config].get("label") or LEX_GLUE_FEATURES[config]["labels"].feature
    assert splits.labels == tuple(feature.names)
    for split in SPLITS:
        examples, rows = getattr(splits, split), lex_glue_rows(config, split)
        assert len(examples) == len(rows) == 3
        given = plain(examples)["labels"]
        assert given == [row["labels"] if "labels" in row else row["label"] for row in rows]
        assert examples.is_multiple_choice == (config == "case_hold")
        if examples.endings is not None:
            assert [list(ways) for ways in examples.endings] == [row["endings"] for row in rows]


def test_paragraphs_become_one_text_and_can_be_told_apart(source):
    text = load_lex_glue("lex_glue/ecthr_a").train.texts[0]
    paragraphs = ["1.  The applicant was born in 1960.", "2.  train of ecthr_a.\n  3.  Held.", "0"]
    assert text.split("\n\n") == paragraphs
    opinion = load_lex_glue("lex_glue/scotus").test.texts[0]
    assert opinion == lex_glue_rows("scotus", "test")[0]["text"]
    assert len(opinion.split("\n\n")) == 3


def test_plain_numbers_get_the_published_names(tmp_path, monkeypatch):
    folder = write_lex_glue(tmp_path / "numbers", with_names=False)
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    found = {config: load_lex_glue(f"lex_glue/{config}") for config in SEVEN}
    assert found["ecthr_b"].labels[-1] == "P1-1"
    assert found["unfair_tos"].labels[3] == "Content removal"
    assert found["ledgar"].labels[0] == "Adjustments"
    assert found["ledgar"].labels[40] == "Existence"
    assert found["ledgar"].labels[-1] == "Withholdings"
    assert {config: len(splits.labels) for config, splits in found.items()} == {
        config: SIZES.get(config, 10) for config in SEVEN
    }
    assert all(len(set(splits.labels)) == len(splits.labels) for splits in found.values())


def test_a_job_names_them_and_cuts_them_down(source):
    task = load_task(TaskSpec(name="lex_glue/unfair_tos", max_train=2))
    assert task.name == "lex_glue/unfair_tos"
    assert len(task.train) == 2
    assert task.is_multi_label
    assert task.no_label_column
    assert load_task(TaskSpec(name="lex_glue/case_hold")).is_multiple_choice
    with pytest.raises(TaskError, match="did you mean 'lex_glue/ledgar'"):
        load_task(TaskSpec(name="lex_glue/ledger"))


def only(tmp_path, monkeypatch, config, rows):
    """LexGLUE with these rows in every split of one configuration."""
    data = datasets.Dataset.from_list(rows)
    folder = write_dataset(tmp_path / "only", {config: dict.fromkeys(SPLITS, data)})
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))


@pytest.mark.parametrize(
    ("config", "rows", "message"),
    [
        (
            "ledgar",
            [{"provision": "t", "label": 1}],
            r"lex_glue/ledgar: the train split has no column 'text' \(columns: provision, label\)",
        ),
        (
            "case_hold",
            [{"question": "", "contexts": ["c"], "endings": ["e"] * 5, "label": 0}],
            r"no column 'context' \(columns: question, contexts, endings, label\)",
        ),
        (
            "case_hold",
            [{"context": "c", "endings": ["e"] * 4, "label": 0}],
            r"lex_glue/case_hold, train:1: 4 endings; there must be 5",
        ),
        (
            "scotus",
            [{"text": "t", "label": 0}, {"text": "t", "label": 13}],
            r"lex_glue/scotus, train:2: 13 is no class; classes are whole numbers from 0 to 12",
        ),
        (
            "unfair_tos",
            [{"text": "t", "labels": [1, -1]}],
            r"unfair_tos, train:1:2: -1 is no class",
        ),
    ],
)
def test_files_of_another_layout_are_named(tmp_path, monkeypatch, config, rows, message):
    only(tmp_path, monkeypatch, config, rows)
    with pytest.raises(TaskError, match=message):
        load_lex_glue(f"lex_glue/{config}")


def test_a_folder_without_the_configuration_says_what_it_has(tmp_path, monkeypatch):
    folder = write_dataset(tmp_path / "other", {"a": clauses("a"), "b": clauses("b")})
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    with pytest.raises(TaskError, match=r"no configuration 'ledgar'.*a, b"):
        load_lex_glue("lex_glue/ledgar")


def test_without_a_hub_the_ways_out_are_named(monkeypatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(TaskError) as caught:
        load_lex_glue("lex_glue/ecthr_a")
    for part in ("coastalcph/lex_glue (ecthr_a)", "HF_HUB_OFFLINE", "HF_HOME", FOLDER_VARIABLE):
        assert part in str(caught.value)


FROM_THE_HUB = """
from lexmove.trials.tasks.lex_glue import load_lex_glue
print(*load_lex_glue("lex_glue/ledgar").test.texts, sep="\\n")
"""


def test_the_pinned_commit_comes_from_the_hub_and_then_from_the_cache(folder, tmp_path):
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", FOLDER_VARIABLE)) and not name.lower().endswith("_proxy")
    } | {"HF_HOME": str(tmp_path)}
    with serve_hub({"coastalcph/lex_glue": folder}, commit=REVISION) as address:
        runs = [{"HF_ENDPOINT": address}, {"HF_HUB_OFFLINE": "1"}]
        said = [
            subprocess.run(
                [sys.executable, "-c", FROM_THE_HUB],
                env=environment | more,
                capture_output=True,
                text=True,
                check=True,
            ).stdout.splitlines()
            for more in runs
        ]
    assert said == [[row["text"] for row in lex_glue_rows("ledgar", "test")]] * 2


def test_published_scores_are_ratios_of_the_seven_tasks():
    assert set(PUBLISHED) == set(LEX_GLUE)
    assert published_scores("license_category") == ()
    assert published_scores("lex_glue/ledgar")[2] == PublishedScore(
        model="Legal-BERT", f1_micro=0.882, f1_macro=0.83
    )
    small = {name: scores[-1] for name, scores in PUBLISHED.items()}
    assert small["lex_glue/unfair_tos"].f1_macro == 0.132
    assert published_scores("lex_glue/case_hold")[0].model == "BERT"
    for name, scores in PUBLISHED.items():
        for score in scores:
            assert 0.5 < score.f1_micro < 1
            assert (score.f1_macro is None) == (name == "lex_glue/case_hold")
            assert score.f1_macro is None or score.f1_macro < score.f1_micro
