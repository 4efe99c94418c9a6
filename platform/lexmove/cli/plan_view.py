"""What `plan` prints: the space, the data, the first trials, the time, and whether it fits."""

from typing import TYPE_CHECKING, Any

from lexmove.app.planning import Estimate, Fit, Plan
from lexmove.cli.console import SCHEMA_VERSION, write, write_sentence, write_table
from lexmove.cli.guessing_columns import say_class
from lexmove.cli.wording import (
    NOTHING,
    say_config,
    say_count,
    say_domain,
    say_duration,
    say_metric,
    say_move,
    say_prior,
    say_when,
)
from lexmove.job.repetitions import Repetitions
from lexmove.space.move import say_value
from lexmove.space.search_space import Hyperparameter

if TYPE_CHECKING:
    from lexmove.trials.tasks.data_card import DataCard
    from lexmove.trials.tasks.split_card import SplitCard

_MAX_CLASSES = 25
"""Classes that are listed; of a hundred the largest."""


def write_plan(plan: Plan) -> None:
    """The plan as tables and sentences."""
    write_sentence(f"Plan of {plan.job.name}: {_goal(plan)}", style="bold")
    write_sentence(_verdict(plan), style="green" if plan.fit.is_fitting else "yellow")
    _write_space(plan)
    if plan.card is not None:
        _write_card(plan.card)
    for line in plan.left_out:
        write_sentence(line)
    _write_suggestions(plan)
    _write_epochs(plan)
    if plan.estimate is not None:
        _write_estimate(plan.estimate)
        _write_limit(plan, plan.estimate)
    write_sentence(_fit_words(plan), style=None if plan.fit.is_fitting else "yellow")


def _verdict(plan: Plan) -> str:
    """What most want to know first: how long it takes, and whether it fits."""
    here = "this machine" if plan.fit.num_nodes is None else "the cluster"
    fits = f"it fits {here}" if plan.fit.is_fitting else f"it does not fit {here}, see below"
    if plan.fit.is_fitting is None:
        fits = f"whether it fits {here} is open: its GPUs were not looked at"
    if plan.estimate is None:
        return f"{fits[0].upper()}{fits[1:]}; how long it takes was not measured"
    searches_s = plan.estimate.search_s, plan.estimate.search_most_s
    least, most = (search_s + plan.estimate.repetitions_s for search_s in searches_s)
    times = list(dict.fromkeys(map(say_duration, (least, most))))
    num = len(plan.card.warnings) if plan.card is not None else 0
    warned = f"; {say_count(num, 'warning')} about the data below" if num else ""
    return f"Takes about {' to '.join(times)} in all; {fits}{warned}"


def _goal(plan: Plan) -> str:
    metric = plan.job.metric
    search, repeated = plan.job.num_search_trials, plan.job.repetitions.num_trainings
    after = (
        f", {repeated} more to repeat the best"
        if repeated
        else ", too few to repeat the best: no test score, no model"
    )
    budget = plan.job.budget
    within = say_count(search, "trial")
    if budget.limit == "time" and budget.wall_clock is not None:
        within = f"{say_duration(budget.wall_clock)} of search"
    return f"{metric.goal} {say_metric(metric.name)} in {within}{after}"


def _write_space(plan: Plan) -> None:
    write()
    write("Search space", style="bold")
    rows = [
        [
            item.name,
            say_domain(item.domain),
            say_value(item.domain.default_value),
            say_when(item.when),
            say_prior(item),
        ]
        for item in plan.space.hyperparameters
    ]
    headers = ["hyperparameter", "values", "default", "only when", "prior"]
    kept = [i for i in range(len(headers)) if i < 3 or any(row[i] for row in rows)]
    write_table([headers[i] for i in kept], [[row[i] for i in kept] for row in rows])
    for rule in plan.space.forbid:
        write(f"never {say_when(rule)}")


def _write_card(card: "DataCard") -> None:
    """What the data hold: a row a split, a row a class, and what to be warned of."""
    write()
    write(f"Task {card.task} ({card.kind})", style="bold")
    headers = ("split", "examples", "tokens: median", "95 %", "longest", f"over {card.max_length}")
    rows = [
        [split.name, str(split.examples), *_token_words(split), _share(split.over_max_length)]
        for split in card.splits
    ]
    write_table(headers, rows, right=headers[1:])
    write()
    names = list(card.splits[0].label_counts)
    shown = names if len(names) <= _MAX_CLASSES else _largest(card, _MAX_CLASSES)
    rows = [
        [say_class(name), *(str(split.label_counts[name]) for split in card.splits)]
        for name in shown
    ]
    if any(split.without_label for split in card.splits):
        rows.append(["(no label)", *(str(split.without_label) for split in card.splits)])
    kind = "right ending" if card.kind == "multiple choice" else "class"
    splits = [split.name for split in card.splits]
    write_table((kind, *splits), rows, right=splits)
    if len(shown) < len(names):
        write(f"and {len(names) - len(shown)} smaller classes")
    for warning in card.warnings:
        write_sentence(f"warning: {warning}", style="yellow")


