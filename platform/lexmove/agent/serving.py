"""The proposer that serves one job: which weights it starts with, and when it takes new ones."""

import copy
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from lexmove.agent.baselines import make_proposer
from lexmove.errors import ModelError
from lexmove.study.protocols import Proposer
from lexmove.study.study import Study
from lexmove.study.trial import TrialStatus

if TYPE_CHECKING:
    from lexmove.agent.learning import OnlineLearner
    from lexmove.agent.policy import PointerPolicy

_LOG = logging.getLogger(__name__)

SHIPPED_WEIGHTS = Path(__file__).parent / "weights" / "policy.safetensors"
"""The pre-trained policy that comes with lexmove; without it jobs start with the untrained one."""

TRIALS_BETWEEN_UPDATES = 4
"""Trials that end between two updates: fewer would be noise."""

_OPEN = (TrialStatus.RUNNING, TrialStatus.PREEMPTED)


class ServedProposer:
    """A proposer by name; if it is the policy, with its versions kept in `weights_dir`.

    A policy goes on with the weights of the study's last decision, so that a resumed job serves
    what it served before; a new one starts with the file `weights`, else with the shipped policy,
    else untrained. With `learns`, a Ray actor learns from the job beside it (see
    `learning`): it starts when there is enough to learn from, and new weights are on disk before
    they are served; those that cannot be written are not, and the job goes on.

    Raises:
        UsageError: no proposer of that name.
        ModelError: the weights to start with cannot be read, or the study's last ones are missing
            or not what they were.
    """

    def __init__(
        self,
        name: str,
        *,
        study: Study,
        weights_dir: Path,
        learns: bool,
        weights: Path | None = None,
    ) -> None:
        self._weights_dir = weights_dir
        self._seed = study.spec.seed
        self._learner: OnlineLearner | None = None
        self._weights: tuple[Path, ...] = ()
        self._num_learned = 0
        self._learns = learns and name == "policy"
        if name == "policy":
            self._policy = self._initial_policy(study, weights)
            self.proposer = self._serve()
        else:
            self.proposer = make_proposer(name)

    def _initial_policy(self, study: Study, weights: Path | None) -> "PointerPolicy":
        from lexmove.agent.policy import PointerPolicy, load_weights

        served = served_weights(study, self._weights_dir)
        if served:
            return load_weights(served[0])
        if weights is None and SHIPPED_WEIGHTS.is_file():
            weights = SHIPPED_WEIGHTS
        if weights is not None:
            return load_weights(weights)
        return PointerPolicy.untrained()

    @property
    def weights(self) -> tuple[Path, ...]:
        """The files with the weights that are served; none if there is no policy."""
        return self._weights

    def _serve(self) -> Proposer:
        from lexmove.agent.policy import save_weights, weights_files, weights_hash
        from lexmove.agent.proposer import PolicyProposer

        path = _path(self._weights_dir, weights_hash(self._policy.state_dict()))
        try:
            save_weights(self._policy, path)
        except OSError as error:
            raise ModelError(
                f"cannot write the policy's weights to {path}: {error.strerror}; free some space "
                "or set `storage` in the job to another folder"
            ) from error
        self._weights = weights_files(path)
        # A policy gradient needs actions that the policy drew. Drawing costs nothing measurable:
        # see "Drawing or taking the likeliest" in this package's README.
        return PolicyProposer(self._policy, sample=self._learns, gated=True)

    def after(self, study: Study) -> Proposer:
        """The proposer to use from here on; learns from `study` on the side. Never blocks."""
        if not self._learns:
            return self.proposer
        self._take_new_weights()
        num_ended = len(study.trials) - len(study.with_status(*_OPEN))
        if num_ended - self._num_learned >= TRIALS_BETWEEN_UPDATES and self._submit(
            study, num_ended
        ):
            self._num_learned = num_ended
        return self.proposer

    def _take_new_weights(self) -> None:
        result = None if self._learner is None else self._learner.poll()
        if result is None or not result.applied:
            return
        served, self._policy = self._policy, copy.deepcopy(self._policy)
        self._policy.load_state_dict(dict(result.weights))
        try:
            self.proposer = self._serve()
        except ModelError as error:
            # What was learned is not lost: the next update starts from it.
            self._policy = served
            _LOG.warning("%s; the job goes on with the weights that it has", error)

    def _submit(self, study: Study, num_ended: int) -> bool:
        from lexmove.agent.learning import MIN_TRIALS, OnlineLearner

        if num_ended < MIN_TRIALS or not study.num_trials_left:
            return False
        if self._learner is None:
            self._learner = OnlineLearner(
                self._policy.state_dict(),
                seed=self._seed,
                earlier_versions=_versions(study)[:-1],
            )
        return self._learner.submit(study)

    def close(self) -> None:
        """Ends the learner."""
        if self._learner is not None:
            self._learner.close()


def served_weights(study: Study, weights_dir: Path) -> tuple[Path, ...]:
    """The files with the weights of a study's last decision; none if the policy made none."""
    from lexmove.agent.policy import weights_files

    versions = _versions(study)
    return weights_files(_path(weights_dir, versions[-1])) if versions else ()


def _path(weights_dir: Path, version: str) -> Path:
    return weights_dir / f"{version}.safetensors"


def _versions(study: Study) -> list[str]:
    """The policy versions that have decided in a study, each once, in the order of their first."""
    versions = [decision.policy_version for _, decision in study.decisions]
    return list(dict.fromkeys(version for version in versions if version is not None))
