"""Learns the shipped table of first configs for `encoder_small` from the measured fine-tunings.

`license_category` is left out: it is the task of the demo, which is to show what tuning does on a
task that nobody has seen.
"""

from pathlib import Path

import numpy as np

import lexmove
from benchmarks.search.fine_tuning_table import Measured, by_data
from lexmove.agent.memory import PastStudy
from lexmove.agent.shipped_starts import StartTable, learn_table, write_table

HELD_OUT = "license_category"
FOLDER = Path(lexmove.__file__).parent / "agent" / "portfolios"


def learn() -> StartTable:
    """The table, from the best epoch of every config, the mean over its repeats."""
    measured = {name: data for name, data in by_data().items() if name != HELD_OUT}
    studies = [_study(name, data) for name, data in measured.items()]
    return learn_table("encoder_small", model="minilm", studies=studies, space=studies[0].space)


def _study(name: str, data: Measured) -> PastStudy:
    reached = [
        float(np.mean([max(run.epochs["validation_f1_macro"]) for run in runs]))
        for runs in data.runs
    ]
    rows = list(zip(data.configs, reached, strict=True))
    return PastStudy.from_results(name, data.space, rows, metric="f1_macro")


if __name__ == "__main__":
    table = learn()
    FOLDER.mkdir(exist_ok=True)
    print(write_table(table, FOLDER).name, *(start.reason for start in table.starts), sep="\n")
