"""How classical rules rank on the training prior and on recorded tables; prints, writes no file.

A prior teaches the right thing only where rules rank on it as they do on real tasks. Each rule
plays every task for 25 trials, one at a time; the figure is the interquartile mean of the regret.
Kendall's τ and Spearman's ρ compare the order of the rules on each synthetic family, and on the
whole mix, with their order on the tables. `--half first` is for fitting the mix, `--half second`
for saying how well it fits.

    PYTHONPATH=platform:tests python -m benchmarks.prior_rankings --tasks 8 --half first
"""

import argparse
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau, spearmanr

from benchmarks.search.optuna_arms import TPE
from benchmarks.search.play import Budget, play
from benchmarks.search.tables import by_family
from benchmarks.search.task import SearchTask
from lexmove.agent.baselines import make_proposer
from lexmove.agent.candidates import origins_of
from lexmove.agent.encoding import Encoding
from lexmove.agent.floor import FloorProposer
from lexmove.agent.history import read_history
from lexmove.agent.pretraining.held_out import interquartile_mean
from lexmove.agent.pretraining.regret import Regret
from lexmove.agent.pretraining.task_families import FAMILIES, TRAINING_MIX
from lexmove.agent.selection import choose_starts
from lexmove.agent.surrogate import Surrogate
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.protocols import Proposer
from lexmove.study.study import Study
from lexmove.study.trial import Decision, Suggestion

NUM_TRIALS = 25

MakeRule = Callable[[SearchTask, int], Proposer]


@dataclass(frozen=True, kw_only=True)
class OneRule:
    """The floor with one of its two rules for every decision."""

    rule: str

    @property
    def name(self) -> str:
        return self.rule

    def propose(
        self, study: Study, rng: np.random.Generator, *, lane: int = 0
    ) -> Suggestion | None:
        """The best candidate by the rule."""
        encoding = Encoding.of(study.spec.space)
        surrogate = Surrogate(read_history(study, encoding), encoding)
        origins = origins_of(study)
        starts = choose_starts(study, encoding, surrogate, origins, rng, rule=self.rule, room=64)
        if not starts or not study.num_trials_left:
            return None
        decision = Decision(proposer=self.rule, lane=lane)
        until = study.spec.fidelity.rungs[0]
        return Suggestion(config=starts[0].decode(), until=until, decision=decision)


def _tpe(task: SearchTask, seed: int) -> Proposer:
    return TPE.make(task, Budget(trials=NUM_TRIALS), seed=seed, starts=())


RULES: Mapping[str, MakeRule] = {
    "alternating": lambda _task, _seed: FloorProposer(),
    "EI": lambda _task, _seed: OneRule(rule="EI"),
    "UCB": lambda _task, _seed: OneRule(rule="UCB"),
    "TPE": _tpe,
    "random": lambda _task, _seed: make_proposer("random"),
}


def synthetic(name: str, num_tasks: int) -> list[SearchTask]:
    """Tasks of one family, at full length."""
    found = []
    for seed in range(num_tasks):
        space, objective = FAMILIES[name](np.random.default_rng([seed, 77]))
        full = objective.max_fidelity
        regret = Regret.of(objective, space, full, np.random.default_rng(seed))
        found.append(
            SearchTask(
                name=f"{name}-{seed}",
                family=name,
                space=space,
                objective=objective,
                best=regret.best,
                median=regret.median,
                max_fidelity=full,
            )
        )
    return found


def recorded(half: str) -> list[SearchTask]:
    """Every other table of each source, from the first or from the second on."""
    first = 0 if half == "first" else 1
    return [make() for tasks in by_family().values() for make in list(tasks.values())[first::2]]


def regrets(tasks: list[SearchTask], num_seeds: int) -> dict[str, list[float]]:
    """The final regret of every rule on every task and seed."""
    found: dict[str, list[float]] = {name: [] for name in RULES}
    for task in tasks:
        plan = FidelityPlan(maximum=task.max_fidelity)
        for seed in range(num_seeds):
            for name, make in RULES.items():
                budget = Budget(trials=NUM_TRIALS)
                trace = play(task, make(task, seed), budget, plan=plan, seed=seed)
                found[name].append(min(1.0, trace.after_trials(NUM_TRIALS)))
    return found


def _row(title: str, found: Mapping[str, list[float]], real: list[float] | None) -> list[float]:
    figures = [interquartile_mean(np.array(found[name])) for name in RULES]
    agreement = ""
    if real is not None:
        agreement = f"{kendalltau(figures, real)[0]:+.2f} {spearmanr(figures, real)[0]:+.2f}"
    print(f"{title:20s} " + " ".join(f"{x:11.4f}" for x in figures) + f"   {agreement}", flush=True)
    return figures


def main() -> None:
    """Prints a row per family: the regret of every rule, then τ and ρ with the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=8, help="tasks per synthetic family")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--half", choices=("first", "second"), default="first")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{'':20s} " + " ".join(f"{name:>11s}" for name in RULES) + "   tau   rho", flush=True)
    real = _row("tables", regrets(recorded(options.half), options.seeds), None)
    mixed: dict[str, list[float]] = {name: [] for name in RULES}
    for family in FAMILIES:
        found = regrets(synthetic(family, options.tasks), options.seeds)
        _row(family, found, real)
        if family in TRAINING_MIX:
            mixed = {name: mixed[name] + found[name] for name in RULES}
    _row("training mix", mixed, real)


if __name__ == "__main__":
    main()
