"""What a submitted job runs first: looks whether the cluster has what lexmove needs, then does it.

It uses the standard library alone, so that a cluster without one of the packages hears of it in a
sentence.
"""

import importlib.util
import os
import sys

NEEDED = {
    "numpy": "numpy",
    "scipy": "scipy",
    "pydantic": "pydantic",
    "ruamel.yaml": "ruamel.yaml",
    "typer": "typer",
    "rich": "rich",
    "ray": "ray",
    "torch": "torch",
    "transformers": "transformers",
    "accelerate": "accelerate",
    "peft": "peft",
    "safetensors": "safetensors",
    "datasets": "datasets",
    "pyarrow": "pyarrow",
    "scikit-learn": "sklearn",
    "threadpoolctl": "threadpoolctl",
    "optuna": "optuna",
    "gymnasium": "gymnasium",
}
"""Packages by the name under which they are installed, with the module that they bring."""

MISSING_STATUS = 4
"""The exit status where a package is missing: it is the cluster that does not fit."""


def missing() -> list[str]:
    """The packages that are not installed here."""
    return [package for package, module in NEEDED.items() if not _is_there(module)]


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


def main() -> None:
    """Becomes `lexmove` with the same arguments."""
    lacking = missing()
    if lacking:
        names = ", ".join(lacking)
        sys.stderr.write(
            f"error: the cluster's Python ({sys.executable}) has no {names}\n"
            f"install lexmove's requirements on every node: pip install {' '.join(lacking)}\n"
        )
        sys.exit(MISSING_STATUS)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "lexmove", *sys.argv[1:]])  # noqa: S606 - our own words, no shell


if __name__ == "__main__":
    main()
