"""A real study that ran in this process, on texts that say their class: for what follows it."""

import json
from pathlib import Path

from lexmove.app import running
from lexmove.app.execution import Progress
from lexmove.app.stored import Outcome
from lexmove.job.spec import JobSpec
from lexmove.space.loading import space_from_mapping
from trials.tiny_models import folder_of

WORDS = ("lease", "tax")
SPACE = {"parameters": {"learning_rate": {"min": 1e-4, "max": 1e-2, "log": True, "default": 3e-3}}}


def silent(phase, study):
    """Tells nothing."""


def run_study(
    folder: Path, progress: Progress = silent, *, in_lists: bool = False, **changes: object
) -> Outcome:
    """Three trials and two repetitions each, in a folder of its own; `changes` are the job's.

    With `in_lists` a text may have several labels.
    """
    rows = [
        {
            "text": f"the {WORDS[i % 2]} is {'due' if i % 3 else 'the'}",
            "label": [WORDS[i % 2]] if in_lists else WORDS[i % 2],
        }
        for i in range(60)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = JobSpec.model_validate(
        {
            "name": "s",
            "task": {"files": {"train": str(folder / "rows.jsonl")}},
            "model": {"name": folder_of("Bert", folder / "model"), "max_length": 8},
            "space": SPACE,
            "budget": {"trials": 7},
            "finalists": {"top": 1, "seeds": 2},
            "fidelity": {"max_epochs": 2, "evaluate": "epochs"},
            "storage": str(folder / "studies"),
            **changes,
        }
    )
    return running.tune(
        job,
        space_from_mapping(job.space),
        store=f"sqlite:///{folder}/studies.db",
        address="in-process",
        progress=progress,
    )


def url(folder: Path) -> str:
    return f"sqlite:///{folder}/studies.db"


def resume(folder):
    return running.resume("s", store=url(folder), address="in-process", progress=silent)
