"""Replays a recorded study decision by decision: a process of its own, for the tests.

    python replaying.py sqlite:////path/studies.db NAME PROPOSER

Prints how many decisions were made again, and fails at the first that differs.
"""

import sys

from lexmove.agent.baselines import make_proposer
from lexmove.coordinator.store import open_store
from lexmove.study.study import Study, carried_out, decision_rng
from lexmove.study.trial import Started


def replay(study: Study, proposer_name: str) -> int:
    """How many decisions come out as they were recorded.

    Raises:
        ValueError: one does not.
    """
    proposer = make_proposer(proposer_name)
    then = study.prefix(0)
    for number, event in enumerate(study.events):
        decision = getattr(event, "decision", None)
        if decision is not None:
            suggestion = proposer.propose(then, decision_rng(then), lane=decision.lane)
            made = suggestion and carried_out(then, suggestion, at_s=event.at_s)
            if isinstance(event, Started):
                found = made and (made.trial_id, made.config, made.until, made.seed, made.decision)
                due = (event.trial_id, event.config, event.until, event.seed, event.decision)
            else:
                found = made and (made.trial_id, made.until, made.decision)
                due = (event.trial_id, event.until, event.decision)
            if found != due:
                raise ValueError(f"event {number}: {found}, recorded {due}")
        then = then.with_event(event)
    return len(study.decisions)


if __name__ == "__main__":
    url, name, proposer = sys.argv[1:]
    print(replay(open_store(url).load(name), proposer))
