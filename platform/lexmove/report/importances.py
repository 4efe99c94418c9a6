"""Which hyperparameters matter: two measures that need not agree, side by side.

PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255) asks what sets the best trials apart from the
others, fANOVA (Hutter et al. 2014) how much of the variance of all scores goes back to each one.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
)
from optuna.trial import TrialState, create_trial
from plotly.graph_objects import Bar

from lexmove.coordinator.optuna_mirror import direction_of, distribution_of
from lexmove.report.blocks import Block, Chart, Section, Words
from lexmove.report.chronicle import Chronicle, Row, evenly
from lexmove.report.look import BLUE, ORANGE, figure, row_axis
from lexmove.results.wording import say_count
from lexmove.study.fidelity import Fidelity

MIN_TRIALS = 20
"""With fewer trials than this either measure says more about chance than about hyperparameters."""

_MAX_TRIALS = 400
"""fANOVA's forest takes long over more, and says the same."""

_SEED = 0

_CAVEAT = (
    "Neither is a fact about the model. PED-ANOVA asks what the best tenth of the trials have in"
    " common, fANOVA what moves the score over the whole range, bad values included. Both see only"
    " what the agent tried, which is not spread evenly, so they often disagree: a hyperparameter"
    " that is high in both matters; one that is high in one of them deserves a look at its"
    " picture."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Importances:
    """Shares by hyperparameter and measure, of trials compared after as much training.

    `fidelity` is how much; `num_trials` how many were compared; `left_out` are hyperparameters that
    not all of them have.
    """

    ped_anova: Mapping[str, float]
    fanova: Mapping[str, float]
    fidelity: Fidelity
    num_trials: int
    left_out: Sequence[str]


def importance(chronicle: Chronicle) -> Section:
    """The section."""
    title = "Which hyperparameters matter"
    found = importances_of(chronicle)
    if found is None:
        words = (
            f"Importances are told from {MIN_TRIALS} trials on with different scores after the same"
            f" training; here are {max(map(len, _by_fidelity(chronicle).values()), default=0)}."
        )
        return Section(anchor="importance", title=title, blocks=[Words(text=words)])
    names = sorted(found.ped_anova, key=lambda name: found.ped_anova[name] + found.fanova[name])
    traces = [
        Bar(
            x=[shares[name] for name in names],
            y=list(range(len(names))),
            orientation="h",
            name=label,
            marker={"color": colour},
            hovertemplate="%{x:.0%}<extra></extra>",
        )
        for label, shares, colour in (
            ("fANOVA: of all differences", found.fanova, ORANGE),
            ("PED-ANOVA: among the best", found.ped_anova, BLUE),
        )
    ]
    drawing = figure(
        traces,
        height=130 + 44 * len(names),
        x={"tickformat": ".0%", "rangemode": "tozero", "title": {"text": "share"}},
        y=row_axis(names),
        barmode="group",
        bargap=0.3,
    )
    chart = Chart(name="importance", title="Two measures", caption=_words(found), figure=drawing)
    blocks: list[Block] = [chart, Words(text=_CAVEAT)]
    return Section(anchor="importance", title=title, blocks=blocks)


def _words(found: Importances) -> str:
    training = say_count(found.fidelity, "epoch")
    words = f"Of {found.num_trials:,} trials, by scores after {training}, so that all had as much."
    if found.left_out:
        words += f" Not every config has {', '.join(found.left_out)}: left out."
    return words


def importances_of(chronicle: Chronicle) -> Importances | None:
    """Both measures; None where there are too few trials, or all of them score the same.

    Trials are compared at the fidelity that most of them were measured at, the higher one of two.
    """
    by_fidelity = _by_fidelity(chronicle)
    if not by_fidelity:
        return None
    at = max(by_fidelity, key=lambda fidelity: (len(by_fidelity[fidelity]), fidelity))
    rows = by_fidelity[at]
    searched = chronicle.spec.space.searched
    names = [item.name for item in searched if all(item.name in row.config for row in rows)]
    if len(rows) < MIN_TRIALS or len({row.curve[at] for row in rows}) < 2 or not names:
        return None
    study = _optuna_study(chronicle, rows, at, names)
    return Importances(
        ped_anova=_shares(study, PedAnovaImportanceEvaluator(), names),
        fanova=_shares(study, FanovaImportanceEvaluator(seed=_SEED), names),
        fidelity=at,
        num_trials=len(rows),
        left_out=[item.name for item in searched if item.name not in names],
    )


def _by_fidelity(chronicle: Chronicle) -> dict[Fidelity, list[Row]]:
    found: dict[Fidelity, list[Row]] = {}
    for row in evenly(chronicle.scored, _MAX_TRIALS):
        for fidelity in row.curve:
            found.setdefault(fidelity, []).append(row)
    return found


def _optuna_study(
    chronicle: Chronicle, rows: Sequence[Row], at: Fidelity, names: Sequence[str]
) -> optuna.Study:
    """The rows as Optuna's trials, in memory; paused ones count with what they reached."""
    space = chronicle.spec.space
    distributions = {name: distribution_of(space[name].domain) for name in names}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it announces every study that it makes
    study = optuna.create_study(direction=direction_of(chronicle.spec))
    optuna.logging.set_verbosity(verbosity)
    study.add_trials(
        [
            create_trial(
                state=TrialState.COMPLETE,
                params={name: row.config[name] for name in names},
                distributions=distributions,
                value=row.curve[at],
            )
            for row in rows
        ]
    )
    return study


def _shares(
    study: optuna.Study, evaluator: BaseImportanceEvaluator, names: Sequence[str]
) -> dict[str, float]:
    """Importances that add up to 1; 0 for what has none."""
    with warnings.catch_warnings():
        # Optuna warns of measures that are new, and of hyperparameters with a single value.
        warnings.simplefilter("ignore")
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(found.get(name, 0.0)) for name in names}
