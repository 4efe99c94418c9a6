"""A YAML parser's complaints as sentences with a place and a way out."""

import re

from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from lexmove.errors import InvalidFileError, Mistake

MAX_DEPTH = 40
"""Levels of nesting that a file may have."""

Place = tuple[int, int]
"""Line and column, from 1; (0, 0) where there is none."""


def place_after(text: str) -> Place:
    """The place of the character that follows a text."""
    return text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1


def one_mistake(path: str, place: Place, message: str) -> InvalidFileError:
    """The exception for a file with one mistake."""
    line, column = place
    return InvalidFileError([Mistake(path=path, line=line, column=column, message=message)])


def whole_file(path: str, message: str) -> InvalidFileError:
    """The exception for a mistake that stands nowhere in particular."""
    return one_mistake(path, (0, 0), message)


def at_character(path: str, text: str, error: ReaderError) -> InvalidFileError:
    """The exception for a character that YAML does not allow."""
    code = error.character if isinstance(error.character, int) else ord(error.character)
    return one_mistake(
        path,
        place_after(text[: error.position]),
        f"the control character U+{code:04X} is not allowed in YAML: delete it",
    )


def at_mark(path: str, error: MarkedYAMLError) -> InvalidFileError:
    """The exception for what the parser stumbled over."""
    mark = error.problem_mark or error.context_mark
    place = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    problem = f"{error.problem} {error.context or ''}".strip()
    return one_mistake(path, place, _in_plain_words(problem, error))


def _in_plain_words(problem: str, error: MarkedYAMLError) -> str:
    """A parser's complaint as a sentence; its own words where no sentence is known."""
    for pattern, sentence in _SENTENCES:
        if match := re.search(pattern, problem):
            opened = error.context_mark.line + 1 if error.context_mark else 0
            return sentence.format(*match.groups(), opened=opened)
    return f"this is no YAML: {problem}"


_SENTENCES: tuple[tuple[str, str], ...] = (
    (r"(.* is not supported.*|.*read as YAML 1\.2.*)", "{0}"),
    (r"character '\\t'", "a tab stands here: indent with spaces"),
    (
        r"character '(.)' that cannot start",
        "a value cannot start with {0}: put quotes around the text",
    ),
    (
        r"mapping values are not allowed",
        "the ':' here belongs to no key: the line above lacks its ':', this line is indented too "
        "far, or a text with ': ' needs quotes",
    ),
    (r"unexpected end of stream.*quoted", "the quote opened on line {opened} is never closed"),
    (
        r"flow (sequence|mapping)",
        "the bracket opened on line {opened} is not closed here: a comma or bracket is missing",
    ),
    (
        r"expected <block end>",
        "this line fits neither the lines above (from line {opened}) nor their entries: align it",
    ),
    (r"could not find expected ':'", "a ':' is missing after this key"),
    (r"expected a single document", "a second document starts here (---): keep one to a file"),
    (r"unknown escape character '(.)'", "\\{0} is no escape: use single quotes, or write \\\\{0}"),
    (r"found '<stream end>'", "the file ends here, but a bracket or quote is still open"),
    (r"expected the node content, but found '(.+)'", "a value was expected here, not {0}"),
    (r"maximum depth", "the nesting is more than " + str(MAX_DEPTH) + " levels deep"),
)
