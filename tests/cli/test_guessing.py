"""Given columns are kept apart from those that `init` guesses, and from one another."""

from pathlib import Path

import pytest

from cli.conftest import Lexmove
from lexmove.cli.guessing import pick_columns
from lexmove.errors import UsageError

CLAUSES = "clause,kind\n" + "".join(
    f"some words of clause {number},{('lease', 'sale')[number % 2]}\n" for number in range(20)
)
CHOICES = "question,option_a,option_b,option_c,label\n" + "".join(
    f"what is {number},a {number},b {number},c {number},{number % 2}\n" for number in range(20)
)


def test_one_column_is_not_both_text_and_class(lexmove: Lexmove, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(CLAUSES)
    done = lexmove("init", "--data", "data.csv", "--text", "kind", "--label", "kind")
    assert done.exit_code == 2
    assert "--text and --label both name the column 'kind'; each needs" in done.stderr
    assert not (tmp_path / "job.yaml").exists()
    with pytest.raises(UsageError, match="no column 'nothing'"):
        pick_columns(tmp_path / "data.csv", text="nothing", label="nothing")


def test_a_given_column_is_none_of_the_endings(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(CHOICES)
    assert pick_columns(path).endings == ("option_a", "option_b", "option_c")
    picked = pick_columns(path, text="option_a")
    assert (picked.text, picked.endings) == ("option_a", ("option_b", "option_c"))
