"""LexGLUE: seven English legal tasks of the hub, the same texts and classes for everyone.

Chalkidis et al., arXiv 2110.00976; data of the hub's `coastalcph/lex_glue` (CC-BY-4.0), pinned to
the commit that turned it into parquet files. Nothing is cleaned or dropped: the scores must stand
beside published ones. `LEXMOVE_LEX_GLUE` names a folder that holds the same files, for machines
that cannot reach the hub and have no cache of it either.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexmove.errors import TaskError, did_you_mean
from lexmove.job.spec import HubSpec
from lexmove.trials.tasks.cells import join_paragraphs
from lexmove.trials.tasks.examples import Examples, Splits
from lexmove.trials.tasks.hub import hub_dataset

if TYPE_CHECKING:
    from datasets import Dataset

REVISION = "c23fdff1a6bf74e0e1a71cb86f1e781d37da888c"
"""The commit of `coastalcph/lex_glue` that is read."""

FOLDER_VARIABLE = "LEXMOVE_LEX_GLUE"
"""An environment variable: a folder to read instead of the hub."""

_ARTICLES = ("2", "3", "5", "6", "8", "9", "10", "11", "14", "P1-1")

_ISSUE_AREAS = tuple(str(area) for area in range(1, 14))

_UNFAIR_TERMS = (
    "Limitation of liability",
    "Unilateral termination",
    "Unilateral change",
    "Content removal",
    "Contract by using",
    "Choice of law",
    "Jurisdiction",
    "Arbitration",
)

_EUROVOC = tuple(str(number) for number in range(100))
"""Positions: the ids of the 100 EuroVoc concepts come with the data."""

_LEDGAR = """
    Adjustments, Agreements, Amendments, Anti-Corruption Laws, Applicable Laws, Approvals,
    Arbitration, Assignments, Assigns, Authority, Authorizations, Base Salary, Benefits,
    Binding Effects, Books, Brokers, Capitalization, Change In Control, Closings,
    Compliance With Laws, Confidentiality, Consent To Jurisdiction, Consents, Construction,
    Cooperation, Costs, Counterparts, Death, Defined Terms, Definitions, Disability, Disclosures,
    Duties, Effective Dates, Effectiveness, Employment, Enforceability, Enforcements,
    Entire Agreements, Erisa, Existence, Expenses, Fees, Financial Statements, Forfeitures,
    Further Assurances, General, Governing Laws, Headings, Indemnifications, Indemnity, Insurances,
    Integration, Intellectual Property, Interests, Interpretations, Jurisdictions, Liens,
    Litigations, Miscellaneous, Modifications, No Conflicts, No Defaults, No Waivers,
    Non-Disparagement, Notices, Organizations, Participations, Payments, Positions, Powers,
    Publicity, Qualifications, Records, Releases, Remedies, Representations, Sales, Sanctions,
    Severability, Solvency, Specific Performance, Submission To Jurisdiction, Subsidiaries,
    Successors, Survival, Tax Withholdings, Taxes, Terminations, Terms, Titles,
    Transactions With Affiliates, Use Of Proceeds, Vacations, Venues, Vesting,
    Waiver Of Jury Trials, Waivers, Warranties, Withholdings
