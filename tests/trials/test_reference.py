"""References: each kind of task is learned and scored like the model, with the test split last."""

from dataclasses import replace

import numpy as np
import pytest

from lexmove.trials.measuring import evaluate
from lexmove.trials.metrics import METRICS
from lexmove.trials.reference import fit_reference, reference_scores, trivial_baseline
from lexmove.trials.tasks.examples import Examples
from lexmove.trials.tasks.task import TaskData, load_task

COMMON = ["the", "court", "of", "this", "party", "shall", "not", "be", "held", "by", "any", "other"]
RARE = [f"{stem}{end}" for stem in ("lien", "tort", "deed", "bail", "writ") for end in "abcdefgh"]


def task_of(examples, labels, **more):
    """A task whose first half is for training, and whose quarters are for the other splits."""
    cut = np.split(np.arange(len(examples)), [len(examples) // 2, len(examples) * 3 // 4])
    train, validation, test = (examples.take(index) for index in cut)
    return TaskData(
        name="made up", labels=labels, train=train, validation=validation, test=test, **more
    )


def says(rng, words, size):
    return " ".join(rng.choice(words, size))


def test_the_reference_learns_and_repeats_itself(small_task):
    task = load_task(small_task)
    scores = reference_scores(task)
    assert scores.name == "TF-IDF + logistic regression"
    assert set(scores.validation) == set(scores.test) == set(METRICS)
    # Three balanced classes: chance is .33; measured .73 and .87.
    assert scores.validation["f1_macro"] > 0.5
    assert scores.test["f1_macro"] > 0.5
    assert reference_scores(task) == scores


def test_fitting_needs_no_test_split(small_task):
    task = load_task(small_task)
    reference = fit_reference(replace(task, test=None))
    scores = reference_scores(task)
    assert reference.validation == scores.validation == reference.scores(task.validation)
    assert reference.scores(task.test) == scores.test
    assert reference.strength == scores.strength


def test_probabilities_are_those_that_the_scores_come_from(small_task):
    task = load_task(small_task)
    reference = fit_reference(task)
    probabilities = reference.probabilities(task.test)
    assert probabilities.shape == (len(task.test), 3)
    assert probabilities.dtype == np.float64
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(task.test)))
    found = evaluate(task.test.labels, probabilities.argmax(axis=1), probabilities)
    assert found == reference.scores(task.test)


def test_a_class_that_no_training_text_has_is_never_predicted(small_task):
    task = load_task(small_task)
    train = task.train.take(np.flatnonzero(task.train.labels != 1))
    probabilities = fit_reference(replace(task, train=train)).probabilities(task.validation)
    assert (probabilities[:, 1] == 0).all()
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(task.validation)))


def test_a_script_without_spaces_is_read_by_its_characters():
    rng = np.random.default_rng(0)
    signs = [chr(code) for code in range(0x4E00, 0x4E00 + 400)]
    labels = np.arange(240) % 2
    texts = tuple("".join([*rng.choice(signs[:-2], 12), signs[label - 2]]) for label in labels)
    scores = reference_scores(task_of(Examples(texts=texts, labels=labels), ("civil", "criminal")))
    assert scores.test["accuracy"] > 0.9


def test_the_strength_is_the_best_for_the_metric_and_its_goal(small_task, tmp_path):
    (tmp_path / "confidence.py").write_text(
        "def mean(true, predicted, probabilities):\n    return probabilities.max(axis=1).mean()\n"
    )
    metric = f"{tmp_path}/confidence.py:mean"
    task = load_task(small_task)
    # The less a regression is held back, the surer it is.
    for goal, strength in (("minimize", 1.0), ("maximize", 100.0)):
        reference = fit_reference(task, metric=metric, goal=goal)
        assert reference.strength == strength
        assert set(reference.validation) == {*METRICS, metric}


