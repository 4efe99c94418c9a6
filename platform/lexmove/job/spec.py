"""The job: all that a user may set, typed, frozen, checked once."""

import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from lexmove.job.durations import Duration
from lexmove.job.repetitions import Repetitions, affordable
from lexmove.job.storage import checked_storage
from lexmove.job.tracking import Track


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Columns = Annotated[
    tuple[str, ...],
    Field(min_length=2),
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
]
"""Several columns by name; a list in a file."""


class FilesSpec(_Section):
    """Paths of the user's own data files: csv, tsv, jsonl, json or parquet.

    With `train` alone, validation and test are split off it.
    """

    train: str
    validation: str | None = None
    test: str | None = None


class HubSpec(_Section):
    """A dataset of the Hugging Face hub: its id, configuration and revision, and its splits.

    `id` may also be a local folder in the hub's layout. Without `revision` the newest is taken.
    `validation: null` and `test: null` split those off `train`.
    """

    id: str
    config: str | None = None
    revision: str | None = None
    train: str = "train"
    validation: str | None = "validation"
    test: str | None = "test"


class SplitSpec(_Section):
    """How validation and test are split off `train` where they are not given.

    `train`, `validation` and `test` are shares of the data. With `near_duplicates: together` texts
    that are nearly the same never fall on both sides; `report` splits without a look at them, and
    `lexmove plan` counts those that straddle.
    """

    train: Annotated[float, Field(gt=0, lt=1)] = 0.6
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    near_duplicates: Literal["together", "report"] = "report"

    @model_validator(mode="after")
    def _all_of_it(self) -> Self:
        total = self.train + self.validation + self.test
        if not math.isclose(total, 1.0, abs_tol=1e-6):
            raise ValueError(f"train, validation and test add up to {total:g}; they must make 1")
        return self


TASKS = (
    *("license_category", "license_families", "license_listing", "license_mc", "license_role"),
    *("lex_glue/ecthr_a", "lex_glue/ecthr_b", "lex_glue/scotus", "lex_glue/eurlex"),
    *("lex_glue/ledgar", "lex_glue/unfair_tos", "lex_glue/case_hold"),
)
"""The tasks that come with lexmove (`trials.tasks.task.BUILT_IN`, `trials.tasks.lex_glue`)."""


