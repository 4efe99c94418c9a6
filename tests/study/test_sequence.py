"""Sequences that share their parts behave like tuples."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexmove.study.sequence import Chunked

lengths = st.integers(0, 400)


@given(lengths, st.data())
def test_it_behaves_like_a_tuple(length: int, data: st.DataObject) -> None:
    expected = tuple(range(length))
    made = Chunked(expected)
    assert (len(made), tuple(made), made) == (length, expected, expected)
    assert made == Chunked(expected)
    part = data.draw(st.slices(length))
    assert made[part] == expected[part]
    for index in (length, -length - 1):
        with pytest.raises(IndexError):
            made[index]
    if length:
        index = data.draw(st.integers(-length, length - 1))
        assert made[index] == expected[index]
    assert pickle.loads(pickle.dumps(made)) == made


@given(lengths, st.data())
def test_a_change_leaves_what_it_was_made_from(length: int, data: st.DataObject) -> None:
    made = Chunked(range(length))
    assert made.appended(-1) == (*range(length), -1)
    if length:
        index = data.draw(st.integers(0, length - 1))
        expected = list(range(length))
        expected[index] = -1
        assert made.replaced(index, -1) == tuple(expected)
        assert made.replaced(index, -1) != made
    assert made == tuple(range(length))


def test_it_grows_one_by_one() -> None:
    made: Chunked[int] = Chunked()
    for item in range(1000):
        made = made.appended(item)
    assert made == Chunked(range(1000))
    assert repr(Chunked(range(2))) == "(0, 1)"
    assert hash(made) == hash(Chunked(range(1000)))
