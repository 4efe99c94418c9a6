"""Large files: 100,000 rows of every format are loaded without their texts twice in memory."""

import json
import random
import subprocess
import sys

import pytest

from trials.data_files import write

NUM_ROWS = 100_000

LOAD = """
import json, re, sys
from pathlib import Path
from lexmove.job.spec import FilesSpec, TaskSpec
from lexmove.trials.tasks.files import load_files

def load(path):
    return load_files(TaskSpec(files=FilesSpec(train=path)))

def peak_kib():
    # Not ru_maxrss: that one begins with the peak of the process that started this one.
    return int(re.search("VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])

small, large = sys.argv[1:]
load(small)  # what is needed once, whatever the size
before = peak_kib()
task = load(large)
grown_kib = peak_kib() - before
parts = (task.train, task.validation, task.test)
num_bytes = sum(len(text) for part in parts for text in part.texts)
print(json.dumps([sum(map(len, parts)), 1024 * grown_kib / num_bytes]))
"""


@pytest.fixture(scope="module")
def rows():
    """Texts of about 500 ASCII characters, and a column that nobody asks for."""
    rng = random.Random(0)
    words = [f"word{number}" for number in range(5000)]
    bodies = [" ".join(rng.choices(words, k=56)) for _ in range(1000)]
    return [
        {"text": f"{bodies[i % 1000]} {i}", "label": "abc"[i % 3], "notes": f"note {i}"}
        for i in range(NUM_ROWS)
    ]


MOST = {"csv": 1.7, "tsv": 1.7, "jsonl": 1.7, "json": 1.7, "parquet": 1.9}
"""Peak growth of the process per byte of text.

Measured 1.47, 1.47, 1.44, 1.43 and 1.65, of which .4 is what Python takes for a text and a row of
their own. Where all rows are held beside the checked ones it is 2.1 (csv) to 5.2 (parquet).
"""


@pytest.mark.parametrize("ending", MOST)
def test_the_texts_are_in_memory_once(tmp_path, rows, ending):
    small = write(tmp_path / f"small.{ending}", rows[:600])
    large = write(tmp_path / f"large.{ending}", rows)
    done = subprocess.run(
        [sys.executable, "-c", LOAD, small, large], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    num_examples, ratio = json.loads(done.stdout)
    assert num_examples == NUM_ROWS
    assert 1 < ratio < MOST[ending]
