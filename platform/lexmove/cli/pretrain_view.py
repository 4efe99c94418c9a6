"""What `pretrain` says: a line per iteration on stderr, and at the end what the policy is worth."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from lexmove.cli.console import say, write
from lexmove.cli.wording import NOTHING, say_duration

if TYPE_CHECKING:
    from lexmove.agent.pretraining.held_out import Comparison
    from lexmove.agent.pretraining.run import PretrainingResult, Progress


def say_progress(progress: "Progress") -> None:
    """One line for one iteration."""
    words = [
        f"iteration {progress.iteration + 1}",
        f"{progress.num_decisions:,} of {progress.total_decisions:,} decisions",
        f"return {_figure(progress.mean_return)}",
        f"KL to floor {_figure(progress.kl_to_floor)}",
        f"entropy {_figure(progress.entropy)}",
    ]
    if progress.held_out is not None:
        words.append(f"held-out regret {_regrets(progress.held_out)}")
    if progress.seconds_left:
        words.append(f"{say_duration(progress.seconds_left)} left")
    say(" · ".join(words))


def write_pretraining(result: "PretrainingResult", weights: Path) -> None:
    """The weights, and how they did on fresh tasks of families that training has not seen."""
    found = result.confirmation
    write(f"weights   {weights}")
    write(f"policy    {result.policy_version}, after {result.best_iteration} iterations")
    write(f"held out  regret {_regrets(found)}")
    write(
        f"          difference {found.difference:+.4f} ({found.low:+.4f} to {found.high:+.4f}), "
        f"better on {found.wins} tasks, worse on {found.losses}"
    )
    write(verdict(result))


def verdict(result: "PretrainingResult") -> str:
    """What the comparison shows, in a sentence."""
    if result.best_iteration == 0:
        return "No checkpoint was better than the floor: the weights are the floor's own."
    if result.beats_floor:
        return "The policy is better than the floor on tasks that it has not seen."
    if result.confirmation.low > 0:
        return "The policy is worse than the floor on fresh tasks: do not use these weights."
    return "Whether the policy is better than the floor, these tasks do not show."


def _regrets(comparison: "Comparison") -> str:
    return f"{comparison.policy:.4f} (floor {comparison.floor:.4f})"


def _figure(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else NOTHING
