"""The data card: figures counted by hand, copies and near-duplicates, and warnings in words."""

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexmove.trials.tasks.data_card import data_card
from lexmove.trials.tasks.examples import Examples
from lexmove.trials.tasks.near_duplicates import DUPLICATE, clusters, shingle
from lexmove.trials.tasks.split_card import SPLITS, Lengths
from lexmove.trials.tasks.task import TaskData

ALPHABET = tuple("abcdefgh")


def prose(seed, num_words=40):
    """A text of words that no other seed has."""
    rng = np.random.default_rng(seed)
    return " ".join(f"w{seed}x{word}" for word in rng.integers(0, 999, num_words))


def examples(texts, labels, **more):
    return Examples(texts=tuple(texts), labels=np.array(labels, dtype=np.int64), **more)


def task(train, validation, test, *, labels=("no", "yes"), **more):
    return TaskData(
        name="made", labels=labels, train=train, validation=validation, test=test, **more
    )


def fresh(first, size, labels=2):
    """Texts that repeat nothing, classes in turn."""
    texts = [prose(number) for number in range(first, first + size)]
    return examples(texts, np.arange(size) % labels)


def plain(**more):
    """Nothing to warn of, but for what is given."""
    return task(
        **{"train": fresh(0, 600), "validation": fresh(1000, 500), "test": fresh(2000, 40)} | more
    )


def changed(text, words):
    """A text with its first words replaced by new ones."""
    return " ".join([f"new{word}" for word in range(words)] + text.split()[words:])


def warning(card, start):
    """The one warning that begins so."""
    (found,) = [text for text in card.warnings if text.startswith(start)]
    return found


def test_a_clean_task_has_no_warnings():
    card = data_card(plain(), None, 128)
    assert card.warnings == ()
    assert card.kind == "single-label"
    assert card.imbalance == 1.0
    train, validation, test = card.splits
    assert (train.examples, validation.examples, test.examples) == (600, 500, 40)
    assert train.label_counts == {"no": 300, "yes": 300}
    assert train.words == Lengths(median=40.0, p95=40.0, longest=40)
    assert train.tokens is train.over_max_length is None


def test_lengths_and_the_share_that_is_not_read():
    short = examples(["a b", "a b c d", "e f g h i j", ""], [0, 1, 0, 1])
    lengths = {name: np.array([4, 128, 129, 500]) for name in SPLITS}
    card = data_card(task(short, short, short), lengths, 128)
    split = card.splits[1]
    assert split.words == Lengths(median=3.0, p95=pytest.approx(5.7), longest=6)
    assert split.tokens == Lengths(median=128.5, p95=pytest.approx(444.35), longest=500)
    assert split.over_max_length == 0.5
    assert split.empty == 1
    assert "max_segments" in warning(
        card, "50 % of the texts are longer than the 128 tokens that are read"
    )
    assert "leave them out" in warning(card, "3 of 12 texts are empty")
    assert data_card(task(short, short, short), lengths, 500).splits[0].over_max_length == 0.0


def test_copies_within_and_across_splits():
    train = examples(["one two three", "one two three", "four five", "", ""], [0, 0, 1, 0, 1])
    validation = examples(["four five", "six seven"], [1, 0])
    test = examples(["six seven", "six seven", "Four five"], [0, 0, 1])
    card = data_card(task(train, validation, test), None, 128)
    assert [split.duplicates for split in card.splits] == [2, 0, 1]
    assert [split.in_other_splits for split in card.splits] == [1, 2, 2]
    assert [split.near_train for split in card.splits] == [0, 1, 1]
    assert card.label_conflicts == 0
    assert warning(card, "3 of 10 texts repeat another of their split")


def test_the_same_text_with_another_label_is_a_conflict():
    train = examples(["one two", "one two", "three four", "", ""], [0, 1, 1, 0, 1])
    other = examples(["three four", "five six"], [0, 1])
    card = data_card(task(train, other, fresh(50, 4)), None, 128)
    assert card.label_conflicts == 4
    assert "correct the labels" in warning(card, "4 examples have the text of another example")


