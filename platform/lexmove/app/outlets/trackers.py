"""The trackers by name: how each is made, and whether it can be begun with."""

from collections.abc import Callable

from lexmove.app.outlets.tracker import Tracker


def _mlflow() -> Tracker:
    from lexmove.app.outlets.mlflow_tracker import MlflowTracker

    return MlflowTracker()


def _tensorboard() -> Tracker:
    from lexmove.app.outlets.tensorboard_tracker import TensorboardTracker

    return TensorboardTracker()


def _wandb() -> Tracker:
    from lexmove.app.outlets.wandb_tracker import WandbTracker

    return WandbTracker()


MAKERS: dict[str, Callable[[], Tracker]] = {
    "mlflow": _mlflow,
    "tensorboard": _tensorboard,
    "wandb": _wandb,
}
"""By the name that a job has."""


def check_tracker(name: str) -> None:
    """Whether a tracker can be begun with; nothing is loaded, nobody is asked.

    Raises:
        UsageError: a package or a setting is missing; the message says which.
    """
    if name == "mlflow":
        from lexmove.app.outlets.mlflow_door import check_mlflow

        check_mlflow()
    if name == "wandb":
        from lexmove.app.outlets.wandb_tracker import check_wandb

        check_wandb()
