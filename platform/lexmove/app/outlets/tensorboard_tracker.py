"""A study for TensorBoard: in its folder, for each trial hyperparameters, score and curve.

Written by tensorboardX, which Ray Tune brings along; `tensorboard` itself is for who looks.
"""

import math
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from lexmove.app.outlets.tracker import TrackedStudy, TrackedTrial

FOLDER = "tensorboard"

_TRIAL = "trial_"


class TensorboardTracker:
    """Writes below the study's folder, `tensorboard/trial_N`."""

    def __init__(self) -> None:
        self._folder = Path()
        self._metric = ""

    def begin(self, study: TrackedStudy) -> Collection[int]:
        self._folder, self._metric = study.folder / FOLDER, study.metric
        if study.is_new:  # an older study of that name may have left another's
            shutil.rmtree(self._folder, ignore_errors=True)
        names = [path.name.removeprefix(_TRIAL) for path in self._folder.glob(f"{_TRIAL}*")]
        return {int(name) for name in names if name.isdecimal()}

    def take(self, trial: TrackedTrial) -> None:
        from tensorboardX import SummaryWriter
        from tensorboardX.summary import hparams

        # The score has a name of its own: the last value of a curve need not be the best one.
        best = {} if trial.value is None else {f"best/{self._metric}": trial.value}
        with SummaryWriter(str(self._folder / f"{_TRIAL}{trial.trial_id}")) as writer:
            for summary in hparams(dict(trial.config), best):
                writer.file_writer.add_summary(summary, walltime=trial.ended_s)
            for name, value in best.items():
                writer.add_scalar(name, value, 0, walltime=trial.ended_s)
            for fidelity, metrics in trial.curve:
                for name, value in metrics.items():
                    if math.isfinite(value):
                        writer.add_scalar(name, value, fidelity, walltime=trial.ended_s)
            writer.add_text("move", trial.move or "none", 0, walltime=trial.ended_s)

    def end(self, scores: Mapping[str, float]) -> None:
        from tensorboardX import SummaryWriter

        with SummaryWriter(str(self._folder / "winner")) as writer:
            for name, value in scores.items():
                writer.add_scalar(f"winner/{name}", value, 0)
