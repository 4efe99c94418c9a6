"""A study that runs, its metrics at Ray's port, and every panel's query on what was scraped there.

The queries are asked of a real Prometheus (Debian's package `prometheus`). Where there is none,
what they ask for is looked for in the scraped samples instead, and a warning says so.
"""

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cluster.dashboard import METRIC, expressions, filled
from lexmove.app.stored import load, repetitions_of
from lexmove.cluster.metrics import METRICS, exported_names
from lexmove.coordinator.store import open_store
from lexmove.study.study import Study
from lexmove.study.trial import Continued, Measured, Started
from lexmove_process import begun
from trials.tiny_models import folder_of

pytestmark = pytest.mark.slow  # one study for all of them, half a minute to set up

NAME = "watched"
WORDS = ("lease", "tax")
PROMETHEUS = shutil.which("prometheus")
JOB = {
    "name": NAME,
    "task": {"files": {"train": "rows.jsonl"}},
    "space": {
        "parameters": {
            "learning_rate": {"min": 1e-4, "max": 1e-2, "log": True, "default": 1e-3},
            "per_device_train_batch_size": {"values": [8, 16], "ordered": True, "default": 8},
        }
    },
    "budget": {"trials": 30, "parallel": 2},
    "fidelity": {"max_epochs": 4, "eta": 2},
    "finalists": {"top": 2, "seeds": 4},
    "agent": {"online_learning": False},
    "store": "sqlite:///studies.db",
    "storage": "studies",
}

Series = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What was seen of a study that ran: samples by series in the order of the scrapes."""

    search: Study
    repetitions: Study
    samples: dict[Series, list[float]]
    answers: dict[str, list[float]]

    def of(self, name: str, study: str = NAME, **labels: str) -> list[float]:
        """All samples of the one series of this name with these labels."""
        wanted = {"study": study, **labels}.items()
        (found,) = [
            values
            for (named, own), values in self.samples.items()
            if named == name and wanted <= dict(own).items()
        ]
        return found


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    folder = tmp_path_factory.mktemp("watched")
    write_job(folder)
    # Short: Unix socket paths end at 107 characters.
    with (
        tempfile.TemporaryDirectory(prefix="lexmove", ignore_cleanup_errors=True) as ray_dir,
        running(folder, ray_dir) as run,
    ):
        port = metrics_port(Path(ray_dir), run)
        with prometheus(folder, port) as prometheus_url:
            begun_s = time.time()
            samples = scraped(port, run)
            output = run.communicate(timeout=120)
            assert run.returncode == 0, output
            span = (begun_s, time.time())
            answers = {
                query: asked(prometheus_url, query, span)
                for query in (expressions() if prometheus_url else ())
            }
    url = f"sqlite:///{folder}/studies.db"
    search = load(NAME, store=url).study
    repetitions = repetitions_of(open_store(url), search)
    assert repetitions is not None
    return Watched(search=search, repetitions=repetitions, samples=samples, answers=answers)


def write_job(folder: Path) -> None:
    rows = [
        {"text": f"the {WORDS[i % 2]} is {'due' if i % 3 else 'the'}", "label": WORDS[i % 2]}
        for i in range(400)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = {"name": folder_of("Bert", folder / "model"), "max_length": 8}
    (folder / "job.yaml").write_text(json.dumps({**JOB, "model": model}))


@contextmanager
def running(folder: Path, ray_dir: str) -> Iterator[subprocess.Popen[str]]:
    """`lexmove tune` in a process of its own, whose Ray exports every second, not every ten."""
    changes = {"RAY_TMPDIR": ray_dir, "RAY_metrics_report_interval_ms": "1000"}
    run = begun(folder, "tune", "job.yaml", environment=os.environ | changes)
    try:
        yield run
    finally:
        run.kill()
        run.communicate()


def metrics_port(ray_dir: Path, run: subprocess.Popen[str]) -> int:
    """Where the node of the only Ray in that folder exports its metrics."""
    until_s = time.monotonic() + 120
    while time.monotonic() < until_s:
        for path in ray_dir.glob("ray/session_2*/metrics_export_port*"):
            if text := path.read_text().strip():
                return int(text)
        if run.poll() is not None:
            pytest.fail(f"ended early: {run.communicate()}")
        time.sleep(0.1)
    pytest.fail(f"Ray opened no metrics port: {sorted(ray_dir.rglob('*port*'))}")


def scraped(port: int, run: subprocess.Popen[str]) -> dict[Series, list[float]]:
    """Every sample of lexmove's metrics until the study is over."""
    samples: dict[Series, list[float]] = {}
    while run.poll() is None:
        try:
            text = fetched(f"http://127.0.0.1:{port}/metrics")
        except OSError:  # Ray is gone, or not there yet
            text = ""
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if METRIC.fullmatch(sample.name):
                    series = (sample.name, frozenset(sample.labels.items()))
                    samples.setdefault(series, []).append(sample.value)
        time.sleep(0.25)
    return samples


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


