"""After the repetitions: the winner, its differences to the others, calibration, and its model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lexmove.app.by_class import class_scores
from lexmove.app.evidence import (
    Judge,
    Repetition,
    checkpoint_of,
    repeated_by_arm,
    with_fitted_threshold,
)
from lexmove.app.preparing import task_of
from lexmove.app.stored import judgement_name, repetitions_key
from lexmove.coordinator.study_dir import StudyDir
from lexmove.errors import LexmoveError, TrialFailedError
from lexmove.job.spec import JobSpec
from lexmove.results.judgement import Calibration, Difference, Ensemble, Judgement, Winner
from lexmove.results.paired_bootstrap import Contestant, paired_interval
from lexmove.results.summary import DEFAULT_ARM, Arm, arm_name, repeated_arms, winner_of
from lexmove.study.study import Study
from lexmove.trials.checkpoint import WEIGHT_FILES, load_weights_of
from lexmove.trials.classical import STRENGTHS
from lexmove.trials.prediction import (
    DecisionRule,
    Labels,
    Logits,
    Probabilities,
    expected_calibration_error,
)
from lexmove.trials.recipe import Recipe
from lexmove.trials.reference import fit_reference
from lexmove.trials.saved_model import save_model
from lexmove.trials.tasks.data_card import is_leaking
from lexmove.trials.tasks.split_card import SPLITS, near_train
from lexmove.trials.tasks.task import TaskData

_SPLITS = ("validation", "test")


def judge(job: JobSpec, study: Study, repetitions: Study, study_dir: StudyDir) -> Judgement:
    """Finds the winner, keeps its model, compares it with the rest, and writes it all down.

    Scores are those of the store. Intervals, calibration and the model need what the repetitions
    left on disk; what cannot be read here is said in `gaps`. Reads the test split for the
    reference.

    Raises:
        TaskError: the data are no longer those of the repetitions.
    """
    judging = Judge(task=task_of(job.task), metric=study.spec.metric, sign=study.sign)
    arms = repeated_arms(repetitions)
    winner = _winner(job, study, repetitions, arms)
    judgement = Judgement(
        key=repetitions_key(repetitions),
        winner=winner,
        differences=(),
        sizes={split: len(judging.task.split(split)) for split in _SPLITS},
        leaks=_leaks(judging.task),
        absent=_absent(job, judging.task),
        gaps=tuple(_failures(job, repetitions)),
    )
    try:
        repeated = repeated_by_arm(job, repetitions, judging, study_dir)
    except TrialFailedError as error:
        repeated = {}
        gap = f"{error.reason}: nothing was compared or calibrated, and no model was kept"
        judgement = replace(judgement, gaps=(*judgement.gaps, gap))
    if winner.arm in repeated:
        only_class = _only_class(judging.task, repeated[winner.arm])
        classes = class_scores(judging.task, repeated[winner.arm])
        judgement = replace(judgement, only_class=only_class, classes=classes)
        judgement = _kept(job, judging, repeated[winner.arm], judgement, study_dir)
    references = _references(job, judging, study_dir)
    if winner.arm in repeated:
        found = _differences(judging, winner.arm, repeated, references)
        judgement = replace(judgement, differences=tuple(found))
    study_dir.write_json(judgement_name(study), judgement.to_json())
    discard(repetitions, study_dir)
    return judgement


def _leaks(task: TaskData) -> dict[str, int]:
    """How many examples of a split have a near-duplicate in train, where that matters."""
    near = near_train({split: task.split(split) for split in SPLITS})
    sizes = {split: len(task.split(split)) for split in _SPLITS}
    return {split: near[split] for split, size in sizes.items() if is_leaking(near[split], size)}


def _absent(job: JobSpec, task: TaskData) -> dict[str, tuple[str, ...]]:
    """The classes that the metric counts and that a split has no example of."""
    if job.metric.name != "f1_macro":
        return {}
    return {split: names for split in _SPLITS if (names := task.absent(split))}


def _only_class(task: TaskData, members: Mapping[int, Repetition]) -> str | None:
    """What all seeds of a config say of every validation text; None where they say more."""
    if task.is_multi_label or task.is_multiple_choice:
        return None
    decided = (
        each.rule.decide(each.rule.probabilities(each.logits["validation"]))
        for each in members.values()
    )
    said = {int(label) for labels in decided for label in np.unique(labels)}
    return task.labels[said.pop()] if len(said) == 1 else None


def discard(repetitions: Study, study_dir: StudyDir) -> None:
    """Leaves of every repetition's checkpoint its logits alone.

    Raises:
        StorageError: the remote storage cannot be written.
    """
    for trial in repetitions.trials:
        if (checkpoint := checkpoint_of(trial)) is not None:
            study_dir.prune(checkpoint, WEIGHT_FILES)


def _winner(job: JobSpec, study: Study, repetitions: Study, arms: Sequence[Arm]) -> Winner:
    """The finalist with the best mean on validation, or the default where none is better.

    Those with all their seeds come before those that lost some; the search's best where nothing
    was repeated to its end. Comparisons are no finalists: the search did not find them.
    """
    names = {arm_name(item.trial_id) for item in study.ranking} | {DEFAULT_ARM}
    scored = [arm for arm in arms if arm.name in names and arm.validation is not None]
    if not scored:
        incumbent = winner_of(study, None)
        assert incumbent is not None, "a study without a score has no repetitions"
        return incumbent
    best_arm = max(scored, key=lambda arm: _rank(arm, job.repetitions.seeds, study.sign))
    first = next(t for t in repetitions.trials if t.decision.expert == best_arm.name)
    tried = (
        trial.trial_id
        for trial in study.trials
        if best_arm.name == arm_name(trial.trial_id)
        or (best_arm.name == DEFAULT_ARM and trial.config == best_arm.config)
    )
    return Winner(
        arm=best_arm.name,
        config=best_arm.config,
        until=first.until,
        trial_id=next(tried, None),
    )


def _rank(arm: Arm, num_seeds: int, sign: float) -> tuple[bool, float, bool]:
    assert arm.validation is not None
    is_whole = arm.validation.num_seeds >= num_seeds
    return is_whole, sign * arm.validation.mean, arm.name == DEFAULT_ARM


def _failures(job: JobSpec, repetitions: Study) -> list[str]:
    """Sentences on repetitions that did not come to their end."""
    lost: dict[str, list[str]] = {}
    for trial in repetitions.trials:
        if not trial.measurements or trial.fidelity != trial.until:
            lost.setdefault(trial.decision.expert, []).append(trial.reason or "no score")
    return [
        f"{len(reasons)} of {job.repetitions.seeds} repetitions of {name} failed: {reasons[0]}"
        for name, reasons in lost.items()
    ]


def _references(job: JobSpec, judging: Judge, study_dir: StudyDir) -> dict[str, Contestant]:
    """The classifier that needs no tuning, by split, now on the test split as well."""
    task = judging.task
    known = study_dir.read_json("reference") or {}
    among = (known["strength"],) if "strength" in known else STRENGTHS
    fitted = fit_reference(task, metric=job.metric.name, goal=job.metric.goal, among=among)
    said = {split: fitted.probabilities(task.split(split)) for split in _SPLITS}
    rule = DecisionRule(is_multi_label=task.is_multi_label)
    rule = _fitted_to(said["validation"], rule, job, judging)
    found = {
        split: judging.fixed(fitted.name, split, values, rule.decide(values))
        for split, values in said.items()
    }
    scores = {
        split: judging.sign * arm.score(0, judging.all_of(split)) for split, arm in found.items()
    }
    told = {"name": fitted.name, "strength": fitted.strength, **scores}
    study_dir.write_json("reference", told)
    return found


def _fitted_to(
    probabilities: Probabilities, rule: DecisionRule, job: JobSpec, judging: Judge
) -> DecisionRule:
    """With the threshold that is best on these of validation, where the job asks for that."""
    near = np.clip(probabilities, 1e-9, 1 - 1e-9)
    return with_fitted_threshold(job, rule, np.log(near / (1 - near)), judging)


def _differences(
    judging: Judge,
    winner: str,
    repeated: Mapping[str, Mapping[int, Repetition]],
    references: Mapping[str, Contestant],
) -> list[Difference]:
    found = []
    for split in _SPLITS:
        arms = {
            name: judging.contestant(
                name,
                split,
                {seed: (each.rule, each.logits[split]) for seed, each in members.items()},
            )
            for name, members in repeated.items()
        }
        others = [*(arm for name, arm in arms.items() if name != winner), references[split]]
        for other in others:
            interval = paired_interval(
                arms[winner], other, num_examples=len(judging.task.split(split))
            )
            if interval is not None:
                found.append(
                    Difference(
                        other=other.name,
                        split=split,
                        mean=interval.mean,
                        low=interval.low,
                        high=interval.high,
                        num_seeds=interval.num_seeds,
                    )
                )
    return found


def _kept(
    job: JobSpec,
    judging: Judge,
    members: Mapping[int, Repetition],
    judgement: Judgement,
    study_dir: StudyDir,
) -> Judgement:
    """Calibrates the winner's best seed on validation, scores it so, and keeps its checkpoint."""
    task = judging.task
    validation = judging.contestant(
        "winner",
        "validation",
        {seed: (each.rule, each.logits["validation"]) for seed, each in members.items()},
    )
    everything = judging.all_of("validation")
    best = members[max(validation.seeds, key=lambda seed: validation.score(seed, everything))]
    rule, calibration = best.rule, None
    if job.decide.calibrate:
        rule, calibration = _calibrated(judging, best)
    gaps = judgement.gaps
    model = None
    if job.decide.keep_model:
        try:
            model = _save(job, best, task, rule, study_dir, study_dir.model)
            for number, each in enumerate(members.values() if job.decide.ensemble else ()):
                _save(job, each, task, each.rule, study_dir, study_dir.ensemble(number))
        except (LexmoveError, OSError) as error:
            gaps = (*gaps, f"the winner's model was not kept: {error}")
    return replace(
        judgement,
        ensemble=_ensemble(job, judging, list(members.values())) if job.decide.ensemble else None,
        calibration=calibration,
        threshold=rule.threshold if task.is_multi_label else None,
        model=model,
        model_scores={} if model is None else _scores(judging, rule, best),
        gaps=gaps,
    )


