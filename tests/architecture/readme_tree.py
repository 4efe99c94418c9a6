"""The README's file tree, made from the files; `--write` renews it."""

import ast
import subprocess
import sys
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
START, END = "<!-- tree -->", "<!-- /tree -->"

_PHRASES = {
    ".ci/run": "What continuous integration runs.",
    "LICENSE": "Apache License 2.0.",
    "NOTICE": "Whose data and model are used, and on what terms.",
    "README.md": "What it is, how to use it, why it is so.",
    "platform/lexmove/agent/how_the_agent_works.svg": "One decision of the agent, drawn.",
    "pyproject.toml": "Package, dependencies, lint rules, types, import contracts.",
    "platform/lexmove/cluster/grafana.json": "A Grafana dashboard of running studies.",
    "platform/lexmove/py.typed": "Says that the package is typed.",
    "platform/lexmove/report/page.css": "How a page looks: light, dark and on paper.",
    "platform/lexmove/report/page.html": "The page's template.",
    "platform/lexmove/report/page.js": "Draws the figures of a page, one after the other.",
}
"""Of files that cannot say it themselves; a Python file says it in the first line of its docstring,
a YAML file in its first comment."""

_UNLISTED = (
    ".gitignore",
    "tests/golden/",
    "tests/data/",
    "tests/benchmarks/search/measured/",
    "platform/lexmove/examples/data/",
    "platform/lexmove/agent/portfolios/",
)
"""Files, and folders of plain data, that are not listed one by one."""


def files() -> list[str]:
    """Paths of all files that are or would be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return sorted(path for path in listed if (ROOT / path).is_file())


def phrase(path: str) -> str:
    """What a file says of itself in one line; "" if nothing."""
    if path in _PHRASES:
        return _PHRASES[path]
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".py"):
        return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    comments = [line[1:].strip() for line in text.splitlines() if line.startswith("#")]
    return next((line for line in comments if line and ":" not in line.split()[0]), "")


def tree() -> str:
    """The README's block: a line `path  phrase` per file; a package's own line is its folder's.

    Raises:
        ValueError: some files do not say what they are.
    """
    phrases = {path: phrase(path) for path in files() if not path.startswith(_UNLISTED)}
    silent = [path for path, said in phrases.items() if not said]
    if silent:
        raise ValueError(f"begin these with a docstring or a comment: {', '.join(silent)}")
    lines = []
    for _, group in groupby(sorted(phrases, key=_place), key=lambda path: _place(path)[0]):
        named = {path.removesuffix("__init__.py"): phrases[path] for path in group}
        width = max(map(len, named))
        lines += [f"{name:{width}}  {said}" for name, said in named.items()]
    return "\n".join(["```", *lines, "```"])


def _place(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder, "" if name == "__init__.py" else name


def block() -> str:
    """What stands between the README's markers now."""
    return README.read_text(encoding="utf-8").partition(START)[2].partition(END)[0].strip()


def write() -> None:
    """Renews the README's tree."""
    before, _, rest = README.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    README.write_text(f"{before}{START}\n{tree()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    if "--write" in sys.argv:
        write()
    else:
        print(tree())
