"""A YAML 1.2 document in which every key and value knows its line and column.

Read strictly: a repeated key, an alias, a merge key or a tag is a mistake, `1e-6` is a number
and `no` is a word.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from lexmove.errors import Mistake
from lexmove.job.complaints import (
    MAX_DEPTH,
    Place,
    at_character,
    at_mark,
    one_mistake,
    place_after,
    whole_file,
)

KeyPath = tuple[str | int, ...]
"""Keys and list indices from the top of a document to one of its values."""

_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file as plain data: dicts, lists, str, int, float, bool, None.

    `mistakes` are those of the form alone, such as repeated keys (the first one counts).
    `spellings` keep how the file writes numbers and flags, such as 007 or 1e3.
    """

    path: str
    data: Any
    mistakes: tuple[Mistake, ...] = ()
    value_places: Mapping[KeyPath, Place] = field(default_factory=dict)
    key_places: Mapping[KeyPath, Place] = field(default_factory=dict)
    spellings: Mapping[KeyPath, str] = field(default_factory=dict)

    def get(self, at: KeyPath) -> Any:
        """The value there; None where the document ends before."""
        value = self.data
        for key in at:
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def place(self, at: KeyPath, *, of_key: bool = False) -> Place:
        """Where a value (or its key) stands; of what is not there, where it would belong.

        A block mapping, a block list and nothing at all stand where their key does.
        """
        places = self.key_places if of_key else self.value_places
        if at in places:
            return places[at]
        while at:
            at = at[:-1]
            if at in self.value_places:
                return self.value_places[at]
        return (0, 0)

    def mistake(self, at: KeyPath, message: str, *, of_key: bool = False) -> Mistake:
        """A mistake at the place of a value, or of its key."""
        line, column = self.place(at, of_key=of_key)
        return Mistake(path=self.path, line=line, column=column, message=message)


def in_file_order(mistakes: Sequence[Mistake]) -> list[Mistake]:
    """Each mistake once, in the order in which they stand; files keep their order."""
    once = list(dict.fromkeys(mistakes))
    paths = list(dict.fromkeys(item.path for item in once))
    return sorted(once, key=lambda item: (paths.index(item.path), item.line, item.column))


def say(value: object) -> str:
    """A value as a file spells it, cut to a readable length."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def number_in(value: object) -> int | float | None:
    """The number that a text spells, as in '3' or '1e-6'; None where it spells none."""
    if not isinstance(value, str):
        return None
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return None


def read_document(path: str | Path) -> Document:
    """Reads one YAML (or JSON) file.

    Raises:
        InvalidFileError: no such file, a folder, not readable, not UTF-8, empty, or no YAML.
    """
    return parse_document(_read_text(Path(path)), path=str(path))


def parse_document(text: str, *, path: str) -> Document:
    """The document that a text spells; `path` names it in messages.

    Raises:
        InvalidFileError: empty, or no YAML.
    """
    try:
        root = _yaml().compose(text)
    except ReaderError as error:
        raise at_character(path, text, error) from None
    except MarkedYAMLError as error:
        raise at_mark(path, error) from None
    except (YAMLError, RecursionError) as error:
        raise whole_file(path, f"this is no YAML: {error}") from None
    if root is None:
        raise whole_file(path, "the file is empty")
    builder = _Builder(path)
    data = builder.build(root, ())
    return Document(
        path=path,
        data=data,
        mistakes=tuple(builder.mistakes),
        value_places=builder.value_places,
        key_places=builder.key_places,
        spellings=builder.spellings,
    )


class _StrictComposer(Composer):
    """Refuses aliases, and directives that would change what `no` means."""

    def compose_document(self) -> Any:
        event = self.parser.peek_event()
        if event.version not in (None, (1, 2)):
            raise ComposerError(
                None, None, "this file is read as YAML 1.2: leave the %YAML line out"
            )
        self.warn_double_anchors = False
        return super().compose_document()

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.parser.check_event(AliasEvent):
            event = self.parser.peek_event()
            problem = f"the alias *{event.anchor} is not supported: write the value out"
            raise ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _StrictComposer
    yaml.max_depth = MAX_DEPTH
    return yaml


class _Builder:
    """Turns nodes into plain data and notes where everything stands."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.mistakes: list[Mistake] = []
        self.value_places: dict[KeyPath, Place] = {}
        self.key_places: dict[KeyPath, Place] = {}
        self.spellings: dict[KeyPath, str] = {}

    def build(self, node: Node, at: KeyPath) -> Any:
        own = _place(node)
        by_key = self.key_places.get(at, own)
        if isinstance(node, ScalarNode):
            is_absent = node.value == "" and node.style is None
            self.value_places[at] = by_key if is_absent else own
            value = self._scalar(node)
            if isinstance(value, bool | int | float):
                self.spellings[at] = node.value
            return value
        assert isinstance(node, MappingNode | SequenceNode)
        self.value_places[at] = own if node.flow_style else by_key
        if isinstance(node, MappingNode):
            return self._mapping(node, at)
        return [self.build(item, (*at, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: MappingNode, at: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if problem := _key_problem(key_node):
                self._mistake(key_node, problem)
            elif key in data:
                line, _ = self.key_places[(*at, key)]
                self._mistake(
                    key_node, f"the key {key!r} stands twice (first on line {line}): keep one"
                )
            else:
                self.key_places[(*at, key)] = _place(key_node)
                data[key] = self.build(value_node, (*at, key))
        return data

    def _scalar(self, node: ScalarNode) -> Any:
        kind = str(node.tag).removeprefix(_TAG)
        if kind in _PLAIN_TEXT:
            return node.value
        try:
            return _SCALARS[kind](node.value)
        except (KeyError, ValueError):
            self._mistake(node, f"the tag {node.tag} is not supported: write the value alone")
            return node.value

    def _mistake(self, node: Node, message: str) -> None:
        line, column = _place(node)
        self.mistakes.append(Mistake(path=self.path, line=line, column=column, message=message))


def _place(node: Node) -> Place:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _key_problem(node: Node) -> str | None:
    if not isinstance(node, ScalarNode):
        return "a key must be a word, not a list or a mapping"
    kind = str(node.tag).removeprefix(_TAG)
    if kind == "merge":
        return "the merge key << is not supported: write the values out"
    if kind not in _PLAIN_TEXT:
        return f"a key must be a word, not {node.value or 'nothing'}: put quotes around it"
    return None


def _null(_: str) -> None:
    return None


def _bool(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _int(text: str) -> int:
    text = text.replace("_", "")
    return int(text, 0) if re.match(r"[-+]?0[box]", text) else int(text)


def _float(text: str) -> float:
    return float(text.lower().replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))


_PLAIN_TEXT = {"str", "timestamp", "value"}
_SCALARS: dict[str, Callable[[str], bool | int | float | None]] = {
    "null": _null,
    "bool": _bool,
    "int": _int,
    "float": _float,
}


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise whole_file(str(path), "there is no such file") from None
    except IsADirectoryError:
        raise whole_file(str(path), "this is a folder: name a file in it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise whole_file(str(path), f"the file cannot be read: {reason}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig", errors="replace")
        raise one_mistake(
            str(path),
            place_after(before),
            f"byte 0x{content[error.start]:02x} is not UTF-8: save the file as UTF-8",
        ) from None