def _calibrated(judging: Judge, repetition: Repetition) -> tuple[DecisionRule, Calibration]:
    """With a temperature, unless the job's metric reads probabilities and is worse with it."""
    task, logits, raw = judging.task, repetition.logits, repetition.rule
    rule = raw.with_temperature(logits["validation"], task.validation.labels)
    before, after = (_score(judging, each, repetition, "validation") for each in (raw, rule))
    does_harm = not after >= before  # nor has it a value
    if does_harm:
        rule = raw
    return rule, Calibration(
        temperature=rule.temperature,
        error_before=_error(raw, logits["test"], task.test.labels),
        error_after=_error(rule, logits["test"], task.test.labels),
        does_harm=does_harm,
    )


def _scores(judging: Judge, rule: DecisionRule, repetition: Repetition) -> dict[str, float]:
    """Those of the job's metric, by split."""
    return {split: judging.sign * _score(judging, rule, repetition, split) for split in _SPLITS}


def _score(judging: Judge, rule: DecisionRule, repetition: Repetition, split: str) -> float:
    """More is better."""
    said = rule.probabilities(repetition.logits[split])
    return judging.score(split, said, rule.decide(said), judging.all_of(split))


def _ensemble(job: JobSpec, judging: Judge, members: Sequence[Repetition]) -> Ensemble:
    """The mean of the seeds' probabilities, which a threshold of its own is fitted to."""
    means = {
        split: np.mean([each.rule.probabilities(each.logits[split]) for each in members], axis=0)
        for split in _SPLITS
    }
    rule = _fitted_to(means["validation"], members[0].rule, job, judging)
    values = {
        split: judging.sign * judging.score(split, mean, rule.decide(mean), judging.all_of(split))
        for split, mean in means.items()
    }
    threshold = rule.threshold if judging.task.is_multi_label else None
    return Ensemble(num_models=len(members), threshold=threshold, **values)


def _error(rule: DecisionRule, logits: Logits, labels: Labels) -> float:
    return expected_calibration_error(rule.probabilities(logits), labels)


def _save(
    job: JobSpec,
    repetition: Repetition,
    task: TaskData,
    rule: DecisionRule,
    study_dir: StudyDir,
    folder: Path,
) -> str:
    """Writes the classifier that a repetition left; returns where it can be had."""
    checkpoint = checkpoint_of(repetition.trial)
    assert checkpoint is not None
    with study_dir.lent(checkpoint, WEIGHT_FILES) as kept:
        weights = load_weights_of(kept)
    save_model(
        folder,
        weights,
        model_name=job.model.name,
        recipe=Recipe.from_config(repetition.trial.config, job.model),
        task=task,
        rule=rule,
    )
    return study_dir.publish(folder)