def _largest(card: "DataCard", num: int) -> list[str]:
    counts = card.splits[0].label_counts
    return sorted(counts, key=lambda name: -counts[name])[:num]


def _token_words(split: "SplitCard") -> list[str]:
    tokens = split.tokens
    if tokens is None:
        return [NOTHING] * 3
    return [f"{tokens.median:.0f}", f"{tokens.p95:.0f}", str(tokens.longest)]


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0%}"


def _write_suggestions(plan: Plan) -> None:
    write()
    write("First trials, before anything is measured", style="bold")
    rows = [
        [str(index), str(item.until), say_move(item.decision.text) or say_config(item.config)]
        for index, item in enumerate(plan.suggestions)
    ]
    write_table(("trial", "to epoch", "what"), rows, right=("trial", "to epoch"))
    for line in plan.memory.lines:
        write_sentence(line)


def _pilot(plan: Plan) -> str | None:
    """Who goes to the end before the others; None with a proposer that sends nobody ahead."""
    if plan.job.agent.proposer not in ("policy", "floor"):
        return None
    if plan.job.agent.starts:
        return "what the job asks for"
    if plan.num_pilots > 1:
        return f"{plan.num_pilots} that earlier studies speak for"
    return "the best of earlier studies" if plan.memory.starts else "the default"


def _write_epochs(plan: Plan) -> None:
    write()
    write("Training", style="bold")
    rungs = ", ".join(map(str, plan.rungs[:-1]))
    by_rank = plan.job.fidelity.promotion == "asha"
    who = f"the best 1 in {plan.job.fidelity.eta} go on" if by_rank else "the most promising go on"
    pilot = _pilot(plan)
    first = f", {pilot} to the end first" if pilot else ""
    pauses = f"pause after {rungs}, {who}{first}" if rungs else ""
    epochs = f"up to {say_count(plan.rungs[-1], 'epoch')} a trial"
    write_sentence(", ".join(filter(None, [epochs, pauses])))
    limit_s = plan.job.budget.trial
    if limit_s is not None:
        limit = say_duration(limit_s)
        write_sentence(f"a stretch of a trial that takes longer than {limit} fails (budget.trial)")
    least, most = plan.search_epochs, say_count(plan.search_most_epochs, "epoch")
    search = (
        f"{least} to {most} in all" if least < plan.search_most_epochs else f"about {most} in all"
    )
    if plan.job.budget.limit == "time":
        search = "as many as the time allows"
    write_sentence(
        f"{search} for the search, at most {plan.repetition_epochs} for the repetitions after it"
    )
    if plan.job.repetitions.num_trainings:
        write_sentence(_repeated(plan.job.repetitions))


def _repeated(repetitions: Repetitions) -> str:
    """`repeated: the best 3 configs, the default and 1 comparison, with 2 fresh seeds each`."""
    best = "the best config" if repetitions.top == 1 else f"the best {repetitions.top} configs"
    num_compared = repetitions.others - 1
    compared = [say_count(num_compared, "comparison")] if num_compared else []
    *before, last = [best, "the default", *compared]
    who = f"repeated: {', '.join(before)} and {last}, with"
    if repetitions.seeds > 1:
        return f"{who} {repetitions.seeds} fresh seeds each"
    return f"{who} one fresh seed each: raise budget.trials, or finalists.seeds, to tell luck apart"


def _write_estimate(estimate: Estimate) -> None:
    search, most = say_duration(estimate.search_s), say_duration(estimate.search_most_s)
    gpu_hours = f"; up to {estimate.gpu_hours:.2g} GPU hours" if estimate.gpu_hours else ""
    write_sentence(
        f"estimate: one epoch takes {say_duration(estimate.epoch_s)}, the search "
        f"{search if search == most else f'{search} to {most}'}, the repetitions "
        f"{say_duration(estimate.repetitions_s)}{gpu_hours}"
    )
    write_sentence(
        "(from one small epoch of the default config here, extrapolated; other configs differ)"
    )


