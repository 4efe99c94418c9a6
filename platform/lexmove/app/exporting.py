"""Exports a winner: a folder that trains, predicts and explains itself without lexmove."""

import hashlib
import importlib.metadata
import io
import json
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lexmove.app.appearing import appearing
from lexmove.app.inputs import bring_inputs
from lexmove.app.model_card import model_card
from lexmove.app.outlets.formats import FORMATS, check_format
from lexmove.app.preparing import forget_data, task_of
from lexmove.app.stored import (
    Outcome,
    job_of,
    outcome_of,
    repetitions_of,
    store_option,
    store_url,
    study_dir_of,
)
from lexmove.coordinator.store import open_store
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import NoSuccessfulTrialError, StorageError, TaskError, UsageError
from lexmove.job.spec import JobSpec
from lexmove.study.study import Study

_PACKAGES = ("lexmove", "torch", "transformers", "accelerate", "numpy", "scikit-learn", "ray")

_RUN = """#!/usr/bin/env bash
# Trains this config anew and scores it, without lexmove:
#     run.sh [--seed 1] [--out FOLDER] [--force]
# FOLDER is `trained` beside this file if none is given; with --force it may have something in it.
# Before it: python3 -m venv venv && . venv/bin/activate && pip install -r requirements.txt
set -euo pipefail
here="$(CDPATH= cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
python="${PYTHON:-python3}"
out="$here/trained" force=no before=
given=()
refuse() {
  echo "run.sh: $1" >&2
  exit 2
}
for word in "$@"; do
  if [ "$before" = --out ]; then out="$word"; fi
  case "$word" in
    -h | --help) sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}"; exit ;;
    --out=*) out="${word#--out=}" ;;
  esac
  if [ "$word" = --force ]; then force=yes; else given+=("$word"); fi
  before="$word"
done
command -v "$python" > /dev/null || refuse "there is no $python here: PYTHON=… names another one"
missing="$("$python" - "$here/requirements.txt" << 'END'
import importlib.util
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    names = [line.partition("==")[0].strip() for line in file if line.strip()]
modules = {name: name.replace("-", "_") for name in names} | {"scikit-learn": "sklearn"}
print(", ".join(name for name in names if importlib.util.find_spec(modules[name]) is None))
END
)"
[ -z "$missing" ] ||
  refuse "$python lacks $missing: pip install -r $here/requirements.txt, or PYTHON=… that has them"
if [ "$force" = no ] && [ -e "$out" ] && [ -n "$(ls -A -- "$out")" ]; then
  refuse "$out is there already and is not empty: give another --out, or --force"
fi
"$python" "$here/train.py" ${given[@]+"${given[@]}"}
echo "the model is in $out/model, its scores in $out/result.json" >&2
"""

Say = Callable[[str], object]


def export(
    name: str,
    folder: Path,
    *,
    store: str | None = None,
    with_data: bool = True,
    formats: Sequence[str] = (),
    say: Say,
) -> dict[str, Any]:
    """Writes the winner of a study with all that it takes to have it without lexmove.

    The folder appears complete or not at all; `provenance.json` is written last.

    Args:
        name: the study's.
        folder: a new one, or an empty one.
        store: URL of the store.
        with_data: whether the examples go along.
        formats: names of `FORMATS` in which to write the config, too.
        say: told what is missing, and why.

    Returns:
        What `provenance.json` says.

    Raises:
        StudyNotFoundError: no study of that name.
        NoSuccessfulTrialError: it has found nothing yet.
        UsageError: an unknown format, an imported study, or the folder is not empty or cannot be
            written.
        TaskError: the data are no longer those of the study.
    """
    for item in formats:
        check_format(item)
    url = store_url(None, store)
    opened = open_store(url)
    outcome = outcome_of(opened, opened.load(name), url)
    if outcome.winner is None:
        raise NoSuccessfulTrialError(
            f"study {name!r} has no successful trial yet: there is nothing to export"
        )
    if not outcome.study.spec.job:
        raise UsageError(
            f"study {name!r} was imported, not made by `lexmove tune`: it has no data and no model "
            f"to export, only a config: lexmove best {name} --json{store_option(store)}"
        )
    check_free(folder)
    forget_data()  # files may have changed
    job = bring_inputs(job_of(outcome.study))
    repetitions = repetitions_of(opened, outcome.study)
    with appearing(folder) as made:
        made.mkdir()
        for item in formats:
            path = made / f"{item}.yaml"
            config = FORMATS[item](outcome.study, outcome.winner.config)
            path.write_text(_as_yaml(config), encoding="utf-8")
        return _write_all(made, outcome, repetitions, job, with_data=with_data, say=say)


