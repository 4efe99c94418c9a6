"""Store URLs: what they name, read without a database driver at hand."""

from dataclasses import dataclass, field
from pathlib import Path

from lexmove.coordinator.store_rules import without_password
from lexmove.errors import UsageError, did_you_mean

_SCHEMES = ("sqlite", "postgresql", "journal", "memory")

STORE_FORMS = (
    "sqlite:///studies.db, postgresql+psycopg://user@host/database, journal:///studies.log or "
    "memory://"
)
"""The URLs that a store can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLocation:
    """A store's place: `path` for SQLite and journal files, else only a database `url`."""

    url: str = field(repr=False)
    path: Path | None = None
    is_journal: bool = False

    def __str__(self) -> str:
        return without_password(self.url)

    @property
    def is_missing(self) -> bool:
        """Whether it is a file, and that is not there; a server's is known when it answers."""
        return self.path is not None and not self.path.exists()


def locate_store(url: str) -> StoreLocation:
    """Reads a store's URL; relative paths become absolute here and now.

    Raises:
        UsageError: not the URL of a store.
    """
    if "://" not in url and url.endswith(".log"):
        url = f"journal:///{url}"
    scheme, _, rest = url.partition("://")
    kind = scheme.partition("+")[0]
    if kind == "postgresql" and rest:
        return StoreLocation(url=f"postgresql+psycopg://{rest}")
    if scheme not in ("sqlite", "journal"):
        hint = did_you_mean(kind, _SCHEMES) if rest else ""
        raise UsageError(
            f"store {without_password(url)!r} is no store's URL: write {STORE_FORMS}{hint}"
        )
    if rest == "/:memory:" or not rest.startswith("/") or rest == "/" or "?" in rest:
        raise UsageError(
            f"store {without_password(url)!r} names no file: write {scheme}:///NAME for one below "
            f"this folder, {scheme}:////PATH for an absolute path, or memory:// for none"
        )
    path = Path(rest[1:]).expanduser().absolute()
    return StoreLocation(url=f"{scheme}:///{path}", path=path, is_journal=scheme == "journal")


def for_optuna(url: str) -> str:
    """The URL with the braces kept that Optuna would fill as a template."""
    return url.replace("{", "{{").replace("}", "}}")
