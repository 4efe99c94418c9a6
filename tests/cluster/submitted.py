"""A job with files of its own, and calls of `lexmove` that know no more than an address."""

import json
import subprocess
from pathlib import Path
from typing import Any

from cluster.head import Head
from lexmove.cluster.dashboard import Dashboard
from lexmove.cluster.jobs import Jobs
from lexmove_process import begun

NUM_TRIALS = 5
"""Of the search; the repetitions take the other two."""

JOB = {
    "task": {"files": {"train": "clauses.csv"}, "text": "clause", "label": "type"},
    "model": {"name": "minilm", "num_hidden_layers": 1, "max_length": 16},
    "space": "rates.yaml",
    "budget": {"trials": 7, "parallel": 2},
    "fidelity": {"max_epochs": 6, "eta": 2},
    "finalists": {"top": 1, "seeds": 1},
    "agent": {"memory": False},
}
SPACE = "parameters: {learning_rate: {min: 1.0e-4, max: 5.0e-3, log: true, default: 1.0e-3}}\n"
WORDS = {"lease": "rent premises tenant", "tax": "duty levy fiscal", "end": "cancel expire notice"}
METRICS = """
import sys

def broken(true, predicted, probabilities):
    if "default_worker" in sys.argv[0]:
        raise ZeroDivisionError("no costs are known")
    return 1.0
"""
"""Fails in trials alone, which Ray's workers run; the driver's look at it goes well."""
PROPOSER = """
from lexmove.study.trial import Decision, Suggestion

class Draws:
    name = "draws"

    def propose(self, study, rng, *, lane=0):
        if not study.num_trials_left:
            return None
        decision = Decision(proposer=self.name, lane=lane)
        config = study.spec.space.sample(rng)
        return Suggestion(config=config, until=study.spec.fidelity.rungs[0], decision=decision)
"""
LONG_S = 170


def write_job(folder: Path, **changes: Any) -> None:
    """A job with files of its own."""
    rows = [f"{words} {number},{label}\n" for number in range(80) for label, words in WORDS.items()]
    (folder / "clauses.csv").write_text("clause,type\n" + "".join(rows))
    (folder / "rates.yaml").write_text(SPACE)
    (folder / "costs.py").write_text(METRICS)
    (folder / "draws.py").write_text(PROPOSER)
    (folder / "job.yaml").write_text(json.dumps(JOB | changes))


def calling(head: Head, folder: Path, *words: str, **changes: str) -> subprocess.Popen[str]:
    """A call from a machine that has nothing but the token and the address."""
    environment = head.environment | changes
    return begun(folder, *words, "--address", head.address, environment=environment)


def lexmove(
    head: Head, folder: Path, *words: str, **changes: str
) -> subprocess.CompletedProcess[str]:
    """Such a call and what came of it."""
    process = calling(head, folder, *words, **changes)
    out, err = process.communicate(timeout=LONG_S)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def jobs_of(head: Head) -> Jobs:
    return Jobs(Dashboard(url=head.address, token=head.token))
