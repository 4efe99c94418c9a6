"""Moves: legal ones change the config and never leave the space; said in words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexmove.errors import InvalidConfigError
from lexmove.space.domain import Categorical, Float, Integer, Ordinal
from lexmove.space.move import (
    STEP_SIZES,
    Move,
    apply_move,
    describe,
    is_legal,
    legal_moves,
    move_between,
    say_value,
    shift,
    signed_steps,
)
from lexmove.space.search_space import Config, Hyperparameter, SearchSpace
from strategies import configs, moves, search_spaces

SPACE = SearchSpace(
    hyperparameters=(
        Hyperparameter(name="lr", domain=Float(low=1e-5, high=1e-3, log=True, default=1e-4)),
        Hyperparameter(name="batch", domain=Ordinal(values=(8, 16, 32), default=8)),
        Hyperparameter(name="use", domain=Categorical(values=(False, True))),
        Hyperparameter(
            name="rank", domain=Integer(low=1, high=4, default=2), when={"use": (True,)}
        ),
    ),
    forbid=({"batch": (16,), "use": (False,)},),
)


@given(st.data())
def test_moves_never_leave_the_space(data: st.DataObject) -> None:
    space = data.draw(search_spaces())
    config = data.draw(configs(space))
    move = data.draw(moves(space))
    try:
        after = apply_move(space, config, move)
    except InvalidConfigError:
        return
    assert space.is_valid(after)
    assert all(after[name] == value for name, value in move.changes.items())


@given(st.data())
def test_the_move_between_two_configs_leads_from_one_to_the_other(data: st.DataObject) -> None:
    space = data.draw(search_spaces())
    before, after = data.draw(configs(space)), data.draw(configs(space))
    move = move_between(space, before, after, origin=3)
    assert apply_move(space, before, move) == after
    assert is_legal(space, before, move) == (before != after)


@given(st.data())
def test_legal_moves_are_exactly_the_single_changes_that_change_the_config(
    data: st.DataObject,
) -> None:
    space = data.draw(search_spaces())
    config = data.draw(configs(space))
    offered = legal_moves(space, config, origin=None)
    found = {(name, value) for move in offered for name, value in move.changes.items()}
    wanted = set()
    for item in space.searched:
        if item.name in config:
            for value in _reachable(item, config):
                after = space.complete({**config, item.name: value})
                if after != config and not space.is_forbidden(after):
                    wanted.add((item.name, value))
    assert found == wanted
    assert len(offered) == len(found)


def _reachable(item: Hyperparameter, config: Config) -> set:
    if isinstance(item.domain, Categorical):
        return set(item.domain.values)
    steps = [sign * size for sign in (-1, 1) for size in STEP_SIZES]
    return {shift(item.domain, config[item.name], step) for step in steps}


@given(st.data())
def test_steps_go_the_way_they_say(data: st.DataObject) -> None:
    space = data.draw(search_spaces())
    config = data.draw(configs(space))
    for item in space.searched:
        if item.name not in config or not item.domain.is_ordered:
            continue
        value = config[item.name]
        for size in STEP_SIZES:
            assert shift(item.domain, value, -size) <= value <= shift(item.domain, value, size)
            if item.domain.num_levels is not None:
                top = item.domain.from_unit(1.0)
                assert (shift(item.domain, value, size) == value) == (value == top)


@given(st.data())
def test_moves_come_back_from_json(data: st.DataObject) -> None:
    move = data.draw(moves(data.draw(search_spaces())))
    assert Move.from_json(json.loads(json.dumps(move.to_json()))) == move


@given(st.data())
def test_signed_steps_and_words_name_the_same_changes(data: st.DataObject) -> None:
    space = data.draw(search_spaces())
    before, after = data.draw(configs(space)), data.draw(configs(space))
    steps = signed_steps(space, before, after)
    for name, step in steps.items():
        assert -1 <= step <= 1
        assert name in describe(space, before, after)
    assert (describe(space, before, after) == "no change") == (before == after)


def test_what_a_move_says() -> None:
    before = SPACE.config({"batch": 8})
    after = SPACE.config({"lr": 2.3e-4, "batch": 16, "use": True})
    text = "lr 1.0e-04 → 2.3e-04 (×2.3), batch 8 → 16, use off → on, rank on at 2"
    assert describe(SPACE, before, after) == text
    assert describe(SPACE, after, before).endswith("use on → off, rank off")
    assert signed_steps(SPACE, before, after) == pytest.approx(
        {"lr": 0.18086, "batch": 1 / 3, "use": 0.5}, abs=1e-4
    )


@pytest.mark.parametrize(
    ("value", "said"),
    [(True, "on"), (1e-6, "1.0e-06"), (0.25, "0.25"), (0.0, "0"), (3e7, "3.0e+07"), ("x", "x")],
)
def test_say_value(value: object, said: str) -> None:
    assert say_value(value) == said


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"rat": 1}, "unknown hyperparameter 'rat'"),
        ({"rank": 3}, "inactive"),
        ({"lr": 1.0}, "lr = 1.0 is not possible: it is a number in"),
        ({"batch": 16}, "forbidden"),
    ],
)
def test_what_a_move_may_not_do(changes: dict, complaint: str) -> None:
    move = Move(origin=None, changes=changes)
    with pytest.raises(InvalidConfigError, match=complaint):
        apply_move(SPACE, SPACE.default, move)
    assert not is_legal(SPACE, SPACE.default, move)


def test_the_empty_move_is_the_origin_itself() -> None:
    move = Move(origin=0, changes={})
    assert apply_move(SPACE, SPACE.default, move) == SPACE.default
    assert not is_legal(SPACE, SPACE.default, move)