def test_texts_without_a_label_are_a_class_where_the_task_says_so():
    labels = np.array([[1, 0], [0, 1], [0, 0], [0, 0]] * 12)
    words = {(1, 0): "arbitration", (0, 1): "waiver", (0, 0): "weather"}
    texts = tuple(f"on {words[tuple(row)]} and more" for row in labels.tolist())
    task = task_of(Examples(texts=texts, labels=labels), ("arbitration", "waiver"))
    # Trained on texts whose second label is never there, it is never given.
    task = replace(task, train=task.train.take(np.flatnonzero(task.train.labels[:, 1] == 0)))
    with_column = replace(task, no_label_column=True)
    assert reference_scores(task).test["f1_macro"] == pytest.approx((1 + 0) / 2)
    # In each four texts the column has two hits and one false alarm.
    wanted = (1 + 0 + 4 / 5) / 3
    assert reference_scores(with_column).test["f1_macro"] == pytest.approx(wanted)


def test_there_may_be_one_label_that_a_text_has_or_has_not():
    labels = np.arange(40)[:, None] % 2
    texts = tuple(f"the {'tax' if label else 'fee'} is paid" for label in labels[:, 0])
    task = task_of(Examples(texts=texts, labels=labels), ("tax",))
    reference = fit_reference(task)
    assert reference.probabilities(task.test).shape == (10, 1)
    assert reference.scores(task.test) == dict.fromkeys(METRICS, 1.0)
    # Half of the texts have it: given to all, it is right at every second one.
    assert trivial_baseline(task)["f1_macro"] == pytest.approx(2 / 3)


def test_a_pair_is_judged_by_how_its_texts_differ():
    """Neither text alone says whether both are about the same thing."""
    rng = np.random.default_rng(0)
    topics, labels = RARE[:6], rng.integers(0, 2, 800)
    first = rng.integers(0, 6, 800)
    second = np.where(labels == 1, first, (first + rng.integers(1, 6, 800)) % 6)
    says_of = [[f"{says(rng, COMMON, 4)} {topics[i]}" for i in side] for side in (first, second)]
    examples = Examples(texts=tuple(says_of[0]), pairs=tuple(says_of[1]), labels=labels)
    task = task_of(examples, ("different", "same"))
    scores = reference_scores(task)
    assert scores.name == "TF-IDF of both texts + logistic regression"
    assert scores.test["accuracy"] > 0.95
    apart = replace(examples, pairs=None, texts=tuple(map(" ".join, zip(*says_of, strict=True))))
    # Measured .985, and .59 on the two texts in a row.
    assert reference_scores(task_of(apart, task.labels)).test["accuracy"] < 0.8


def choices(rng, ending_of, *, size=160, num_endings=4):
    """Questions whose text holds five rare words; `ending_of` writes an ending, right or wrong."""
    texts, endings, labels = [], [], rng.integers(0, num_endings, size)
    for label in labels:
        rare = rng.choice(RARE, 5, replace=False)
        texts.append(f"{' '.join(COMMON)} {' '.join(rare)}")
        endings.append(tuple(ending_of(rare, i == label) for i in range(num_endings)))
    examples = Examples(texts=tuple(texts), endings=tuple(endings), labels=labels)
    return task_of(examples, tuple(map(str, range(num_endings))))


def test_endings_are_judged_by_the_words_that_matter():
    rng = np.random.default_rng(0)

    def ending_of(rare, is_right):
        """Two rare words of the text and strange ones, against many words that every text has."""
        if is_right:
            return " ".join([*rng.choice(rare, 2, replace=False), *rng.choice(RARE, 6)])
        return " ".join(rng.choice(COMMON, 8, replace=False))

    task = choices(rng, ending_of)
    scores = reference_scores(task, metric="accuracy")
    assert scores.name == "TF-IDF and word overlap + logistic regression"
    assert scores.strength is not None
    assert scores.test["accuracy"] > 0.95
    assert trivial_baseline(task)["accuracy"] < 0.05
    probabilities = fit_reference(task).probabilities(task.test)
    assert probabilities.shape == (len(task.test), 4)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(task.test)))


