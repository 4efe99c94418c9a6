"""Repetitions: how much of a budget trains the best configs again, with fresh seeds."""

from dataclasses import dataclass

_OFFERS = ((3, 3), (3, 2), (2, 2), (1, 2), (1, 1))
"""Finalists and seeds, the most telling first; a budget takes the first that it can pay."""

_PARTS = 3
"""Of as many parts of a budget one may go into repetitions that the job leaves open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetitions:
    """How many finalists are repeated beside how many other configs, with how many seeds each."""

    top: int
    others: int
    seeds: int

    @property
    def num_trainings(self) -> int:
        """Full trainings that they take."""
        return (self.top + self.others) * self.seeds if self.top else 0


def affordable(num_trials: int, *, top: int | None, seeds: int | None, others: int) -> Repetitions:
    """What a budget of `num_trials` trainings spends on repetitions.

    `top` finalists and `seeds` are kept where they are given. What is open is the most telling that
    a third of the budget pays for; none at all where even the least costs more.
    """
    offers = [
        Repetitions(
            top=offered_top if top is None else top,
            others=others,
            seeds=offered_seeds if seeds is None else seeds,
        )
        for offered_top, offered_seeds in _OFFERS
    ]
    paid = [offer for offer in offers if _PARTS * offer.num_trainings <= num_trials]
    if paid:
        return paid[0]
    return Repetitions(top=0, others=others, seeds=1) if top is None else offers[-1]
