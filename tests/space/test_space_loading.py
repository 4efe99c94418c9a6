"""Reading search spaces: every mistake with its place; the spellings that are understood."""

from pathlib import Path

import numpy as np
import pytest

from lexmove.errors import InvalidFileError
from lexmove.job.document import parse_document
from lexmove.space.domain import Categorical, Constant, Float, Integer, Ordinal
from lexmove.space.loading import (
    load_space,
    parse_space,
    space_from_mapping,
)

WHOLE = """\
parameters:
  learning_rate: {min: 1e-6, max: 1e-3, log: true, default: 2e-5}
  batch: {values: [8, 16, 32], ordered: true, default: 16}
  schedule: {values: [linear, no, on]}
  use: {values: [false, true]}
  rank: {min: 1, max: 64, log: true, when: {use: true}}
  alpha: {min: 0, max: 1, type: float, when: {use: [true], batch: [8, 16]}}
  smoothing: {values: [0, 0.1], default: 0}
  norm: {value: 1.0}
forbid: [{batch: 32, rank: [1, 2]}]
"""

CONDITIONED = """\
parameters:
  a: {values: [x, y]}
  b: {values: [true, false], when: {a: x}}
  c: {min: 1, max: 3, default: 2, when: {b: true}}
"""


def _mistakes(text: str) -> list[str]:
    _, mistakes = parse_space(parse_document(text, path="s.yaml"))
    return [str(item) for item in mistakes]


def test_a_whole_space() -> None:
    space, mistakes = parse_space(parse_document(WHOLE, path="s.yaml"))
    assert mistakes == []
    assert space is not None
    assert {item.name: item.domain for item in space.hyperparameters} == {
        "learning_rate": Float(low=1e-6, high=1e-3, log=True, default=2e-5),
        "batch": Ordinal(values=(8, 16, 32), default=16),
        "schedule": Categorical(values=("linear", "no", "on")),
        "use": Categorical(values=(False, True)),
        "rank": Integer(low=1, high=64, log=True),
        "alpha": Float(low=0.0, high=1.0),
        "smoothing": Categorical(values=(0.0, 0.1), default=0.0),
        "norm": Constant(value=1.0),
    }
    assert space["alpha"].when == {"use": (True,), "batch": (8, 16)}
    assert space.forbid == ({"batch": (32,), "rank": (1, 2)},)
    assert isinstance(space["alpha"].domain.low, float)
    assert isinstance(space.default["smoothing"], float)


@pytest.mark.parametrize(
    ("declared", "domain"),
    [
        (
            "{min: 1, max: 10, distribution: log_uniform_values}",
            Float(low=1.0, high=10.0, log=True),
        ),
        ("{min: 1, max: 10, distribution: uniform}", Float(low=1.0, high=10.0)),
        ("{min: 1, max: 10, distribution: int_uniform}", Integer(low=1, high=10)),
        ("{min: 1, max: 10}", Integer(low=1, high=10)),
        ("{min: 1, max: 10.0}", Float(low=1.0, high=10.0)),
        ("{values: [a, b], distribution: categorical}", Categorical(values=("a", "b"))),
        ("{value: 3, distribution: constant}", Constant(value=3)),
        ("{value: no}", Constant(value="no")),
    ],
)
def test_spellings_of_a_sweep(declared: str, domain: object) -> None:
    space, mistakes = parse_space(parse_document(f"parameters: {{x: {declared}}}", path="s.yaml"))
    assert mistakes == []
    assert space is not None
    assert space["x"].domain == domain


