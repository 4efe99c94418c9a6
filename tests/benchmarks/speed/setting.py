"""How large everything is: data, model, studies and repeats, in full or in three minutes."""

from dataclasses import dataclass, replace

from lexmove.job.spec import ModelSpec, TaskSpec

PARALLEL = 2
"""Trials at once, each on one CPU; Ray has no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One size of the benchmark.

    `max_train` and `max_validation` are in examples; `max_epochs` is the length of a full trial,
    `throughput_epochs` how many epochs are timed side by side. `num_equal` trials are trained by
    both arms at equal epochs; random search has `num_random` full trials; slots are watched over
    `num_slotted` trials. `with_own_head` also plays the search with the head that lexmove ships.
    """

    max_train: int = 500
    max_validation: int = 400
    max_epochs: int = 4
    throughput_epochs: int = 4
    num_equal: int = 30
    num_random: int = 30
    num_slotted: int = 30
    with_own_head: bool = True
    repeats: int = 3

    @property
    def task(self) -> TaskSpec:
        """The data of both arms; the test split is there and never read."""
        return TaskSpec(
            name="license_category",
            max_train=self.max_train,
            max_validation=self.max_validation,
            max_test=self.max_validation,
        )

    @property
    def model(self) -> ModelSpec:
        """The model of both arms."""
        return ModelSpec(num_hidden_layers=2, max_length=48)


FULL = Setting()
QUICK = replace(
    FULL,
    max_train=200,
    max_validation=120,
    max_epochs=2,
    num_equal=4,
    num_random=4,
    num_slotted=8,
    with_own_head=False,
    repeats=1,
)