"""

_PROVISIONS = tuple(provision.strip() for provision in _LEDGAR.split(","))


@dataclass(frozen=True, slots=True, kw_only=True)
class LexGlueTask:
    """A configuration: its columns, and its classes as published where the data do not name them.

    `label` holds class numbers: one each, or where `is_multi_label` lists of them.
    """

    config: str
    text: str = "text"
    endings: str | None = None
    label: str
    classes: tuple[str, ...]
    no_label_column: bool = False

    @property
    def is_multi_label(self) -> bool:
        """Whether a text has any number of labels."""
        return self.label == "labels"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return tuple(name for name in (self.text, self.endings, self.label) if name is not None)


_TASKS = (
    LexGlueTask(config="ecthr_a", label="labels", classes=_ARTICLES, no_label_column=True),
    LexGlueTask(config="ecthr_b", label="labels", classes=_ARTICLES, no_label_column=True),
    LexGlueTask(config="scotus", label="label", classes=_ISSUE_AREAS),
    LexGlueTask(config="eurlex", label="labels", classes=_EUROVOC),
    LexGlueTask(config="ledgar", label="label", classes=_PROVISIONS),
    LexGlueTask(config="unfair_tos", label="labels", classes=_UNFAIR_TERMS, no_label_column=True),
    LexGlueTask(
        config="case_hold",
        text="context",
        endings="endings",
        label="label",
        classes=("0", "1", "2", "3", "4"),
    ),
)

LEX_GLUE: dict[str, LexGlueTask] = {f"lex_glue/{task.config}": task for task in _TASKS}
"""The tasks by the name that a job gives them."""


def load_lex_glue(name: str) -> Splits:
    """The splits of a LexGLUE task by its name in `LEX_GLUE`, as published.

    Raises:
        TaskError: an unknown name, a hub out of reach, or data of another layout.
    """
    if name not in LEX_GLUE:
        raise TaskError(f"unknown task {name!r}{did_you_mean(name, tuple(LEX_GLUE))}")
    task, folder = LEX_GLUE[name], os.environ.get(FOLDER_VARIABLE)
    hub = HubSpec(
        id=folder or "coastalcph/lex_glue",
        config=task.config,
        revision=None if folder else REVISION,
    )
    data = hub_dataset(hub, folder_setting=f"the environment variable {FOLDER_VARIABLE}")
    for split, rows in data.items():
        _check_columns(rows, task, split)
    classes = _class_names(data["train"], task)
    train, validation, test = (
        _examples(data[split], task, split, len(classes))
        for split in ("train", "validation", "test")
    )
    return Splits(
        labels=classes,
        train=train,
        validation=validation,
        test=test,
        no_label_column=task.no_label_column,
    )


def _check_columns(rows: "Dataset", task: LexGlueTask, split: str) -> None:
    for column in task.columns:
        if column not in rows.column_names:
            raise TaskError(
                f"lex_glue/{task.config}: the {split} split has no column {column!r} (columns:"
                f" {', '.join(rows.column_names)}); these are not the files of"
                " coastalcph/lex_glue"
            )


def _class_names(rows: "Dataset", task: LexGlueTask) -> tuple[str, ...]:
    feature = rows.features[task.label]
    names = getattr(getattr(feature, "feature", feature), "names", None)
    return task.classes if names is None else tuple(names)


def _examples(rows: "Dataset", task: LexGlueTask, split: str, num_classes: int) -> Examples:
    place = f"lex_glue/{task.config}, {split}"
    labels = rows[task.label][:]
    coded = (
        _indicators(labels, place, num_classes)
        if task.is_multi_label
        else _numbers(labels, place, num_classes)
    )
    endings = None
    if task.endings is not None:
        endings = tuple(tuple(row) for row in rows[task.endings][:])
        _check_endings(endings, place, num_classes)
    return Examples(
        texts=tuple(_document(value) for value in rows[task.text][:]),
        labels=coded,
        endings=endings,
    )


def _document(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else join_paragraphs(value)


def _numbers(labels: Sequence[Any], place: str, num_classes: int) -> NDArray[np.int64]:
    for row, label in enumerate(labels, start=1):
        if not isinstance(label, int) or not 0 <= label < num_classes:
            raise TaskError(_no_class(label, f"{place}:{row}", num_classes))
    return np.array(labels, dtype=np.int64)


def _indicators(labels: Sequence[Any], place: str, num_classes: int) -> NDArray[np.int64]:
    indicators = np.zeros((len(labels), num_classes), dtype=np.int64)
    for row, numbers in enumerate(labels):
        indicators[row, _numbers(numbers, f"{place}:{row + 1}", num_classes)] = 1
    return indicators


def _no_class(label: object, place: str, num_classes: int) -> str:
    return f"{place}: {label!r} is no class; classes are whole numbers from 0 to {num_classes - 1}"


def _check_endings(endings: Sequence[tuple[str, ...]], place: str, num_classes: int) -> None:
    for row, ways in enumerate(endings, start=1):
        if len(ways) != num_classes:
            raise TaskError(f"{place}:{row}: {len(ways)} endings; there must be {num_classes}")