# One hyperparameter `x`, declared from column 6 of line 2 on: the place and the message.
DECLARED = [
    ("{min: 2, max: 1}", "2:12: min 2 must be below max 1: exchange them"),
    ("{min: 1, max: 1}", "2:20: min and max are both 1: write {value: 1}"),
    ("{min: 0, max: 1.0, log: true}", "2:12: log: true needs min above 0, not 0"),
    ("{min: 0.0, max: 1.0, default: 2}", "2:36: default 2 is outside [0.0, 1.0]"),
    ("{min: 1, max: 5, default: 6}", "2:32: default 6 is outside [1, 5]"),
    (
        "{min: 0, max: 1, default: 0.5}",
        "2:32: default 0.5 is not whole, but min and max are: write type: float, or min: 0.0",
    ),
    ("{min: '1e-6', max: 1}", "2:12: write 1e-06, not '1e-6': numbers stand without quotes"),
    ("{min: low, max: 1}", "2:12: min must be a number, not 'low'"),
    ("{min: true, max: 1}", "2:12: min must be a number, not true"),
    ("{min: 1, max: .inf}", "2:20: inf is no value: write a finite number"),
    ("{min: .nan, max: 1}", "2:12: nan is no value: write a finite number"),
    ("{min: -1e308, max: 1e308}", "2:25: max 1e+308 is too far from min -1e+308: narrow the range"),
    ("{min: 1, max: 90071992547409921}", "2:20: 90071992547409921 is too large: whole numbers go"),
    ("{min: 1, max: 2, lgo: true}", "2:23: unknown key 'lgo' in x; did you mean 'log'?"),
    ("{min: 1, max: 2, log: yes}", "2:28: log must be true or false, not 'yes'"),
    ("{min: 1, max: 2, type: integer}", "2:29: type must be float or int, not 'integer'"),
    ("{min: 1.5, max: 2, type: int}", "2:12: type: int needs a whole min, not 1.5"),
    ("{min: 1, max: 2, ordered: true}", "2:23: ordered does not go with min and max: leave it out"),
    ("{max: 2}", "2:3: x needs min and max: min is missing"),
    ("{values: [1]}", "2:15: one value is no choice: write {value: 1}"),
    ("{values: []}", "2:15: values is empty: list at least two"),
    ("{values: 3}", "2:15: values must be a list: write [3, …]"),
    ("{values: [1, 2, 1.0]}", "2:22: 1.0 is listed twice: keep one"),
    ("{values: [1, a]}", "2:15: values mix numbers and texts: keep to one of them"),
    ("{values: [1, true]}", "2:15: values mix flags and numbers: keep to one of them"),
    ("{values: [1, null]}", "2:19: null is no value: write a number, a text, true or false"),
    ("{values: [1, '2']}", "2:19: write 2, not '2': numbers stand without quotes"),
    ("{values: [2, 1], ordered: true}", "2:15: ordered values must be listed from the lowest"),
    ("{values: [1, 2], default: 3}", "2:32: default 3 is not among the values 1, 2"),
    ("{values: [1, 2], default: null}", "2:32: null is no value"),
    ("{values: [1, 2], value: 1}", "2:3: x has values and value: keep one of them"),
    ("{value: [1]}", "2:14: a list is no value: write a number, a text, true or false"),
    ("{default: 1}", "2:3: x needs min and max, or values, or value"),
    ("{mni: 1}", "2:7: unknown key 'mni' in x; did you mean 'min'?"),
    ("3", "2:6: x must be a mapping: write {value: 3}, not 3"),
    ("[1, 2]", "2:6: x must be a mapping: write {values: […]}, not a list"),
    ("", "2:3: x must be a mapping: write {min: …, max: …}, not null"),
    ("{min: 1, max: 2, q: 1}", "2:23: steps (q) are not supported"),
    ("{min: 1, max: 2, distribution: log_uniform}", "2:37: log_uniform takes exponents"),
    ("{min: 1, max: 2, distribution: unifrom}", "unknown distribution 'unifrom'; did you mean"),
    ("{min: 1, max: 2, distribution: [a]}", "2:37: unknown distribution a list"),
    ("{min: 1, max: 2, distribution: constant}", "2:37: distribution constant needs value, not"),
    ("{min: 1, max: 2, log: true, distribution: uniform}", "2:48: distribution says type and log"),
    ("{value: 1, value: 2}", "2:17: the key 'value' stands twice (first on line 2): keep one"),
    ("{value: 1, when: 3}", "2:23: when must name hyperparameters with values: write"),
    ("{value: 1, when: {}}", "2:23: when must name hyperparameters with values: write"),
    ("{value: 1, when: {yy: 1}}", "2:24: when names the unknown hyperparameter 'yy'; did you"),
    ("{value: 1, when: {x: 1}}", "2:23: when goes in a circle, x → x: drop one of them"),
    ("{value: 1, when: {y: 7}}", "2:27: y is never 7, so this never holds: it is a whole number"),
    ("{value: 1, when: {y: []}}", "2:27: y names no value, so this never holds"),
    ("{value: 1, when: {y: '5'}}", "2:27: write 5, not '5': numbers stand without quotes"),
    ("{value: 1, when: {z: no}}", "2:27: z is never 'no', so this never holds: it is one of true"),
    ("{value: 1, when: {r: 3}}", "2:27: r is never 3, so this never holds: it is a number in"),
]


