"""The model card of an exported winner: data, licence, scores, limits; Markdown, YAML head."""

from collections.abc import Iterator

from lexmove.app.stored import Outcome
from lexmove.job.spec import JobSpec
from lexmove.results.judgement import Judgement
from lexmove.results.summary import DEFAULT_ARM, Arm, doubts
from lexmove.results.wording import (
    say_calibration,
    say_metric,
    say_number,
    say_repeated,
    say_scores,
    say_spread,
)

_DATA_LICENCE = "cc-by-4.0"
_BUILT_IN_DATA = (
    "Licence texts and notices of the package licensedcode-data (ScanCode's license database): "
    "Copyright (c) nexB Inc. and others, CC-BY-4.0. ScanCode is a trademark of nexB Inc. They are "
    "open-source and proprietary licence texts, and no court text."
)
_MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def model_card(outcome: Outcome, job: JobSpec) -> str:
    """What a reader must know before they use the model."""
    study, winner = outcome.study, outcome.winner
    assert winner is not None, "there is something to export"
    metric = say_metric(study.spec.metric)
    arms = {arm.name: arm for arm in outcome.arms}
    return "\n".join(
        [
            *_head(job, metric, _test_score(outcome, arms.get(winner.arm))),
            f"# {study.spec.name}",
            "",
            f"A text classifier: `{job.model.name}`, fine-tuned on {_data_name(job)}; its "
            f"hyperparameters were found by lexmove in {len(study.trials)} trials.",
            "",
            *_scores(outcome, metric),
            "## Data",
            "",
            _data(job),
            "",
            "## Licence",
            "",
            _licence(job),
            "",
            "## Limits",
            "",
            *_limits(outcome),
            "",
            "## Use",
            "",
            *_use(outcome),
            "",
            *_together(outcome),
        ]
    )


def _test_score(outcome: Outcome, own: Arm | None) -> float | None:
    """Of the checkpoint; where there is none, of its config."""
    if outcome.judgement is not None and "test" in outcome.judgement.model_scores:
        return outcome.judgement.model_scores["test"]
    return None if own is None or own.test is None else own.test.mean


def _head(job: JobSpec, metric: str, test_score: float | None) -> Iterator[str]:
    yield "---"
    yield "library_name: transformers"
    yield "pipeline_tag: text-classification"
    if job.model.name == "minilm" or "/" in job.model.name.strip("/"):
        base = _MINILM if job.model.name == "minilm" else job.model.name
        if not base.startswith(("/", ".", "~")):
            yield f"base_model: {base}"
    yield "tags: [legal, text-classification]"
    if test_score is not None:
        yield "metrics:"
        yield f"- name: {metric}"
        yield f"  value: {test_score:.4f}"
    yield "---"
    yield ""


def _scores(outcome: Outcome, metric: str) -> Iterator[str]:
    if not outcome.arms:
        yield "No config was trained again on fresh seeds: the search's score is too good."
        yield ""
        return
    yield f"| {metric}, mean{say_spread(outcome.arms)} | validation | test | seeds |"
    yield "|---|---|---|---|"
    winner = outcome.winner
    for arm in outcome.arms:
        name = f"**{_own_config(outcome)}**" if winner and arm.name == winner.arm else arm.name
        name = "the default config" if arm.name == DEFAULT_ARM and name == arm.name else name
        name = name.replace("|", "\\|")
        seeds = max((item.num_seeds for item in (arm.validation, arm.test) if item), default=0)
        yield f"| {name} | {say_repeated(arm.validation)} | {say_repeated(arm.test)} | {seeds} |"
    if (reference := outcome.reference) is not None:
        scores = (say_number(reference.get(split)) for split in ("validation", "test"))
        yield f"| {reference['name']} | {' | '.join(scores)} | |"
    yield ""
    yield "The test split is read for repetitions alone: no trial of the search was scored on it."
    if outcome.judgement is not None and _has_model(outcome):
        yield "The checkpoint is that of the winner's seed that was best on validation."
        yield from _as_saved(outcome.judgement, metric)
    yield ""


def _has_model(outcome: Outcome) -> bool:
    """Whether the winner's checkpoint was kept."""
    return outcome.judgement is not None and outcome.judgement.model is not None


def _own_config(outcome: Outcome) -> str:
    return "this model's config" if _has_model(outcome) else "the winning config"


def _use(outcome: Outcome) -> Iterator[str]:
    if _has_model(outcome):
        yield "`model/README.md` says how to load it; `run.sh` trains it anew."
    else:
        yield "No checkpoint was kept: `run.sh` trains the classifier that is described here."


def _as_saved(judgement: Judgement, metric: str) -> Iterator[str]:
    """What the checkpoint scores, with its probabilities as they are."""
    if judgement.model_scores:
        yield f"Its {metric} as it is saved: {say_scores(judgement.model_scores)}."
    if judgement.calibration is not None:
        yield f"Its {say_calibration(judgement.calibration, metric)}."


def _together(outcome: Outcome) -> Iterator[str]:
    """How the winner's seeds decide, where the job keeps them all."""
    judgement = outcome.judgement
    if judgement is None or judgement.model is None or judgement.ensemble is None:
        return
    ensemble = judgement.ensemble
    decided = "" if judgement.threshold is not None else ", and of it the likeliest class"
    if ensemble.threshold is not None:
        decided = f", and give a label above {ensemble.threshold:.3g}"
    yield (
        f"`ensemble/` holds all {ensemble.num_models} seeds. Together they score"
        f" {say_scores({'validation': ensemble.validation, 'test': ensemble.test})}: take the mean"
        f" of their probabilities{decided}."
    )
    yield ""


def _data_name(job: JobSpec) -> str:
    if job.task.name is not None:
        return f"the task `{job.task.name}`"
    return f"`{job.task.hub.id}`" if job.task.hub is not None else "its user's own files"


def _data(job: JobSpec) -> str:
    if (job.task.name or "").startswith("license"):
        return _BUILT_IN_DATA
    if (job.task.name or "").startswith("lex_glue/"):
        return (
            "LexGLUE (Chalkidis et al. 2022, arXiv 2110.00976); each of its datasets has its own "
            "terms: see https://huggingface.co/datasets/lex_glue."
        )
    return "`data/`, if it was exported; what may be done with it is for its owner to say here."


def _licence(job: JobSpec) -> str:
    base = "Apache-2.0" if job.model.name == "minilm" else "what its own card says"
    data = _DATA_LICENCE if (job.task.name or "").startswith("license") else "what its owner says"
    return f"Of the pretrained model: {base}. Of the data: {data}. Both bind what is made of them."


def _limits(outcome: Outcome) -> Iterator[str]:
    yield "- It knows the classes and the kind of text that it was trained on, and no other."
    yield "- It is no legal advice, and decides nothing about a person without one who checks it."
    if outcome.judgement is not None:
        for doubt in doubts(outcome.judgement, outcome.arms, outcome.reference):
            yield f"- {doubt}"
    if outcome.state != "finished":
        yield "- Its study was not finished when it was exported: some of what is above may change."