@contextmanager
def prometheus(folder: Path, scraped_port: int) -> Iterator[str | None]:
    """A Prometheus that scrapes that port every second; None where none is installed."""
    if PROMETHEUS is None:
        yield None
        return
    config = folder / "prometheus.json"  # JSON is YAML, too
    target = {"job_name": "ray", "static_configs": [{"targets": [f"127.0.0.1:{scraped_port}"]}]}
    every = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    config.write_text(json.dumps({"global": every, "scrape_configs": [target]}))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    process = subprocess.Popen(
        [
            PROMETHEUS,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address={address}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait()


def asked(prometheus_url: str, expression: str, span: tuple[float, float]) -> list[float]:
    """All numbers that a panel would have drawn in that time; NaN is no number."""
    words = {
        "query": filled(expression, study=NAME, rate_interval="10s"),
        "start": span[0],
        "end": span[1],
        "step": 1,
    }
    url = f"{prometheus_url}/api/v1/query_range?{urllib.parse.urlencode(words)}"
    answer = json.loads(fetched(url))
    assert answer["status"] == "success"
    values = [float(value) for series in answer["data"]["result"] for _, value in series["values"]]
    return [value for value in values if not math.isnan(value)]


def test_every_metric_is_exported_with_its_labels(watched):
    by_name = {}
    for name, labels in watched.samples:
        by_name.setdefault(name, set()).add(frozenset(dict(labels)))
    assert set(by_name) == {name for metric in METRICS for name in exported_names(metric)}
    for metric, about in METRICS.items():
        for name in exported_names(metric):
            assert all({"study", *about.labels} <= labels for labels in by_name[name])


def test_both_stages_are_exported_under_the_names_of_their_studies(watched):
    names = {dict(labels)["study"] for _, labels in watched.samples}
    assert names == {NAME, watched.repetitions.spec.name}


def test_the_last_samples_are_where_the_search_ended(watched):
    search = watched.search
    for status, num in search.counts.items():
        assert watched.of("ray_lexmove_trials", state=status.value)[-1] == num
    assert watched.of("ray_lexmove_trials_left")[-1] == 0
    assert watched.of("ray_lexmove_incumbent_value")[-1] == search.incumbent.value
    results = [event for event in search.events if isinstance(event, Measured)]
    assert watched.of("ray_lexmove_results_total")[-1] == len(results)
    decisions = [
        event
        for event in search.events
        if isinstance(event, Started | Continued) and event.decision is not None
    ]
    latencies = watched.of("ray_lexmove_suggestion_latency_seconds_count")
    assert latencies[-1] == len(decisions)


def test_samples_on_the_way_are_what_was_true_then(watched):
    search = watched.search
    best = watched.of("ray_lexmove_incumbent_value")
    assert best == sorted(best)
    assert set(best) <= {value for _, value in search.trajectory}
    results = watched.of("ray_lexmove_results_total")
    assert results == sorted(results)
    assert len(set(results)) > 1, "the study was seen while it ran"
    states = [watched.of("ray_lexmove_trials", state=state) for state in ("RUNNING", "PAUSED")]
    assert max(states[0]) == search.spec.parallel
    assert max(states[1]) > 0


def test_ratios_and_probabilities_are_such(watched):
    assert all(0 < value <= 1 for value in watched.of("ray_lexmove_utilisation"))
    policy, floor = (
        watched.of("ray_lexmove_gate_weight", expert=expert) for expert in ("policy", "floor")
    )
    assert [one + other for one, other in zip(policy, floor, strict=True)] == pytest.approx(
        [1.0] * len(policy)
    )
    assert all(value >= 0 for value in watched.of("ray_lexmove_policy_entropy_nats"))
    assert set(watched.of("ray_lexmove_policy_updates")) == {0}, "nothing was learned here"
    assert set(watched.of("ray_lexmove_gpu_hours")) == {0}, "there is no GPU in this job"
    assert all(value > 0 for value in watched.of("ray_lexmove_trials_per_hour"))


def test_a_histogram_is_one(watched):
    name = "ray_lexmove_suggestion_latency_seconds"
    bounds = METRICS["lexmove_suggestion_latency_seconds"].bounds
    ends = [str(bound) for bound in bounds]
    counts = [watched.of(f"{name}_bucket", le=end)[-1] for end in [*ends, "+Inf"]]
    assert all(low <= high for low, high in pairwise(counts))
    assert counts[-1] == watched.of(f"{name}_count")[-1]


@pytest.mark.filterwarnings("default:without Prometheus:UserWarning")
def test_every_panel_has_data(watched):
    if PROMETHEUS is None:
        warnings.warn(
            "without Prometheus no query is asked: apt install prometheus; "
            "what the queries name was looked for in the scraped samples",
            stacklevel=1,
        )
        seen = {name for name, _ in watched.samples}
        assert {name for query in expressions() for name in METRIC.findall(query)} <= seen
        return
    assert set(watched.answers) == set(expressions())
    assert [query for query, values in watched.answers.items() if not values] == []


def test_without_ray_nothing_is_exported_and_ray_is_not_loaded():
    code = (
        "import sys\n"
        "from lexmove.cluster.metrics import open_metrics\n"
        "print(open_metrics('s'), 'ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "None False\n"
