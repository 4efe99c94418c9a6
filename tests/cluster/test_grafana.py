"""The Grafana dashboard: it asks for what is exported, in words a user has."""

import json
import re
from itertools import combinations

import pytest

from cluster.dashboard import METRIC, expressions, panels
from lexmove.cluster.deployments import grafana_dashboard
from lexmove.cluster.metrics import METRICS, exported_names

LABELS = re.compile(r"(ray_lexmove_\w+)\{([^}]*)\}")
GROUPS = re.compile(r"\bby \(([^)]*)\)")


@pytest.fixture
def dashboard():
    return json.loads(grafana_dashboard())


def metric_of(exported: str) -> str:
    """The metric that has samples of this name."""
    (name,) = [name for name in METRICS if exported in exported_names(name)]
    return name


def test_every_query_asks_for_what_the_code_exports():
    exported = {name for metric in METRICS for name in exported_names(metric)}
    asked = {name for query in expressions() for name in METRIC.findall(query)}
    assert asked <= exported
    assert all(METRIC.search(query) for query in expressions())


def test_every_metric_is_on_a_panel():
    asked = {metric_of(name) for query in expressions() for name in METRIC.findall(query)}
    assert asked == set(METRICS)


def test_queries_name_labels_that_their_metric_has():
    for query in expressions():
        known = {"study"}
        for exported, matchers in LABELS.findall(query):
            metric = METRICS[metric_of(exported)]
            own = {"study", *metric.labels}
            known |= own | ({"le"} if metric.kind == "histogram" else set())
            named = {re.split(r"[=!~]", part.strip())[0] for part in matchers.split(",")}
            assert named <= own, query
            assert 'study=~"$study"' in matchers, "a panel shows the chosen studies only"
        for group in GROUPS.findall(query):
            assert {label.strip() for label in group.split(",")} <= known, query


def test_counters_are_asked_for_their_rate_and_gauges_are_not():
    for query in expressions():
        for exported, _ in LABELS.findall(query):
            is_rate = f"rate({exported}" in query
            assert is_rate == (METRICS[metric_of(exported)].kind != "gauge"), query


def test_studies_and_datasource_are_chosen_on_the_page(dashboard):
    variables = {item["name"]: item for item in dashboard["templating"]["list"]}
    assert variables["datasource"]["query"] == "prometheus"
    asked = variables["study"]["query"]["query"]
    assert re.fullmatch(r"label_values\((\w+), study\)", asked)[1] in exported_names(
        "lexmove_trials"
    )
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert variables["study"]["datasource"] == source
    for panel in panels():
        assert panel["datasource"] == source
        assert all(target["datasource"] == source for target in panel["targets"])


def test_panels_have_words_and_room_of_their_own():
    found = panels()
    assert len({panel["id"] for panel in found}) == len(found)
    assert len({panel["title"] for panel in found}) == len(found)
    for panel in found:
        assert "_" not in panel["title"], "a title is for people"
        assert panel["description"].endswith(".")
        assert [t["refId"] for t in panel["targets"]] == sorted(
            {t["refId"] for t in panel["targets"]}
        )
    for one, other in combinations([panel["gridPos"] for panel in found], 2):
        is_apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert is_apart, (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in found)