def _write_limit(plan: Plan, estimate: Estimate) -> None:
    """For how many trials the time will do, and what the agent makes of that."""
    budget, num = plan.job.budget, estimate.search_trials
    if budget.wall_clock is None or num >= plan.job.num_search_trials:
        return
    write_sentence(
        f"the clock ends the search after {say_duration(budget.wall_clock)}: time for about "
        f"{say_count(num, 'trial')} like the default"
    )
    if budget.limit == "time" and plan.job.agent.proposer in ("policy", "floor"):
        write_sentence("gains are weighed against the seconds that they take: quick configs first")


def _fit_words(plan: Plan) -> str:
    fit, job = plan.fit, plan.job
    each = (
        "what is there shared out (resources: auto)"
        if job.resources.auto
        else f"{say_count(job.resources.cpu, 'CPU')} and {say_count(job.resources.gpu, 'GPU')} each"
    )
    asked = f"{say_count(job.budget.parallel, 'trial')} at once with {each}"
    gpus = "" if fit.num_gpus is None else f" and {say_count(fit.num_gpus, 'GPU')}"
    if fit.num_nodes is None:
        place, way_out = "this machine has", "or run it on a cluster with --address"
    else:
        place = f"the cluster has {say_count(fit.num_nodes, 'node')} up now with"
        way_out = "or add nodes: trials without room wait for them"
    here = f"{place} {say_count(fit.num_cpus, 'CPU')}{gpus}"
    room = f"room for {fit.num_slots} at once" if fit.num_slots else "no room for any"
    if fit.is_fitting is None:
        return f"fits if there are GPUs: {asked}; {here}, GPUs are counted without --offline"
    if fit.is_fitting:
        return f"fits: {asked}; {here}" + ("" if fit.num_nodes is None else f", {room}")
    return f"does not fit: {asked}; {here}, {room}. Lower budget.parallel or resources, {way_out}"


def plan_json(plan: Plan) -> dict[str, Any]:
    """`plan --json`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "study": plan.job.name,
        "goal": plan.job.metric.goal,
        "metric": plan.job.metric.name,
        "space": [_hyperparameter_json(item) for item in plan.space.hyperparameters],
        "task": None if plan.card is None else _task_json(plan.card),
        "left_out": list(plan.left_out),
        "memory": {
            "starts": [start.to_json() for start in plan.memory.starts],
            "results": {results.source: len(results.scores) for results in plan.memory.past},
            "left_out": list(plan.memory.left_out),
        },
        "suggestions": [
            {"config": dict(item.config), "fidelity": item.until, "text": item.decision.text}
            for item in plan.suggestions
        ],
        "budget": {
            "trials": plan.job.budget.trials,
            "parallel": plan.job.budget.parallel,
            "wall_clock_s": plan.job.budget.wall_clock,
            "limit": plan.job.budget.limit,
        },
        "rungs": list(plan.rungs),
        "epochs": {
            "search": plan.search_epochs,
            "search_most": plan.search_most_epochs,
            "repetitions": plan.repetition_epochs,
        },
        "estimate": None if plan.estimate is None else _estimate_json(plan.estimate),
        "fit": _fit_json(plan.fit),
    }


def _hyperparameter_json(item: Hyperparameter) -> dict[str, Any]:
    return {
        "name": item.name,
        "domain": item.domain.to_json(),
        "default": item.domain.default_value,
        "when": {name: list(values) for name, values in item.when.items()},
    }


def _task_json(card: "DataCard") -> dict[str, Any]:
    sizes = {split.name: split.examples for split in card.splits}
    labels = dict(card.splits[0].label_counts)
    return {"name": card.task, **sizes, "labels": labels, "card": card.to_json()}


def _estimate_json(estimate: Estimate) -> dict[str, Any]:
    return {
        "epoch_s": estimate.epoch_s,
        "search_s": estimate.search_s,
        "search_most_s": estimate.search_most_s,
        "search_trials": estimate.search_trials,
        "repetitions_s": estimate.repetitions_s,
        "gpu_hours": estimate.gpu_hours,
    }


def _fit_json(fit: Fit) -> dict[str, Any]:
    return {
        "is_fitting": fit.is_fitting,
        "slots": fit.num_slots,
        "cpus": fit.num_cpus,
        "gpus": fit.num_gpus,
        "nodes": fit.num_nodes,
    }
