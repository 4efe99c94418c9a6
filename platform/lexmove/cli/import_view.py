"""How an import is told: a line for each study, and why one was refused."""

from collections.abc import Sequence
from typing import Any

from lexmove.agent.memory import MIN_SCORED
from lexmove.app.past.importing import Imported
from lexmove.cli.console import SCHEMA_VERSION, say, write, write_json
from lexmove.cli.wording import say_metric
from lexmove.study.study import Study


def write_imported(done: Sequence[Imported], *, as_json: bool) -> None:
    """Names on stdout, with reasons and remarks on stderr; with `as_json` all of it on stdout."""
    if as_json:
        write_json({"schema_version": SCHEMA_VERSION, "studies": [_json(item) for item in done]})
    for item in done:
        if item.study is None:
            say(f"not imported: {item.source}: {item.reason}", style="yellow")
            continue
        if not as_json:
            write(item.study.spec.name)
        how = "imported" if item.is_new else "is there already:"
        say(f"{how} {item.source}: {_words(item.study)}")
        for remark in item.remarks:
            say(f"  {remark}")
        if len(item.study.ranking) < MIN_SCORED:
            say(f"  new jobs learn from {MIN_SCORED} measured trials or more: this one has fewer")
    if any(item.is_new for item in done):
        say("next: lexmove plan JOB   # says what a job begins with, and from which studies")


def _words(study: Study) -> str:
    """`20 trials (17 completed, 3 failed), 4 hyperparameters, best f1_macro 0.81`."""
    counts = ", ".join(f"{num} {status.lower()}" for status, num in study.counts.items())
    best = study.incumbent
    score = "" if best is None else f", best {say_metric(study.spec.metric)} {best.value:.4g}"
    num = len(study.spec.space.names)
    names = "1 hyperparameter" if num == 1 else f"{num} hyperparameters"
    trials = "1 trial" if len(study.trials) == 1 else f"{len(study.trials)} trials"
    return f"{trials} ({counts}), {names}{score}"


def _json(item: Imported) -> dict[str, Any]:
    study, best = item.study, None if item.study is None else item.study.incumbent
    return {
        "source": item.source,
        "study": None if study is None else study.spec.name,
        "is_new": item.is_new,
        "trials": None if study is None else len(study.trials),
        "incumbent": None if best is None else {"trial_id": best.trial_id, "value": best.value},
        "reason": item.reason,
        "remarks": list(item.remarks),
    }
