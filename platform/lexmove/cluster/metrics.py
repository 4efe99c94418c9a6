"""The door to Ray's metrics: what a study may export, and the way there.

Ray exports a metric of this process at the metrics port of its node, as `ray_NAME`, as long as the
process lives. A gauge is forgotten once it was exported: who wants it seen sets it again.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Kind = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What Ray is told of a metric. All have the label `study`, beside those in `labels`.

    `bounds` are the upper ends of a histogram's buckets.
    """

    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


METRICS: Mapping[str, Metric] = {
    "lexmove_incumbent_value": Metric(
        kind="gauge", help="Objective of the best trial so far.", labels=("metric",)
    ),
    "lexmove_trials": Metric(kind="gauge", help="Trials that stand so.", labels=("state",)),
    "lexmove_trials_left": Metric(kind="gauge", help="Trials that may still be started."),
    "lexmove_trials_per_hour": Metric(
        kind="gauge", help="New trials whose first segment ended, per hour; of the last hour."
    ),
    "lexmove_utilisation": Metric(
        kind="gauge", help="Share of the slots' time with a trial since this process began, 0 to 1."
    ),
    "lexmove_gpu_hours": Metric(
        kind="gauge", help="GPU hours that trials have held, of the whole study."
    ),
    "lexmove_gate_weight": Metric(
        kind="gauge",
        help="Probability that this expert makes the next decision.",
        labels=("expert",),
    ),
    "lexmove_policy_entropy_nats": Metric(
        kind="gauge",
        help="Mean of -log p(move) over the last decisions: the policy's entropy where it is drawn "
        "from.",
    ),
    "lexmove_policy_updates": Metric(
        kind="gauge", help="Weights that learning brought and that have decided since."
    ),
    "lexmove_reward": Metric(
        kind="gauge",
        help="Gain of the last trial over the incumbent of its time, in units of the objective.",
    ),
    "lexmove_reward_mean": Metric(kind="gauge", help="Mean of the last rewards."),
    "lexmove_results": Metric(kind="counter", help="Measurements that came in."),
    "lexmove_suggestion_latency_seconds": Metric(
        kind="histogram",
        help="How long deciding took.",
        bounds=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
    ),
}
"""By name; what a study has nothing to say about is not exported at all."""


def exported_names(name: str) -> tuple[str, ...]:
    """What Prometheus calls the samples of a metric."""
    exported = f"ray_{name}"
    match METRICS[name].kind:
        case "gauge":
            return (exported,)
        case "counter":
            return (f"{exported}_total",)
        case "histogram":
            return tuple(f"{exported}_{part}" for part in ("bucket", "sum", "count"))


class Reading(NamedTuple):
    """One value: where a gauge stands, by how much a counter grows, what a histogram takes in."""

    name: str
    value: float
    labels: Mapping[str, str] = {}


class StudyMetrics:
    """All metrics of one study in this process, which must be connected to Ray."""

    def __init__(self, study: str) -> None:
        from ray.util import metrics

        def made(name: str, metric: Metric) -> Any:
            about: dict[str, Any] = {
                "description": metric.help,
                "tag_keys": ("study", *metric.labels),
            }
            match metric.kind:
                case "gauge":
                    return metrics.Gauge(name, **about)
                case "counter":
                    return metrics.Counter(name, **about)
                case "histogram":
                    return metrics.Histogram(name, boundaries=list(metric.bounds), **about)

        self._metrics = {
            name: made(name, metric).set_default_tags({"study": study})
            for name, metric in METRICS.items()
        }

    def record(self, readings: Iterable[Reading]) -> None:
        """Hands readings to Ray, which exports them on its own time."""
        for name, value, labels in readings:
            metric, tags = self._metrics[name], dict(labels)
            match METRICS[name].kind:
                case "gauge":
                    metric.set(value, tags=tags)
                case "counter":
                    metric.inc(value, tags=tags)
                case "histogram":
                    metric.observe(value, tags=tags)


def open_metrics(study: str) -> StudyMetrics | None:
    """The metrics of a study; None where this process is not connected to Ray."""
    ray = sys.modules.get("ray")
    return StudyMetrics(study) if ray is not None and ray.is_initialized() else None
