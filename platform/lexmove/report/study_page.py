"""The page about one study: its parts in their order, the verdict first."""

from lexmove.report.blocks import Page, Section
from lexmove.report.configs import slices, together
from lexmove.report.failures import failures
from lexmove.report.importances import importance
from lexmove.report.path import agents_path
from lexmove.report.progress import curves, history
from lexmove.report.setting import environment, reproduction
from lexmove.report.subject import Subject
from lexmove.report.timeline import timeline
from lexmove.report.verdict_part import verdict_section
from lexmove.results.wording import say_started


def study_page(subject: Subject) -> Page:
    """All of it; parts without anything to show say so."""
    chronicle = subject.chronicle
    sections: list[Section] = [
        verdict_section(subject),
        history(chronicle, subject.reference),
        curves(chronicle),
        agents_path(chronicle),
        together(chronicle),
        slices(chronicle),
        importance(chronicle),
        failures(chronicle),
        timeline(chronicle, subject.profiles),
        environment(subject),
        reproduction(subject),
    ]
    facts = {
        "state": subject.state,
        "trials": say_started(chronicle.spec, len(chronicle.rows)),
        "objective": f"{subject.metric}, to {chronicle.spec.goal}",
    }
    if subject.job is not None:
        facts["model"] = subject.job.model.name
    return Page(title=f"Study {subject.name}", facts=facts, sections=sections)
