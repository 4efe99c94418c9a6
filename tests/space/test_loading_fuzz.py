"""Whatever a file holds, reading it gives a value or a list of mistakes, and nothing else."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from lexmove.job.document import parse_document
from lexmove.job.loading import parse_job
from lexmove.space.loading import parse_space

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(["a", "x", "1e-3", "uniform", "log_uniform_values", "int", ""]),
)
_WORDS = """
    parameters forbid space name task x y min max log type values value ordered default when
    distribution q budget seed
"""
keys = st.sampled_from(_WORDS.split())
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
declared = st.dictionaries(keys, scalars | st.lists(scalars, max_size=3), max_size=4)


@settings(max_examples=200)
@given(
    st.dictionaries(st.sampled_from(["x", "y", "z"]), declared | anything, max_size=3),
    st.lists(st.dictionaries(st.sampled_from(["x", "y"]), anything, max_size=2), max_size=2),
)
def test_whatever_a_space_holds_is_a_space_or_a_list_of_mistakes(
    parameters: dict[str, object], forbid: list[object]
) -> None:
    data = {"parameters": parameters, "forbid": forbid}
    document = parse_document(json.dumps(data).replace("Infinity", ".inf"), path="s.yaml")
    space, mistakes = parse_space(document)
    assert (space is None) == bool(mistakes)
    assert all(item.line and item.message for item in mistakes)


@given(anything)
def test_whatever_a_file_holds_is_a_job_or_a_list_of_mistakes(data: object) -> None:
    document = parse_document(json.dumps(data), path="j.yaml")
    for parse in (parse_job, parse_space):
        found, mistakes = parse(document)
        assert (found is None) == bool(mistakes)
        assert all(item.line and item.message for item in mistakes)