@pytest.mark.parametrize(("declared", "expected"), DECLARED)
def test_mistakes_in_a_declaration(declared: str, expected: str) -> None:
    text = (
        f"parameters:\n  x: {declared}\n  y: {{min: 1, max: 5}}\n"
        "  z: {values: [true, false]}\n  r: {min: 0.5, max: 1.5}\n"
    )
    (mistake,) = _mistakes(text)
    assert mistake.startswith("s.yaml:2:")
    assert expected in mistake


SPACES = [
    ("3", "s.yaml:1:1: a search space is a mapping with parameters, not 3"),
    ("forbid: []", "s.yaml:1:1: parameters must name at least one hyperparameter"),
    ("parameters: {}", "s.yaml:1:13: parameters must name at least one hyperparameter"),
    ("parameters:", "s.yaml:1:1: parameters must name at least one hyperparameter"),
    (
        WHOLE + "metric: {name: loss}",
        "s.yaml:11:1: metric belongs to a sweep, not to a search space: leave it out",
    ),
    (WHOLE + "forbit: []", "s.yaml:11:1: unknown key 'forbit' in a search space; did you mean"),
    (WHOLE + "forbid: []", "s.yaml:11:1: the key 'forbid' stands twice (first on line 10): keep"),
    (CONDITIONED + "forbid: 3", "s.yaml:5:9: forbid must be a list of rules"),
    (CONDITIONED + "forbid: [3]", "s.yaml:5:10: a rule of forbid must name hyperparameters"),
    (CONDITIONED + "forbid: [{d: 3}]", "s.yaml:5:11: forbid names the unknown hyperparameter 'd'"),
    (CONDITIONED + "forbid: [{c: 9}]", "s.yaml:5:14: c is never 9, so this never holds"),
    (CONDITIONED + "forbid: [{a: [x, z]}]", "s.yaml:5:18: a is never 'z', so this never holds"),
    (
        CONDITIONED + "forbid: [{b: true, a: y}]",
        "s.yaml:5:10: this rule never holds: its hyperparameters are never active together",
    ),
    (
        CONDITIONED + "forbid: [{a: x}, {a: y}]",
        "s.yaml:5:9: the rules of forbid leave no config at all: loosen one of them",
    ),
    (
        CONDITIONED + "forbid: [{a: y}, {c: [1, 2]}, {c: 3}, {b: false}]",
        "s.yaml:5:9: the rules of forbid leave no config at all: loosen one of them",
    ),
    (
        CONDITIONED + "forbid: [{a: x, b: true}]",
        "s.yaml:5:10: this rule forbids the default config (a = 'x', b = true): change",
    ),
    (
        CONDITIONED + "  d: {value: 1, when: {b: true, a: y}}",
        "s.yaml:5:23: d is never active: its when contradicts that of its parents",
    ),
    (
        "parameters:\n  a: {value: 1, when: {b: 1}}\n  b: {value: 1, when: {a: 1}}",
        "s.yaml:2:23: when goes in a circle, a → b → a: drop one of them",
    ),
]


