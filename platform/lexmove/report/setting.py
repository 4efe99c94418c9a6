"""Environment and how to reproduce: the job with its space as files have them, and the commands."""

import json
from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from lexmove.report.blocks import Block, Code, Section, Table, Words
from lexmove.report.subject import Subject
from lexmove.results.wording import NOTHING, say_count, say_duration, say_metric
from lexmove.space.declaration import declared_prior
from lexmove.space.domain import Constant, Domain, Float, Integer, Ordinal
from lexmove.space.search_space import SearchSpace
from lexmove.study.study import StudySpec

_MAX_VERSIONS = 8


def _limit(spec: StudySpec) -> str:
    if spec.wall_clock_s is None:
        return say_count(spec.num_trials, "trial")
    return f"{say_duration(spec.wall_clock_s)} for the search"


def environment(subject: Subject) -> Section:
    """What the study ran with, as far as that is recorded."""
    spec, job = subject.chronicle.spec, subject.job
    rows = [
        ["objective", f"{say_metric(spec.metric)}, to {spec.goal}"],
        ["budget", f"{_limit(spec)}, {spec.parallel} at once"],
        ["training", _training(subject)],
        ["seed", str(spec.seed)],
        ["proposer", ", ".join(_proposers(subject)) or NOTHING],
        ["policy version", ", ".join(_policies(subject)) or NOTHING],
    ]
    if job is not None:
        rows[:0] = [["task", _task(subject)], ["model", _model(subject)]]
        resources = job.resources
        each = "auto" if resources.auto else f"{resources.cpu:g} CPU, {resources.gpu:g} GPU"
        rows += [["resources of a trial", each]]
    if subject.data is not None:
        rows.append(["fingerprint of the data", subject.data])
    blocks: list[Block] = [Table(headers=("what", "of the study"), rows=rows)]
    if subject.software:
        versions = [[name, version] for name, version in subject.software.items()]
        blocks += [
            Table(
                headers=("software", "version"),
                rows=versions,
                caption="Of the machine that wrote this page; trials may have run on others.",
            )
        ]
    return Section(anchor="environment", title="Environment", blocks=blocks)


def _training(subject: Subject) -> str:
    plan = subject.chronicle.spec.fidelity
    if plan.eta is None:
        return f"each trial {say_count(plan.maximum, 'epoch')}, without a stop on the way"
    rungs = ", ".join(map(str, plan.rungs))
    return f"up to {say_count(plan.maximum, 'epoch')}, compared after {rungs}"


def _proposers(subject: Subject) -> list[str]:
    return list(dict.fromkeys(row.decision.proposer for row in subject.chronicle.rows))


def _policies(subject: Subject) -> list[str]:
    """The weights that decided, in order; the middle of a long list is left out."""
    versions = (row.decision.policy_version for row in subject.chronicle.rows)
    found = list(dict.fromkeys(version for version in versions if version))
    if len(found) <= _MAX_VERSIONS:
        return found
    half = _MAX_VERSIONS // 2
    return [*found[:half], f"… {len(found) - 2 * half} more …", *found[-half:]]


def _task(subject: Subject) -> str:
    assert subject.job is not None
    task = subject.job.task
    if task.name is not None:
        return task.name
    if task.files is not None:
        return ", ".join(task.files.model_dump(exclude_none=True).values())
    return "" if task.hub is None else task.hub.id


def _model(subject: Subject) -> str:
    assert subject.job is not None
    model = subject.job.model
    layers = f", {model.num_hidden_layers} layers" if model.num_hidden_layers else ""
    return f"{model.name}{layers}, {model.max_length} tokens, {model.precision}"


def reproduction(subject: Subject) -> Section:
    """The job to run again, and the winner's config to train alone."""
    title = "How to reproduce"
    blocks: list[Block] = []
    if subject.job is None:
        blocks.append(
            Words(
                text="The study was not made from a job, so that its objective is not recorded; its"
                " search space and seed are."
            )
        )
        space = to_yaml({"parameters": declared(subject.chronicle.spec.space)["parameters"]})
        blocks.append(Code(text=space, caption="The search space"))
    else:
        blocks += [
            Words(
                text="The whole study, under another name or in another store. With one trial at a"
                " time it decides the same again; with several, whichever ends first is learned"
                " from first, and ways may part. Scores differ by the hardware's rounding."
                + _elsewhere(subject)
            ),
            Code(text=job_text(subject), caption="job.yaml"),
            Code(text=_commands(subject), caption="Commands"),
        ]
    if subject.winner is not None:
        config = {
            "config": dict(subject.winner.config),
            "epochs": subject.winner.until,
        }
        blocks.append(Code(text=json.dumps(config, indent=2), caption="The winner"))
    return Section(anchor="reproduce", title=title, blocks=blocks)


def _elsewhere(subject: Subject) -> str:
    """What a study began with that its job does not say."""
    spec = subject.chronicle.spec
    asked = sum(start.is_asked and start.after > 0 for start in spec.starts)
    from_memory = sum(not start.is_asked for start in spec.starts)
    parts = [
        f"{say_count(from_memory, 'config')} from earlier studies" * bool(from_memory),
        "the results of earlier studies" * bool(spec.past),
        f"{say_count(asked, 'config')} asked for while it ran" * bool(asked),
    ]
    known = " and ".join(part for part in parts if part)
    if not known:
        return ""
    return f" This one was given {known}, which the job does not hold: another store gives others."


def _commands(subject: Subject) -> str:
    lines = ["lexmove plan job.yaml    # what it would do, and how long", "lexmove tune job.yaml"]
    if subject.judgement is not None:
        lines.append(f"lexmove export {subject.name} --out best    # the winner, without lexmove")
    return "\n".join(lines)


def job_text(subject: Subject) -> str:
    """The job as a file, its space written out; without the places where it was kept."""
    assert subject.job is not None
    job = subject.job.model_dump(
        mode="json", exclude_defaults=True, exclude={"store", "storage", "space"}
    )
    return to_yaml({**job, "space": declared(subject.chronicle.spec.space)})


def to_yaml(data: dict[str, Any]) -> str:
    """YAML 1.2, keys in order."""
    yaml = YAML()
    yaml.default_flow_style = None
    yaml.width = 100
    text = StringIO()
    yaml.dump(data, text)
    return text.getvalue().rstrip()


def declared(space: SearchSpace) -> dict[str, Any]:
    """A search space as a file declares it."""
    parameters = {}
    for item in space.hyperparameters:
        when = {"when": {name: list(values) for name, values in item.when.items()}}
        prior = declared_prior(item.domain, item.prior)
        parameters[item.name] = {
            **_declared_domain(item.domain),
            **({} if prior is None else {"prior": prior}),
            **(when if item.when else {}),
        }
    found: dict[str, Any] = {"parameters": parameters}
    if space.forbid:
        found["forbid"] = [
            {name: list(values) for name, values in rule.items()} for rule in space.forbid
        ]
    return found


def _declared_domain(domain: Domain) -> dict[str, Any]:
    default = getattr(domain, "default", None)
    usual = {} if default is None else {"default": default}
    if isinstance(domain, Constant):
        return {"value": domain.value}
    if isinstance(domain, Float | Integer):
        kind = int if isinstance(domain, Integer) else float
        log = {"log": True} if domain.log else {}
        return {"min": kind(domain.low), "max": kind(domain.high), **log, **usual}
    ordered = {"ordered": True} if isinstance(domain, Ordinal) else {}
    return {"values": list(getattr(domain, "values", ())), **ordered, **usual}