def test_near_duplicates_of_training_texts_are_counted_by_split():
    train = fresh(0, 50)
    near = [changed(text, 3) for text in train.texts[:4]]
    far = [changed(text, 20) for text in train.texts[4:9]]
    labels = np.arange(40) % 2
    validation = examples([*near[:1], *fresh(100, 39).texts], labels)
    test = examples([*near[1:], *far, *fresh(200, 32).texts], labels)
    card = data_card(task(train, validation, test), None, 128)
    assert [split.near_train for split in card.splits] == [0, 1, 3]
    assert [split.in_other_splits for split in card.splits] == [0, 0, 0]
    leak = warning(card, "3 of 40 test texts are near-duplicates of training texts: scores will")
    assert "task.split.near_duplicates: together" in leak


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_near_duplicates_are_those_of_all_texts_compared(seed):
    rng = np.random.default_rng(seed)
    bases = [prose(number, 50) for number in range(12)]
    texts = [changed(bases[rng.integers(12)], int(rng.integers(0, 12))) for _ in range(60)]
    parts = [examples(texts[at : at + 20], np.arange(20) % 2) for at in (0, 20, 40)]
    card = data_card(task(*parts), None, 128)
    cluster = clusters(shingle(texts), DUPLICATE)
    for number, split in enumerate(card.splits[1:], start=1):
        wanted = np.isin(cluster[20 * number : 20 * (number + 1)], cluster[:20]).sum()
        assert split.near_train == wanted
    assert card.splits[1].near_train > 0


def test_several_labels_per_text():
    indicators = np.zeros((600, 3), dtype=np.int64)
    indicators[:300, 0] = 1
    indicators[200:220, 1] = 1
    texts = fresh(0, 600).texts
    train = examples(texts, indicators)
    rest = examples([prose(9000), texts[0], texts[1]], [[1, 0, 0], [0, 0, 0], [1, 0, 0]])
    card = data_card(task(train, rest, rest, labels=ALPHABET[:3]), None, 128)
    assert card.kind == "multi-label"
    assert card.splits[0].label_counts == {"a": 300, "b": 20, "c": 0}
    assert card.splits[0].without_label == 300
    assert card.imbalance is None
    # The second text is without a label elsewhere; the third has the same one.
    assert card.label_conflicts == 3
    assert warning(card, "no training example of class 'c'")
    assert warning(card, "validation has fewer than 5 examples of class 'a':")
    assert warning(card, "validation has no example of 2 classes 'b', 'c':")
    assert warning(card, "test has no example of 2 classes 'b', 'c':")


def test_pairs_are_compared_as_a_whole():
    long = prose(1, 400)
    train = examples([long, long], [0, 1], pairs=(prose(2), prose(3)))
    test = examples([long, long], [0, 1], pairs=(prose(2), prose(4)))
    card = data_card(task(train, fresh_pairs(), test), None, 128)
    assert card.kind == "pairs"
    assert [split.duplicates for split in card.splits] == [0, 0, 0]
    assert card.splits[2].in_other_splits == 1
    assert card.label_conflicts == 0


def fresh_pairs():
    return examples([prose(70), prose(71)], [0, 1], pairs=(prose(72), prose(73)))


def test_a_multiple_choice_has_positions_and_no_classes():
    def choice(first, size):
        return examples(
            [prose(number) for number in range(first, first + size)],
            np.arange(size) % 3,
            endings=tuple(("x", "y", f"z{number}") for number in range(first, first + size)),
        )

    lengths = {name: np.tile([10, 20, 200], (6, 1)) for name in SPLITS}
    choices = task(choice(0, 6), choice(10, 6), choice(3, 6), labels=("0", "1", "2"))
    card = data_card(choices, lengths, 128)
    assert card.kind == "multiple choice"
    assert card.splits[0].label_counts == {"0": 2, "1": 2, "2": 2}
    assert card.splits[0].tokens == Lengths(median=200.0, p95=200.0, longest=200)
    assert card.splits[2].near_train == card.splits[2].in_other_splits == 3
    assert card.imbalance is None
    assert not any("class" in text for text in card.warnings)
    assert "max_segments" not in warning(card, "100 % of the texts are longer")


def test_few_examples_small_classes_and_imbalance():
    counts = (500, 200, 100, 100, 50, 30, 20, 10)
    train = examples(fresh(0, 1010).texts, np.repeat(np.arange(8), counts))
    validation = examples(fresh(5000, 120).texts, np.arange(120) % 2)
    card = data_card(task(train, validation, fresh(7000, 8, 8), labels=ALPHABET), None, 128)
    assert card.imbalance == 50.0
    assert warning(card, "validation has 120 examples: differences under about .06 are noise")
    small = warning(card, "validation has no example of 6 classes 'c', 'd', 'e', 'f', 'g'")
    assert "'g' and 1 more:" in small
    assert warning(card, "test has fewer than 5 examples of 8 classes 'a', 'b', 'c', 'd', 'e'")
    unequal = warning(card, "class 'a' has 50 times the training examples of 'h'")
    assert "model.class_weighting" in unequal


def test_classes_that_differ_in_case_or_blanks_alone_are_named():
    labels = ("payment", "Payment ", "term of notice", "Term  of Notice", "tax")
    made = task(fresh(0, 600, 5), fresh(1000, 500, 5), fresh(2000, 50, 5), labels=labels)
    found = [text for text in data_card(made, None, 128).warnings if "case or blanks" in text]
    assert len(found) == 2
    assert found[0].startswith("2 classes 'payment', 'Payment ' differ in case or blanks alone")
    assert not any("blanks" in text for text in data_card(plain(), None, 128).warnings)


