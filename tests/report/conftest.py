"""Pages of simulated studies, made once."""

import pytest

from lexmove.report.page import render
from lexmove.report.study_page import study_page
from lexmove.study.study import Study
from report.studies import simulated_study, subject_of


@pytest.fixture(scope="session")
def hundred() -> Study:
    """A study of 100 trials with rungs, conditions and failures."""
    return simulated_study(100)


@pytest.fixture(scope="session")
def hundred_html(hundred: Study) -> str:
    """Its page."""
    return render(study_page(subject_of(hundred)))