@pytest.mark.parametrize(("text", "expected"), SPACES)
def test_mistakes_in_a_space(text: str, expected: str) -> None:
    (mistake,) = _mistakes(text)
    assert mistake.startswith(expected)


def test_all_mistakes_come_at_once_in_the_order_of_the_file() -> None:
    text = """\
paramters: {}
parameters:
  a: {min: 3, max: 1, lgo: true}
  b: {values: ['1', 2, null]}
  c: {min: 0, max: 1.0, log: true, default: 3, when: {aa: 1}}
forbid:
  - {a: 1, e: 2}
  - {}
"""
    assert [item.split(": ")[0] for item in _mistakes(text)] == [
        "s.yaml:1:1",
        "s.yaml:3:12",
        "s.yaml:3:23",
        "s.yaml:4:16",
        "s.yaml:4:24",
        "s.yaml:5:12",
        "s.yaml:5:45",
        "s.yaml:5:55",
        "s.yaml:7:12",
        "s.yaml:8:5",
    ]


def test_two_circles_are_two_mistakes() -> None:
    text = "parameters:\n" + "".join(
        f"  {name}: {{values: [1, 2], when: {{{parent}: 1}}}}\n"
        for name, parent in ("ab", "ba", "cd", "de", "ec", "fa")
    )
    assert [item.split(": ", 1)[1] for item in _mistakes(text)] == [
        "when goes in a circle, a → b → a: drop one of them",
        "when goes in a circle, c → d → e → c: drop one of them",
    ]


def test_rules_on_continua_and_constants_leave_enough() -> None:
    text = """\
parameters:
  lr: {min: 0.1, max: 0.9}
  layers: {min: 1, max: 3, default: 3}
  norm: {value: 1.0}
forbid:
  - {lr: [0.1, 0.5, 0.9], layers: [1, 2]}
  - {norm: 1.0, layers: 1}
"""
    assert _mistakes(text) == []


def test_a_question_with_too_many_cases_counts_as_answered() -> None:
    values = ", ".join(map(str, range(20)))
    names = "abcdef"
    text = "parameters:\n" + "".join(f"  {name}: {{values: [{values}]}}\n" for name in names)
    rule = ", ".join(f"{name}: [{values}]" for name in names)
    assert _mistakes(text + f"forbid: [{{{rule}}}]") == [
        "s.yaml:8:10: this rule forbids the default config (a = 0, b = 0, c = 0, d = 0, e = 0, "
        "f = 0): change a default or the rule"
    ]


def test_load_space_raises_them_all(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("parameters: {a: {min: 1}, b: {max: 1}}")
    with pytest.raises(InvalidFileError) as caught:
        load_space(path)
    assert [(item.line, item.column) for item in caught.value.mistakes] == [(1, 14), (1, 27)]
    assert str(path) in str(caught.value)


def test_a_mapping_in_the_form_of_the_file() -> None:
    space = space_from_mapping(
        {
            "parameters": {
                "lr": {"min": np.float64(1e-5), "max": 1e-3, "log": True},
                "layers": {"min": np.int64(1), "max": 4},
                "pool": {"values": ("mean", "cls"), "when": {"layers": (1, 2)}},
                "batch": {"values": np.array([8, 16]), "ordered": True},
            },
            "forbid": [{"pool": "cls", "layers": 2}],
        }
    )
    assert space["lr"].domain == Float(low=1e-5, high=1e-3, log=True)
    assert space["layers"].domain == Integer(low=1, high=4)
    assert space["pool"].when == {"layers": (1, 2)}
    assert space["batch"].domain == Ordinal(values=(8, 16))


def test_mistakes_in_a_mapping_name_no_line() -> None:
    with pytest.raises(InvalidFileError) as caught:
        space_from_mapping({"parameters": {"lr": {"min": "1", "max": 3}}, 5: 3})
    assert str(caught.value).splitlines() == [
        "<space>: a key must be a text, not 5",
        "<space>: unknown key '5' in a search space; known: parameters, forbid",
        "<space>: write 1, not '1': numbers stand without quotes",
    ]
