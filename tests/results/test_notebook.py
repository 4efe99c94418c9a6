"""What a notebook shows of an outcome: short, whole, and with nothing of it taken for HTML."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cli.studies import NAME, make_store
from lexmove.app.stored import Outcome, load
from lexmove.study.study import Study


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return load(NAME, store=make_store(tmp_path_factory.mktemp("store")))


class Cells(HTMLParser):
    """The texts of a table's cells, and every tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_it_says_what_won_and_what_that_is_worth(outcome: Outcome) -> None:
    line = "study 'clauses', interrupted: 4 trials, best f1_macro 0.6000 (trial 2)"
    assert repr(outcome).startswith("<Outcome of study 'clauses', ")
    shown = Cells(outcome._repr_html_())
    assert shown.texts[0].startswith(line.partition(",")[0])
    assert any(text.startswith("On the test split") for text in shown.texts)
    assert {"best config (trial 2)", "default config", "TF-IDF + logistic regression"} < set(
        shown.texts
    )
    assert {"learning_rate", "0.0004"} < set(shown.texts)
    assert len(outcome._repr_html_()) < 3000


def test_names_are_never_tags(outcome: Outcome) -> None:
    evil = "<script>alert(1)</script>"
    spec = replace(outcome.study.spec, name=evil, metric="f1_macro")
    study = Study(spec=spec, trials=outcome.study.trials, num_events=outcome.study.num_events)
    arms = tuple(replace(arm, name=f"{arm.name}{evil}") for arm in outcome.arms)
    poisoned = replace(outcome, study=study, arms=arms, reference={"name": evil, "test": 0.5})
    shown = Cells(poisoned._repr_html_())
    assert shown.tags == {"div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert evil in shown.texts


def test_before_any_score_there_is_little_to_show(outcome: Outcome) -> None:
    empty = replace(outcome, study=outcome.study.prefix(0), arms=(), judgement=None, reference=None)
    assert "0 trials, no score yet" in empty._repr_html_()
    assert repr(empty.study) == "<Study 'clauses': 0 trials, no score>"


def test_studies_and_trials_say_what_they_are(outcome: Outcome, tmp_path: Path) -> None:
    assert repr(outcome.study) == "<Study 'clauses': 4 trials, best 0.6>"
    assert repr(outcome.study.trials[3]) == (
        "<Trial 3: FAILED at fidelity 1, {'learning_rate': 0.01}>"
    )
