"""Pre-training: RLlib PPO from the floor on simulated studies; resumable, judged on held-out tasks.

An iteration samples whole episodes, then takes PPO's steps. Every few iterations the policy is
played greedily against the floor; the checkpoint with the least held-out regret is what is kept,
and the untrained policy is one of the candidates.
"""

import json
import pickle
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from lexmove.agent.policy import PointerPolicy, load_weights, save_weights, weights_hash
from lexmove.agent.pretraining.environment import (
    EpisodeDistribution,
    EpisodeSpec,
    MakeObjective,
    TrainingEnv,
)
from lexmove.agent.pretraining.held_out import Comparison, HeldOut, compare
from lexmove.agent.pretraining.ppo_algorithm import (
    PpoSettings,
    build_algorithm,
    sharpened,
    stop,
    train_once,
    weights_of,
)
from lexmove.agent.pretraining.ppo_learner import KL_TO_FLOOR
from lexmove.agent.pretraining.record import Record, code_hash, read_record, write_recipe
from lexmove.agent.pretraining.task_families import HELD_OUT_MIX, FamilyMix
from lexmove.agent.rl_module import Weights
from lexmove.errors import StoreError, UsageError

WEIGHTS_NAME = "policy.safetensors"
"""The weights of the best checkpoint so far, in the folder of a run; the recipe stands beside."""

_BROKEN = (OSError, ValueError, LookupError, TypeError, EOFError, RuntimeError, pickle.PickleError)
"""What reading a damaged checkpoint raises, in one of its files or another."""

_BEGIN_AGAIN = "begin again in another folder"