def test_word_overlap_is_the_reference_where_nothing_beats_it():
    rng = np.random.default_rng(0)

    def ending_of(rare, is_right):
        others = rng.choice([word for word in RARE if word not in rare], 4, replace=False)
        return " ".join(rare[:4] if is_right else others)

    task = choices(rng, ending_of)
    scores = reference_scores(task)
    assert (scores.name, scores.strength) == ("word overlap", None)
    assert scores.test["accuracy"] == 1
    assert trivial_baseline(task) == scores.validation


def test_the_ending_that_shares_most_for_its_length_is_picked_and_the_first_of_equals():
    text = "The tenant shall pay the rent"
    endings = (
        # Shares 2 of 3 words (1.15), 3 of 9 (1.0), and none.
        ("the RENT, monthly.", "the tenant and rent or any other cost due", "no part"),
        ("no part", "the rent", "the rent"),
        ("no part", "some part", "all parts"),
    )
    examples = Examples(texts=(text,) * 3, endings=endings, labels=np.array([0, 2, 0]))
    task = TaskData(
        name="t", labels=("0", "1", "2"), train=examples, validation=examples, test=examples
    )
    found = trivial_baseline(task)
    assert found["accuracy"] == pytest.approx(2 / 3), "0, then 1 of two equals, then 0 of three"
    last = replace(examples, labels=np.array([0, 1, 0]))
    assert trivial_baseline(replace(task, validation=last))["accuracy"] == 1


def test_the_commonest_class_of_the_training_split_is_the_baseline_of_one_class():
    train, validation = np.array([2, 2, 0, 1]), np.array([2, 0, 0, 0])
    texts = ("text",) * 4
    task = TaskData(
        name="t",
        labels=("a", "b", "c"),
        train=Examples(texts=texts, labels=train),
        validation=Examples(texts=texts, labels=validation),
        test=Examples(texts=texts, labels=validation),
    )
    found = trivial_baseline(task)
    assert set(found) == set(METRICS)
    assert found["accuracy"] == pytest.approx(1 / 4)
    assert found["f1_macro"] == pytest.approx((0 + 2 / 5) / 2)
    assert found["auprc"] == pytest.approx((3 / 4 + 1 / 4) / 2)


def test_the_best_constant_labels_are_the_baseline_of_several_labels():
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1]] * 4)
    examples = Examples(texts=("text",) * 20, labels=labels)
    task = TaskData(
        name="t", labels=("a", "b", "c"), train=examples, validation=examples, test=examples
    )
    # Of no label, a, a and b, all: F1 over all decisions 0, 4/9, 6/14, 8/19.
    assert trivial_baseline(task, metric="f1_micro")["f1_micro"] == pytest.approx(4 / 9)
    # All labels: 2·2/7 for a, 2·1/6 for b and for c.
    wanted = (4 / 7 + 2 / 6 + 2 / 6) / 3
    assert trivial_baseline(task, metric="f1_macro")["f1_macro"] == pytest.approx(wanted)
    assert trivial_baseline(task, metric="accuracy")["accuracy"] == pytest.approx(2 / 5)
    assert trivial_baseline(task, metric="f1_micro", goal="minimize")["f1_micro"] == 0


def test_no_label_is_the_best_constant_answer_where_most_texts_have_none():
    labels = np.array([[1, 0], [0, 1], [0, 0], [0, 0], [0, 0], [0, 0]] * 4)
    examples = Examples(texts=("text",) * 24, labels=labels)
    task = TaskData(
        name="t",
        labels=("a", "b"),
        train=examples,
        validation=examples,
        test=examples,
        no_label_column=True,
    )
    # Of six texts four are right; the other two have a label that is missed.
    assert trivial_baseline(task, metric="f1_micro")["f1_micro"] == pytest.approx(8 / (8 + 2 + 2))