class TaskSpec(_Section):
    """The data: a task by `name`, the user's own `files`, or a dataset of the `hub`.

    `name` is a built-in task (`license_category`) or one of LexGLUE (`lex_glue/ledgar`). Columns:
    `text` holds the texts, or lists of paragraphs; `label` classes, or lists of labels, or several
    ones divided by `label_separator`. `pair` is a column of second texts, judged together with the
    first ones. `endings` makes it a multiple choice: a column of lists, or several columns, of
    which `label` names the right one (by its number from 0). `group` is a column whose values never
    fall on both sides of a split. `no_label_column` measures texts without a label as a class of
    their own, as LexGLUE does. `on_bad_rows: skip` leaves rows out that cannot be used, counted and
    listed. `max_train`, `max_validation` and `max_test` cut the splits down to that many examples.
    """

    name: str | None = None
    files: FilesSpec | None = None
    hub: HubSpec | None = None
    text: str = "text"
    pair: str | None = None
    endings: str | Columns | None = None
    label: str = "label"
    label_separator: Annotated[str, Field(min_length=1)] | None = None
    group: str | None = None
    no_label_column: bool = False
    split: SplitSpec = SplitSpec()
    on_bad_rows: Literal["error", "skip"] = "error"
    max_train: Annotated[int, Field(gt=0)] | None = None
    max_validation: Annotated[int, Field(gt=0)] | None = None
    max_test: Annotated[int, Field(gt=0)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [item for item in (self.name, self.files, self.hub) if item is not None]
        if len(given) != 1:
            raise ValueError(
                "give exactly one of name (a built-in task), files (your own data) and hub"
                " (a dataset by its id)"
            )
        return self

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if self.endings is not None and (self.pair or self.label_separator):
            what = "pair" if self.pair else "label_separator"
            raise ValueError(f"a multiple choice has endings and one right one: leave {what} out")
        return self


class ModelSpec(_Section):
    """The pretrained model: `minilm` (built in, offline), a hub id, or a local folder.

    `num_hidden_layers` keeps the first layers only (minilm: 1 to 6). `max_length` is in tokens.
    `max_segments` reads long texts paragraph by paragraph: up to that many segments of
    `max_length` tokens each, encoded one by one and put together by a small transformer. `auto`
    precision is bf16 or fp16 where the hardware is made for it, else fp32; one for a whole study.
    """

    name: str = "minilm"
    num_hidden_layers: Annotated[int, Field(gt=0)] | None = None
    max_length: Annotated[int, Field(gt=2, le=8192)] = 128
    max_segments: Annotated[int, Field(gt=0, le=256)] | None = None
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"


MORE_IS_BETTER = ("f1_macro", "f1_micro", "accuracy", "mcc", "auprc")
"""The metrics that every trial measures (`trials.metrics.METRICS`)."""


class MetricSpec(_Section):
    """The objective: a metric of the validation split and which way is better.

    `name` is one that every trial measures (f1_macro, f1_micro, accuracy, mcc, auprc), or a
    function of the user's own, `package.module:function` or `path/to/file.py:function`: it takes
    true labels, predicted labels and probabilities, and returns a number.
    """

    name: str = "f1_macro"
    goal: Literal["maximize", "minimize"] = "maximize"


class BudgetSpec(_Section):
    """What the study may spend: trainings, hours, and how many trainings run at once.

    `trials` pays for both the search and the repetitions of its finalists (`finalists`).

    `wall_clock` and `trial` are durations in seconds (`90s`, `30m`, `6h`, `1d` in a file): no
    trial starts after the first, and a trial's segment is ended as failed after the second. The
    first counts from each `tune` or `resume` and leaves the repetitions of finalists out.

    With `limit: time` the clock and not the trials ends the search, and the agent weighs gains
    against the seconds that they take. So it is where `wall_clock` is given and `trials` is not;
    `trials` is 1,000 then.
    """

    trials: Annotated[int, Field(gt=0)] = 24
    parallel: Annotated[int, Field(gt=0)] = 1
    wall_clock: Duration | None = None
    trial: Duration | None = None
    limit: Literal["trials", "time"] = "trials"

    @model_validator(mode="before")
    @classmethod
    def _as_many_as_time_allows(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("wall_clock") is not None and "trials" not in data:
            return {"trials": 1000, "limit": "time", **data}
        return data

    @model_validator(mode="after")
    def _with_a_clock(self) -> Self:
        if self.limit == "time" and self.wall_clock is None:
            raise ValueError("limit: time needs a wall_clock, such as wall_clock: 6h")
        return self


class FidelitySpec(_Section):
    """How long one trial trains, and whether weak ones are paused on the way.

    `eta: null` trains every trial to `max_epochs`. Otherwise trials pause after `first_rung`
    epochs, after `eta` times as many, and so on; the best 1/`eta` of a rung go on. The default, or
    the first config from earlier studies, is trained to the end before the others. With
    `promotion: gain_per_epoch` those go on that promise the most gain per epoch, weighed against
    starting other trials, within the epochs that the best 1/`eta` would take.

    `evaluate: rungs` scores a trial where it pauses and at its end; `epochs` after every epoch: a
    finer curve, of which the best epoch counts, for the time that evaluation takes.
    """

    max_epochs: Annotated[int, Field(gt=0)] = 4
    eta: Annotated[int, Field(ge=2)] | None = None
    first_rung: Annotated[int, Field(gt=0)] | None = None
    promotion: Literal["asha", "gain_per_epoch"] = "asha"
    evaluate: Literal["rungs", "epochs"] = "rungs"

    @model_validator(mode="after")
    def _rung_below_the_end(self) -> Self:
        if self.first_rung is not None and self.eta is None:
            raise ValueError("first_rung needs eta; give eta: 3, or leave first_rung out")
        if self.first_rung is not None and self.first_rung >= self.max_epochs:
            raise ValueError(
                f"first_rung {self.first_rung} must be below max_epochs {self.max_epochs}"
            )
        return self


class ResourcesSpec(_Section):
    """What one trial takes on the cluster, in CPUs and GPUs (fractions share one GPU).

    `resources: auto` leaves it to what is there: on GPUs, as many trials share one as have room and
    find time on it, which is measured before the first trial; elsewhere they share the CPUs.
    """

    model_config = ConfigDict(json_schema_extra={"type": ["object", "string"], "pattern": "^auto$"})

    cpu: Annotated[float, Field(gt=0)] = 1.0
    gpu: Annotated[float, Field(ge=0)] = 0.0
    auto: bool = False

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"auto": True} if value == "auto" else value

    @model_validator(mode="after")
    def _auto_alone(self) -> Self:
        if self.auto and (self.cpu, self.gpu) != (1.0, 0.0):
            raise ValueError("`auto` decides on cpu and gpu: leave them out, or leave auto out")
        return self


class AgentSpec(_Section):
    """What proposes: the policy, a plain proposer to compare with, or a class of the user's own.

    That one is written `package.module:Class` or `path/to/file.py:Class` (tutorials/extending.md).
    `starts` are configs to try first, in place of the space's default, whose values they take for
    what they leave out; where trials pause, the first four are trained to the end at once.
    `online_learning` lets the policy learn from this study's own trials. `memory` begins with what
    did best in earlier studies of the same store, or in the tables that come with lexmove.
    `weights` is the path of a policy that `lexmove pretrain` made; without it the policy is the one
    that comes with lexmove.
    """

    proposer: str = "policy"
    starts: list[dict[str, bool | int | float | str]] = []
    weights: str | None = None
    online_learning: bool = True
    memory: bool = True


class ComparisonSpec(_Section):
    """A config of the user's own, by name, to repeat beside the finalists.

    Hyperparameters that `config` leaves out take the space's defaults.
    """

    name: str
    config: dict[str, bool | int | float | str]


class FinalistsSpec(_Section):
    """Which configs are trained again at the end, with fresh seeds, and scored on the test split.

    The `top` best ones of the search with `seeds` seeds each, beside the space's default and what
    `compare` names. What is left out is 3, or as many as a third of the budget pays for.
    """

    top: Annotated[int, Field(ge=0)] | None = None
    seeds: Annotated[int, Field(gt=0)] | None = None
    compare: list[ComparisonSpec] = []

    @model_validator(mode="after")
    def _names_tell_apart(self) -> Self:
        names = [item.name for item in self.compare]
        for name in names:
            if re.fullmatch(r"\s*|default|trial \d+", name):
                raise ValueError(
                    f"a comparison cannot be called {name!r}: results call the space's default "
                    "config 'default' and the best ones 'trial N'; choose another name"
                )
            if not name.isprintable():
                raise ValueError(f"a comparison's name is one line of text, not {name!r}")
            if names.count(name) > 1:
                raise ValueError(f"two comparisons are called {name!r}; rename one")
        return self


class DecideSpec(_Section):
    """How the final classifier decides, and what is kept of it.

    `calibrate` fits a temperature on the validation split, so that probabilities mean what they
    say. `threshold: fitted` takes the threshold of a multi-label task from the validation split,
    for every trial alike; `fixed` leaves it to the config. `ensemble` averages the winner's seeds.
    `keep_model` writes the winner's checkpoint, which plain transformers load.
    """

    calibrate: bool = True
    threshold: Literal["fixed", "fitted"] = "fixed"
    ensemble: bool = False
    keep_model: bool = True


class JobSpec(_Section):
    """One request. `space` is the path of a search-space file, or its content inline.

    `track` names tools that every trial's result is handed to while the study runs.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    task: TaskSpec
    model: ModelSpec = ModelSpec()
    metric: MetricSpec = MetricSpec()
    space: str | dict[str, Any]
    budget: BudgetSpec = BudgetSpec()
    fidelity: FidelitySpec = FidelitySpec()
    resources: ResourcesSpec = ResourcesSpec()
    agent: AgentSpec = AgentSpec()
    finalists: FinalistsSpec = FinalistsSpec()
    decide: DecideSpec = DecideSpec()
    store: str | None = None
    storage: Annotated[str | None, AfterValidator(checked_storage)] = None
    track: Track = ()
    seed: Annotated[int, Field(ge=0)] = 0
    max_failures: Annotated[int, Field(ge=0)] = 2

    @field_validator("name")
    @classmethod
    def _no_name_of_repetitions(cls, name: str) -> str:
        if ".repetitions." in name:
            raise ValueError(
                f"{name!r} is what the repetitions of a study are called; choose another name"
            )
        return name

    @model_validator(mode="after")
    def _something_is_searched(self) -> Self:
        repeated = self.repetitions
        if self.num_search_trials < 1:
            finalists = "1 finalist" if repeated.top == 1 else f"{repeated.top} finalists"
            raise ValueError(
                f"budget.trials {self.budget.trials} leaves nothing for the search: the "
                f"repetitions take {repeated.num_trainings} ({finalists} beside the "
                f"default and comparisons, {repeated.seeds} seeds each); raise it, or lower "
                "finalists.top or finalists.seeds (top: 0 repeats nothing)"
            )
        return self

    @model_validator(mode="after")
    def _an_ensemble_has_members(self) -> Self:
        if self.decide.ensemble and not self.repetitions.top:
            raise ValueError(
                "decide.ensemble needs repetitions, and there are none: raise budget.trials, or "
                "set finalists.top and finalists.seeds"
            )
        return self

    @property
    def repetitions(self) -> Repetitions:
        """What is trained again after the search, as far as the job or its budget says."""
        asked = self.finalists
        return affordable(
            self.budget.trials, top=asked.top, seeds=asked.seeds, others=1 + len(asked.compare)
        )

    @property
    def num_search_trials(self) -> int:
        """Trials of the search: what the repetitions leave of the budget."""
        return self.budget.trials - self.repetitions.num_trainings