@dataclass(frozen=True, kw_only=True)
class PretrainingSpec:
    """One run.

    `num_decisions` is its length; `make_objective` draws the tasks that are learned from,
    `held_out` those that checkpoints are judged on, `num_held_out` of them every `judge_every`
    iterations, and `num_confirming` fresh ones once at the end. `sources` says in words where
    tasks come from, for the recipe.
    """

    num_decisions: int = 1_000_000
    seed: int = 0
    make_objective: MakeObjective = field(default_factory=FamilyMix)
    held_out: MakeObjective = field(default_factory=lambda: FamilyMix(weights=HELD_OUT_MIX))
    episode: EpisodeSpec | EpisodeDistribution = field(default_factory=EpisodeDistribution)
    ppo: PpoSettings = field(default_factory=PpoSettings)
    judge_every: int = 20
    num_held_out: int = 48
    num_confirming: int = 96
    sources: str = "synthetic families"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run stands after an iteration.

    `mean_return` is of the episodes of this iteration, undiscounted; `kl_to_floor` and `entropy`
    are in nats, under the softened prior. `held_out` is there when this iteration was judged.
    """

    iteration: int
    num_decisions: int
    total_decisions: int
    mean_return: float
    kl_to_floor: float
    entropy: float
    seconds_left: float
    held_out: Comparison | None


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingResult:
    """What pre-training made: the best checkpoint, and how it did on fresh held-out tasks."""

    weights: Weights
    policy_version: str
    best_iteration: int
    confirmation: Comparison
    record: Record

    @property
    def beats_floor(self) -> bool:
        """Whether fresh held-out tasks show it: the interval of the difference lies below 0."""
        return self.best_iteration > 0 and self.confirmation.high < 0


def pretrain(
    spec: PretrainingSpec,
    out: Path,
    *,
    resume: bool = False,
    on_progress: OnProgress = lambda _: None,
) -> PretrainingResult:
    """Trains a policy from its floor and leaves weights and recipe in the folder `out`.

    Ray must be running. With at most one environment runner, a run that was killed and resumed
    ends with the weights it would have had.

    Args:
        spec: what to train on, and how long.
        out: the folder of the run.
        resume: go on from the last checkpoint in `out`, if there is one.
        on_progress: told after every iteration.
    """
    run = _Run(spec, out)
    try:
        if resume:
            run.restore()
        if not run.record.judgements:
            run.judge()
        while run.num_decisions < spec.num_decisions:
            on_progress(run.iterate())
        return run.finish()
    finally:
        run.close()


class _Run:
    """A run in progress: RLlib's algorithm, and the record of what it did."""

    def __init__(self, spec: PretrainingSpec, out: Path) -> None:
        self._spec, self._out = spec, out
        self.record = Record(
            settings=json.loads(json.dumps(_settings(spec))), code_hashes=(code_hash(),)
        )
        self._checkpoints = out / "checkpoints"
        self._floor = PointerPolicy.untrained().state_dict()
        env_config = {
            "make_objective": spec.make_objective,
            "episode": spec.episode,
            "temperature": spec.ppo.temperature,
            "seed": spec.seed,
        }
        self._algorithm = build_algorithm(
            TrainingEnv,
            env_config,
            self._floor,
            seed=spec.seed,
            settings=spec.ppo,
            num_decisions=spec.num_decisions,
        )
        self._since_s, self._decisions_before = time.monotonic(), 0

    @property
    def num_decisions(self) -> int:
        """Decisions sampled so far."""
        return self.record.num_decisions

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """The policy as it would be served: the residual at the scale of the sharp prior."""
        return sharpened(weights_of(self._algorithm), self._spec.ppo.temperature)

    def restore(self) -> None:
        """Goes on from the last checkpoint that was written whole.

        Raises:
            ModelError: the best weights so far cannot be read.
            UsageError: the checkpoint cannot, or this version would not go on from it.
        """
        found = sorted(path for path in self._checkpoints.glob("*") if path.suffix != ".part")
        if not found:
            return
        load_weights(self._out / WEIGHTS_NAME)
        path = found[-1]
        try:
            self.record = read_record(path / "record.json")
            self._algorithm.restore_from_path(str((path / "algorithm").absolute()))
        except _BROKEN as error:
            raise UsageError(
                f"the checkpoint {path} cannot be read ({type(error).__name__}: {error}); "
                f"{_BEGIN_AGAIN}"
            ) from None
        self._check_the_same(path)
        self._decisions_before = self.record.num_decisions
        if self.record.code_hashes[-1:] != (code := code_hash(),):
            self.record = replace(self.record, code_hashes=(*self.record.code_hashes, code))

    def _check_the_same(self, path: Path) -> None:
        """Refuses to go on otherwise than the run began: by other settings, with other weights."""
        asked = json.loads(json.dumps(_settings(self._spec)))
        if self.record.settings != asked:
            raise UsageError(
                f"the run of {path} has other settings than this version would go on with: go on "
                f"with the version that began it, or {_BEGIN_AGAIN}"
            )
        # RLlib passes over names that it does not know.
        if weights_hash(weights_of(self._algorithm)) != self.record.policy_version:
            raise UsageError(
                f"the checkpoint {path} does not hold the weights that it names: it was damaged, "
                f"or written by another version; {_BEGIN_AGAIN}"
            )

    def iterate(self) -> Progress:
        """Samples, learns, judges when it is time, and writes the checkpoint."""
        spec, iteration = self._spec, len(self.record.iterations)
        share = min(1.0, self.num_decisions / spec.num_decisions)
        row = train_once(
            self._algorithm,
            iteration,
            seed=spec.seed,
            kl_to_floor=_between(spec.ppo.kl_to_floor, spec.ppo.kl_to_floor_end, share),
        )
        self.record = replace(
            self.record.with_iteration(row),
            policy_version=weights_hash(weights_of(self._algorithm)),
        )
        is_last = self.num_decisions >= spec.num_decisions
        judged = None
        if is_last or (iteration + 1) % spec.judge_every == 0:
            judged = self.judge()
        self._write_checkpoint()
        spent_s = time.monotonic() - self._since_s
        done = self.num_decisions - self._decisions_before
        return Progress(
            iteration=iteration,
            num_decisions=self.num_decisions,
            total_decisions=spec.num_decisions,
            mean_return=row["mean_return"],
            kl_to_floor=row[KL_TO_FLOOR],
            entropy=row["entropy"],
            seconds_left=max(0, spec.num_decisions - self.num_decisions) * spent_s / max(1, done),
            held_out=judged,
        )

    def judge(self) -> Comparison:
        """Plays the held-out tasks; keeps the weights if no earlier ones had less regret."""
        regrets = self._regrets(self._held_out(self._spec.num_held_out, stream=1), self.weights)
        if not self.record.judgements:
            self.record = self.record.with_floor(regrets)
        comparison = compare(regrets, self.record.floor_regrets)
        is_best = self.record.is_best(comparison)
        self.record = self.record.with_judgement(comparison)
        if is_best:
            try:
                _save(self.weights, self._out / WEIGHTS_NAME)
            except OSError as error:
                raise _cannot_write(self._out, error) from error
        return comparison

    def finish(self) -> PretrainingResult:
        """Compares the best checkpoint with the floor on fresh tasks, and writes the recipe."""
        weights = load_weights(self._out / WEIGHTS_NAME).state_dict()
        fresh = self._held_out(self._spec.num_confirming, stream=2)
        best = self.record.best_iteration
        floor = self._regrets(fresh, self._floor)
        own = self._regrets(fresh, weights) if best > 0 else floor
        result = PretrainingResult(
            weights=weights,
            policy_version=weights_hash(weights),
            best_iteration=best,
            confirmation=compare(own, floor),
            record=self.record,
        )
        write_recipe(
            (self._out / WEIGHTS_NAME).with_suffix(".recipe.json"),
            {
                "policy_version": result.policy_version,
                "initial_policy_version": weights_hash(self._floor),
                "beats_floor": result.beats_floor,
                "best_iteration": best,
                "confirmation": asdict(result.confirmation),
                "settings": _settings(self._spec),
                "record": self.record.to_json(),
            },
        )
        return result

    def close(self) -> None:
        """Stops RLlib."""
        stop(self._algorithm)

    def _held_out(self, num_tasks: int, *, stream: int) -> HeldOut:
        return HeldOut(
            make_objective=self._spec.held_out,
            num_tasks=num_tasks,
            first_seed=1_000_000 * (2 * self._spec.seed + stream),
        )

    def _regrets(self, held_out: HeldOut, weights: Weights) -> list[float]:
        """Final regrets by task, played by the environment runners side by side."""
        runners = max(1, self._spec.ppo.num_env_runners)

        def share_of(runner: Any) -> dict[int, float]:
            first = max(0, runner.worker_index - 1)
            return held_out.regrets(weights, range(first, held_out.num_tasks, runners))

        found: dict[int, float] = {}
        for part in self._algorithm.env_runner_group.foreach_env_runner(
            share_of, local_env_runner=not self._spec.ppo.num_env_runners
        ):
            found |= part
        missing = [number for number in range(held_out.num_tasks) if number not in found]
        found |= held_out.regrets(weights, missing)
        return [found[number] for number in range(held_out.num_tasks)]

    def _write_checkpoint(self) -> None:
        """Writes aside, renames, and only then removes the one before.

        Raises:
            StoreError: it cannot be written; the one before is there still.
        """
        try:
            self._replace_checkpoint()
        except OSError as error:
            for aside in self._checkpoints.glob("*.part"):  # it takes what room there was
                shutil.rmtree(aside, ignore_errors=True)
            raise _cannot_write(self._out, error) from error

    def _replace_checkpoint(self) -> None:
        name = f"{len(self.record.iterations):06d}"
        aside, path = self._checkpoints / f"{name}.part", self._checkpoints / name
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        self._algorithm.save_to_path(str((aside / "algorithm").absolute()))
        self.record.write(aside / "record.json")
        shutil.rmtree(path, ignore_errors=True)
        aside.rename(path)
        for other in self._checkpoints.iterdir():
            if other != path:
                shutil.rmtree(other)


def _cannot_write(out: Path, error: OSError) -> StoreError:
    return StoreError(
        f"cannot write to {out}: {error.strerror or error}; free some space there, then "
        f"`lexmove pretrain --out {shlex.quote(str(out))} --resume` goes on from the last iteration"
    )


def _between(start: float, end: float, share: float) -> float:
    return start + (end - start) * share


def _save(weights: Weights, path: Path) -> None:
    policy = PointerPolicy.untrained()
    policy.load_state_dict(dict(weights))
    save_weights(policy, path)


def _settings(spec: PretrainingSpec) -> dict[str, Any]:
    """What a run was asked to do, as JSON."""
    return {
        "num_decisions": spec.num_decisions,
        "seed": spec.seed,
        "sources": spec.sources,
        "families": getattr(spec.make_objective, "weights", None),
        "held_out_families": getattr(spec.held_out, "weights", None),
        "episode": asdict(spec.episode),
        "ppo": asdict(spec.ppo),
        "judge_every": spec.judge_every,
        "num_held_out": spec.num_held_out,
        "num_confirming": spec.num_confirming,
    }
