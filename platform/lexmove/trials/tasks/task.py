"""Tasks: texts with labels in three splits, built in by name or from the user's own files."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lexmove.errors import TaskError, did_you_mean
from lexmove.job.spec import TaskSpec
from lexmove.trials.tasks.examples import Examples, Splits, cut
from lexmove.trials.tasks.files import load_files, load_hub
from lexmove.trials.tasks.lex_glue import LEX_GLUE, load_lex_glue
from lexmove.trials.tasks.license import (
    load_license_category,
    load_license_families,
    load_license_listing,
    load_license_role,
)
from lexmove.trials.tasks.license_choices import load_license_mc

Loader = Callable[[Path | None], Splits]

BUILT_IN: dict[str, Loader] = {
    "license_category": load_license_category,
    "license_families": load_license_families,
    "license_listing": load_license_listing,
    "license_mc": load_license_mc,
    "license_role": load_license_role,
}
"""Built-in tasks; a loader takes the cache folder, or None for the default one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskData:
    """A task: texts with one class each, with several, or with endings to choose from.

    Class i is called `labels[i]`. `no_label_column` and `skipped` are those of `Splits`.
    """

    name: str
    labels: tuple[str, ...]
    train: Examples
    validation: Examples
    test: Examples
    no_label_column: bool = False
    skipped: tuple[str, ...] = ()

    @property
    def is_multi_label(self) -> bool:
        """Whether a text has any number of labels, and not just one."""
        return self.train.is_multi_label

    @property
    def is_multiple_choice(self) -> bool:
        """Whether one of several endings is to be chosen."""
        return self.train.is_multiple_choice

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over class names, texts and labels of all splits, as hex digits."""
        digest = hashlib.sha256(json.dumps(self.labels).encode())
        for split in (self.train, self.validation, self.test):
            # Text by text: a digest must not hold all of them a second time.
            for column in (split.texts, split.pairs or (), split.endings or ()):
                digest.update(len(column).to_bytes(8, "little"))
                for value in column:
                    digest.update(json.dumps(value).encode())
            digest.update(split.labels.astype("<i8").tobytes())
        return digest.hexdigest()

    def split(self, name: str) -> Examples:
        """The split called `train`, `validation` or `test`."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]

    def absent(self, name: str) -> tuple[str, ...]:
        """The classes that a split has no example of; of a multiple choice none."""
        if self.is_multiple_choice:
            return ()
        counts = self.split(name).counts(len(self.labels))
        return tuple(label for label, count in zip(self.labels, counts, strict=True) if not count)


def load_task(spec: TaskSpec, *, cache_dir: Path | None = None) -> TaskData:
    """The data that a job asks for, its splits cut down as the job says (stratified, seeded).

    Built-in tasks are prepared once and kept below `cache_dir` (default: `LEXMOVE_CACHE`, else
    `~/.cache/lexmove`).

    Raises:
        TaskError: an unknown task, missing data, or data unfit for classification.
    """
    if spec.files is not None:
        name, splits = Path(spec.files.train).stem, load_files(spec)
    elif spec.hub is not None:
        name = "/".join(filter(None, (Path(spec.hub.id).name, spec.hub.config)))
        splits = load_hub(spec)
    elif spec.name in LEX_GLUE:
        name, splits = spec.name, load_lex_glue(spec.name)
    else:
        name = spec.name or ""
        if name not in BUILT_IN:
            known = (*BUILT_IN, *LEX_GLUE)
            raise TaskError(f"unknown task {name!r}{did_you_mean(name, known)}")
        splits = BUILT_IN[name](cache_dir)
    return TaskData(
        name=name,
        labels=splits.labels,
        train=cut(splits.train, spec.max_train, seed=spec.seed),
        validation=cut(splits.validation, spec.max_validation, seed=spec.seed),
        test=cut(splits.test, spec.max_test, seed=spec.seed),
        no_label_column=splits.no_label_column or spec.no_label_column,
        skipped=splits.skipped,
    )
