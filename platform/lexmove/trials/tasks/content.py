"""Content of a text file that is no text of its kind: compressed, binary or in another encoding."""

import re
from pathlib import Path

from lexmove.errors import TaskError

_BEGINNINGS = {
    # Before those of UTF-16, with which the second one begins.
    b"\x00\x00\xfe\xff": "is UTF-32 text; save it as UTF-8 (for example: iconv -f utf-32 -t utf-8)",
    b"\xff\xfe\x00\x00": "is UTF-32 text; save it as UTF-8 (for example: iconv -f utf-32 -t utf-8)",
    b"\xff\xfe": "is UTF-16 text; save it as UTF-8 (for example: iconv -f utf-16 -t utf-8)",
    b"\xfe\xff": "is UTF-16 text; save it as UTF-8 (for example: iconv -f utf-16 -t utf-8)",
    b"\x1f\x8b": "is compressed by gzip, whatever its name says; unpack it (gunzip)",
    b"BZh": "is compressed by bzip2, whatever its name says; unpack it (bunzip2)",
    b"\xfd7zXZ": "is compressed by xz, whatever its name says; unpack it (unxz)",
    b"\x28\xb5\x2f\xfd": "is compressed by zstd, whatever its name says; unpack it (unzstd)",
    b"PK\x03\x04": "is a zip archive or a workbook, whatever its name says; unpack it, or save the"
    " sheet as csv (UTF-8)",
    b"PAR1": "is a parquet file, whatever its name says; end its name in .parquet",
}
"""What the first bytes of a file give away."""

_SNIFFED = 4096
"""Bytes at the beginning that are looked at."""

_MAX_NUL_RATIO = 0.1
"""Share of NUL bytes above which it is not a slip of single rows."""

_MAX_NUL_RATIO_UTF_16 = 0.5
"""Share of NUL bytes that UTF-16 text has at most: where all of it is ASCII."""

_DAMAGED = re.compile("[\0\ud800-\udfff]")


def check_content(path: Path) -> None:
    """Raises: TaskError: a file that holds something else than UTF-8 text."""
    with path.open("rb") as file:
        head = file.read(_SNIFFED)
    if not head:
        raise TaskError(f"{path}: holds no rows: the file is empty")
    for beginning, what in _BEGINNINGS.items():
        if head.startswith(beginning):
            raise TaskError(f"{path}: {what}")
    nul_ratio = head.count(0) / len(head)
    if nul_ratio > _MAX_NUL_RATIO:
        bits = 32 if nul_ratio > _MAX_NUL_RATIO_UTF_16 else 16
        raise TaskError(
            f"{path}: is full of NUL bytes: UTF-{bits} text, or no text at all; save it as UTF-8"
            f" (for example: iconv -f utf-{bits}le -t utf-8)"
        )


def damage(text: str, where: str) -> str | None:
    """Why a text, read with the error handler `surrogateescape`, is none; `where` it stands."""
    if text.isascii() and "\0" not in text:
        return None
    found = _DAMAGED.search(text)
    if found is None:
        return None
    code = ord(found.group())
    if code == 0:
        return f"NUL character in {where}; the file is damaged: make it again, or drop the row"
    if 0xDC80 <= code <= 0xDCFF:
        return (
            f"byte 0x{code - 0xDC00:02x} in {where} is no UTF-8 text; save the file as UTF-8 (for"
            " example: iconv -f cp1252 -t utf-8)"
        )
    return f"half a character (\\u{code:04x}) in {where}; write both halves, or drop it"