def check_free(folder: Path) -> None:
    """Refuses a folder in which something is.

    Raises:
        UsageError: it is not empty, or no folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already and is not empty: give another --out")


def _write_all(
    folder: Path,
    outcome: Outcome,
    repetitions: Study | None,
    job: JobSpec,
    *,
    with_data: bool,
    say: Say,
) -> dict[str, Any]:
    from lexmove.trials.training_bundle import write_training

    winner, judgement, study_dir = outcome.winner, outcome.judgement, study_dir_of(job)
    assert winner is not None, "checked by the caller"
    task = task_of(job.task)
    fingerprint = study_dir.read_json("data")
    if fingerprint is not None and task.fingerprint != fingerprint:
        raise TaskError(
            f"the data of study {job.name!r} are not those that it was made with: restore them, "
            "then export"
        )
    seeds = _seeds(repetitions, winner.arm)
    write_training(
        folder,
        winner.config,
        job,
        task,
        epochs=winner.until,
        seed=seeds[0] if seeds else job.seed,
        threshold=None if judgement is None else judgement.raw_threshold,
        on_gpu=_is_on_gpu(job, study_dir),
        with_data=with_data,
    )
    if not with_data:
        say("data/ was left out: train.py wants train.jsonl, validation.jsonl and test.jsonl there")
    best = outcome.best_json()
    _write_json(folder / "best.json", best)
    (folder / "best.yaml").write_text(_as_yaml(best), encoding="utf-8")
    (folder / "README.md").write_text(model_card(outcome, job), encoding="utf-8")
    run = folder / "run.sh"
    run.write_text(_RUN, encoding="utf-8")
    run.chmod(0o755)
    missing = _why_no_model(outcome)
    if missing is None:
        missing = _copy_model(study_dir.model, folder / "model", study_dir)
        _copy_ensemble(outcome, folder / "ensemble", study_dir, say)
    if missing is not None:
        say(f"no checkpoint: {missing}; run.sh trains one")
    provenance = {
        "schema_version": 1,
        "study": job.name,
        "exported_at_s": int(time.time()),
        "versions": _versions(),
        "python": platform.python_version(),
        "data_sha256": task.fingerprint,
        "task": job.task.name,
        "model": job.model.name,
        "precision": job.model.precision,
        "seeds": seeds,
        "study_seed": outcome.study.spec.seed,
        "policy_version": best["policy_version"],
        "files": _digests(folder),
    }
    _write_json(folder / "provenance.json", provenance)
    return provenance


def _seeds(repetitions: Study | None, arm: str) -> list[int]:
    """Those that the winner was trained with again."""
    trials = () if repetitions is None else repetitions.trials
    return [trial.segment.seed for trial in trials if trial.decision.expert == arm]


def _is_on_gpu(job: JobSpec, study_dir: StudyDir) -> bool:
    if not job.resources.auto:
        return job.resources.gpu > 0
    return bool((study_dir.read_json("resources") or {}).get("gpu"))


def _why_no_model(outcome: Outcome) -> str | None:
    """Why no checkpoint of the winner was kept; None if one was."""
    if outcome.judgement is None:
        if outcome.state == "finished":
            return "no config was repeated, and the winner of the repetitions is kept"
        is_left = outcome.state == "interrupted"
        way = f" (`lexmove resume {outcome.study.spec.name}`)" if is_left else ""
        return f"the study is {outcome.state}, and its winner is kept when it is finished{way}"
    if outcome.judgement.model is not None:
        return None
    return "; ".join(outcome.judgement.gaps) or "the job has decide.keep_model off"


def _copy_model(source: Path, target: Path, study_dir: StudyDir) -> str | None:
    """Copies one of the winner's checkpoints; returns why there is none."""
    try:
        found = study_dir.fetched(study_dir.named(source))
    except StorageError as error:
        return error.reason
    if not found.is_dir():
        return f"{found} is gone"
    shutil.copytree(found, target)
    return None


def _copy_ensemble(outcome: Outcome, target: Path, study_dir: StudyDir, say: Say) -> None:
    """Copies the seeds that decide together: all of them, or none."""
    assert outcome.judgement is not None, "there is a model"
    ensemble = outcome.judgement.ensemble
    for number in range(0 if ensemble is None else ensemble.num_models):
        source = study_dir.ensemble(number)
        missing = _copy_model(source, target / source.name, study_dir)
        if missing is not None:
            shutil.rmtree(target, ignore_errors=True)
            say(f"no ensemble: {missing}")
            return


def _write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _as_yaml(data: Any) -> str:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    out = io.StringIO()
    yaml.dump(data, out)
    return out.getvalue()


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file, by its name in the folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[path.relative_to(folder).as_posix()] = digest
    return found
