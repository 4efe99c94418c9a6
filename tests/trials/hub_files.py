"""Small datasets on disk in the hub's layout: parquet files per configuration, and a README.md."""

from pathlib import Path
from typing import Any

import datasets

SPLITS = ("train", "validation", "test")


def write_dataset(
    folder: Path, configs: dict[str, dict[str, datasets.Dataset]], *, readme: bool = True
) -> Path:
    """CONFIG/SPLIT-00000-of-00001.parquet for every split, listed in the YAML of a README.md."""
    listed = []
    for config, splits in configs.items():
        (folder / config).mkdir(parents=True)
        listed.append(f"- config_name: {config}\n  data_files:\n")
        for split, data in splits.items():
            data.to_parquet(folder / config / f"{split}-00000-of-00001.parquet")
            listed.append(f"  - split: {split}\n    path: {config}/{split}-*\n")
    if readme:
        (folder / "README.md").write_text(f"---\nconfigs:\n{''.join(listed)}---\n\n# A dataset\n")
    return folder


def clauses(name: str, size: int = 4) -> dict[str, datasets.Dataset]:
    """Three splits of texts that say where they stand, with the classes `fair` and `unfair`."""
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["fair", "unfair"]),
        }
    )
    return {
        split: datasets.Dataset.from_dict(
            {
                "text": [f"{name} {split} {number}" for number in range(size)],
                "label": [number % 2 for number in range(size)],
            },
            features=features,
        )
        for split in SPLITS
    }


def _several(names: list[str]) -> Any:
    return datasets.List(datasets.ClassLabel(names=names))


_STRING = datasets.Value("string")
_ARTICLES = ["2", "3", "5", "6", "8", "9", "10", "11", "14", "P1-1"]
_UNFAIR = [
    "Limitation of liability",
    "Unilateral termination",
    "Unilateral change",
    "Content removal",
    "Contract by using",
    "Choice of law",
    "Jurisdiction",
    "Arbitration",
]

LEX_GLUE_FEATURES: dict[str, dict[str, Any]] = {
    "ecthr_a": {"text": datasets.List(_STRING), "labels": _several(_ARTICLES)},
    "ecthr_b": {"text": datasets.List(_STRING), "labels": _several(_ARTICLES)},
    "scotus": {
        "text": _STRING,
        "label": datasets.ClassLabel(names=[str(area) for area in range(1, 14)]),
    },
    "eurlex": {
        "text": _STRING,
        "labels": _several([str(100_163 + number) for number in range(100)]),
    },
    "ledgar": {
        "text": _STRING,
        "label": datasets.ClassLabel(names=[f"Clause {number:02}" for number in range(100)]),
    },
    "unfair_tos": {"text": _STRING, "labels": _several(_UNFAIR)},
    "case_hold": {
        "context": _STRING,
        "endings": datasets.List(_STRING),
        "label": datasets.ClassLabel(names=["0", "1", "2", "3", "4"]),
    },
}
"""Columns and types of LexGLUE's parquet files; names of eurlex and ledgar are made up."""


def lex_glue_rows(config: str, split: str) -> list[dict[str, Any]]:
    """Three rows as LexGLUE has them: a text, or facts in paragraphs, or a context with endings."""
    if config.startswith("ecthr"):
        facts = ["1.  The applicant was born in 1960.", f"2.  {split} of {config}.\n\n  3.  Held."]
        labels = [[3], [], [0, 9]]
        return [{"text": [*facts, f"{n}"], "labels": labels[n]} for n in range(3)]
    if config == "case_hold":
        return [
            {
                "context": f"{split} context {n} (<HOLDING>)",
                "endings": [f"holding that {n}.{m}" for m in range(5)],
                "label": (n * 2) % 5,
            }
            for n in range(3)
        ]
    text = {"scotus": "387 U.S. 253\n\nMR. JUSTICE FORTAS delivered the opinion.\n\n"}
    texts = [f"{text.get(config, '')}{split} of {config} {n}" for n in range(3)]
    if "label" in LEX_GLUE_FEATURES[config]:
        last = {"scotus": 12, "ledgar": 99}[config]
        return [
            {"text": one, "label": label} for one, label in zip(texts, (0, 7, last), strict=True)
        ]
    labels = {"eurlex": [[4, 20, 99], [0], []], "unfair_tos": [[], [], [0, 7]]}[config]
    return [{"text": one, "labels": label} for one, label in zip(texts, labels, strict=True)]


def write_lex_glue(folder: Path, *, with_names: bool = True) -> Path:
    """All seven configurations; without names the labels are plain numbers."""
    return write_dataset(
        folder,
        {
            config: {
                split: datasets.Dataset.from_list(
                    lex_glue_rows(config, split),
                    features=datasets.Features(columns if with_names else _numbers(columns)),
                )
                for split in SPLITS
            }
            for config, columns in LEX_GLUE_FEATURES.items()
        },
    )


def _numbers(columns: dict[str, Any]) -> dict[str, Any]:
    number = datasets.Value("int64")
    plain = {"label": number, "labels": datasets.List(number)}
    return {name: plain.get(name, kind) for name, kind in columns.items()}
