"""The demo: a real study of five to ten minutes in ./demo, which goes on after an interruption."""

import os
import re
from pathlib import Path

from lexmove.app import stored
from lexmove.cli import templates
from lexmove.cli.commands import run_resume, tune_job
from lexmove.cli.console import say
from lexmove.cli.starter import write_starter
from lexmove.space.loading import load_job_and_space

FOLDER = Path("demo")
"""Everything that the demo writes is below it."""

STORE = f"sqlite:///{FOLDER}/studies.db"
"""Where its studies are kept."""

_NAME = "license-demo-"


def run_demo() -> None:
    """`lexmove demo`."""
    outcomes = stored.load_all(store=STORE)
    open_studies = [item.study.spec.name for item in outcomes if item.state == "interrupted"]
    if open_studies:
        say(f"going on with {open_studies[-1]}, which was interrupted")
        run_resume(open_studies[-1], store=STORE)
        return
    job_path = write_demo_job([item.study.spec.name for item in outcomes])
    job, space = load_job_and_space(job_path)
    say(
        f"{job.num_search_trials} trials tune a two-layer MiniLM on licence texts; the best is "
        f"then repeated and compared ({job_path})."
    )
    say(
        "Two cores take five to ten minutes for it; Ctrl-C keeps what is done, and so does a crash."
    )
    tune_job(job, space)


def write_demo_job(known: list[str]) -> Path:
    """Writes the demo's files for the number after those of the known studies."""
    numbers = [int(found[1]) for name in known if (found := re.fullmatch(rf"{_NAME}(\d+)", name))]
    job = templates.DEMO_JOB.format(
        name=f"{_NAME}{max(numbers, default=0) + 1}",
        space=templates.SPACE_NAME,
        parallel=min(2, os.cpu_count() or 1),
        store=STORE,
        storage=FOLDER / "studies",
    )
    path = FOLDER / "job.yaml"
    write_starter(job, out=path, force=True)
    return path