def warnings_on(*labels):
    num = len(labels)
    parts = fresh(0, 600, num), fresh(1000, 500, num), fresh(2000, 50, num)
    return data_card(task(*parts, labels=labels), None, 128).warnings


@pytest.mark.parametrize(
    "labels",
    [
        ("market risk", "market\xa0risk"),
        ("market risk", "market\u200b risk"),
        ("1", "1.0"),
        ("-2.50", "-2.5"),
    ],
)
def test_classes_that_a_reader_cannot_tell_apart_are_named(labels):
    (found,) = warnings_on("tax", *labels)
    assert found.startswith(f"2 classes {labels[0]!r}, {labels[1]!r} differ in case or blanks")
    assert not warnings_on("1", "10", "-1", "1.5", "1.05")


def test_classes_that_look_like_missing_values_are_named():
    (found,) = warnings_on("tax", "NaN", "N/A", "None", "null")
    assert found.startswith("4 classes 'NaN', 'N/A', 'None', 'null' look like missing values")
    (found,) = warnings_on("tax", "nan")
    assert found.startswith("class 'nan' looks like missing values")
    assert not warnings_on("tax", "nanny", "nothing")


def test_classes_that_were_lists_of_labels_are_named():
    (found,) = warnings_on("[]", "['a', 'b']", "['b', 'a']")
    assert found.startswith("""3 classes '[]', "['a', 'b']", "['b', 'a']" look like lists""")
    (found,) = warnings_on("a", "a, b", "b, a", "b;c")
    assert found.startswith("2 classes 'a, b', 'b, a' have the same parts in another order")
    assert "task.label_separator" in found
    assert not warnings_on("warranty, express", "warranty, implied", "[other]")


def test_long_classes_are_cut_in_warnings():
    (found,) = warnings_on("x" * 300, "X" * 300)
    assert len(found) < 400


def test_a_task_knows_the_classes_that_a_split_lacks():
    made = task(fresh(0, 9, 3), fresh(20, 2, 3), fresh(40, 1, 3), labels=ALPHABET[:3])
    assert [made.absent(split) for split in SPLITS] == [(), ("c",), ("b", "c")]
    indicators = np.array([[1, 0, 1], [0, 0, 1]], dtype=np.int64)
    several = examples([prose(1), prose(2)], indicators)
    assert task(several, several, several, labels=ALPHABET[:3]).absent("test") == ("b",)
    chosen = examples([prose(1)], [0], endings=(("x", "y", "z"),))
    assert task(chosen, chosen, chosen, labels=("0", "1", "2")).absent("test") == ()


def test_rows_that_were_left_out_are_counted():
    card = data_card(plain(skipped=("a.csv:3: column 'text' is empty",)), None, 128)
    assert card.skipped == 1
    assert card.warnings == (warning(card, "1 row was left out as unfit"),)


def test_steps_as_large_as_the_training_split_are_named():
    card = data_card(plain(), None, 128, examples_per_step=600)
    assert card.warnings == (warning(card, "an optimizer step may take 600 examples"),)
    assert data_card(plain(), None, 128, examples_per_step=599).warnings == ()


def test_json_holds_everything():
    lengths = {"train": np.full(600, 7), "validation": np.full(500, 8), "test": np.full(40, 900)}
    card = data_card(plain(), lengths, 128)
    data = json.loads(json.dumps(card.to_json()))
    assert data["task"] == "made"
    assert data["max_length"] == 128
    assert data["examples_per_step"] == 1
    assert [split["name"] for split in data["splits"]] == list(SPLITS)
    assert data["splits"][2]["tokens"] == {"median": 900.0, "p95": 900.0, "longest": 900}
    assert data["splits"][0]["label_counts"] == {"no": 300, "yes": 300}
    assert data["warnings"] == list(card.warnings)


def test_ten_thousand_texts_take_seconds():
    rng = np.random.default_rng(0)
    words = rng.integers(0, 20_000, (10_000, 200))
    words[9_000:9_100] = words[:100]
    texts = [" ".join(map(str, row)) for row in words]
    parts = [
        examples(texts[first:last], np.arange(last - first) % 8)
        for first, last in ((0, 8_000), (8_000, 9_000), (9_000, 10_000))
    ]
    start = time.process_time()
    card = data_card(task(*parts, labels=ALPHABET), None, 128)
    # Measured 2 s on one loaded core.
    assert time.process_time() - start < 10
    assert [split.near_train for split in card.splits] == [0, 0, 100]
