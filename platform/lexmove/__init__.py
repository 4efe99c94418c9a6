"""Hyperparameter optimization for legal text: an agent proposes moves, Ray Tune tries them.

`tune(job)` runs a study, `resume(name)` goes on with one, `load_job(path)` reads a job file, and
`AskTell(space)` is the agent for any objective. Each is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lexmove.agent.ask_tell import AskTell
    from lexmove.app.python import resume, tune
    from lexmove.job.loading import load_job

__version__ = "0.1.0"

__all__ = ["AskTell", "__version__", "load_job", "resume", "tune"]

_HOMES = {
    "AskTell": "lexmove.agent.ask_tell",
    "load_job": "lexmove.job.loading",
    "resume": "lexmove.app.python",
    "tune": "lexmove.app.python",
}
"""Where each public name lives."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lexmove' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
