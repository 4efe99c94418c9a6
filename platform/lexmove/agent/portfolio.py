"""The start portfolio: the space's default, then Sobol points until the surrogate knows enough."""

import numpy as np

from lexmove.agent.candidates import Kind
from lexmove.agent.encoding import SAME_TOLERANCE, Array, Encoding, nearest
from lexmove.study.study import Study

NUM_SCORED_BEFORE_FLOOR = 3
"""Trials with a result before the floor decides (measured: README.md)."""

_MAX_TRIES = 64


def next_start(
    study: Study, encoding: Encoding, seen_ND: Array, *, num_scored: int
) -> tuple[Kind, Array] | None:
    """What to start without asking the surrogate; None when the surrogate should decide.

    Returns the kind ("default" or "global") and the point (D,).
    """
    default = encoding.space.to_unit(encoding.space.default)
    if not study.trials:
        return "default", default
    if num_scored >= NUM_SCORED_BEFORE_FLOOR:
        return None
    units = sobol_point(study, encoding, seen_ND)
    return None if units is None else ("global", units)


def sobol_point(study: Study, encoding: Encoding, seen_ND: Array) -> Array | None:
    """The next new and allowed point (D,) of the study's own scrambled Sobol sequence.

    Its index is the number of trials; points that are taken or forbidden are passed over. None
    when the next 64 all are.
    """
    # Imported here: scipy.stats takes longer to load than the rest of the agent.
    from scipy.stats import qmc

    first = len(study.trials)
    engine = qmc.Sobol(encoding.num_dims, scramble=True, rng=np.random.default_rng(study.spec.seed))
    num_bits = int(np.ceil(np.log2(first + _MAX_TRIES)))
    points = encoding.snap(engine.random_base2(num_bits)[first : first + _MAX_TRIES])
    is_free = (nearest(points, seen_ND) > SAME_TOLERANCE) & ~encoding.forbidden(points)
    return points[np.argmax(is_free)] if is_free.any() else None
