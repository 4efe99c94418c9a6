"""What a supervisor counts as the progress of a study."""

from pathlib import Path

from agent.landscapes import floats, rungs
from lexmove.agent.baselines import make_proposer
from lexmove.app.supervised import progress_of
from lexmove.coordinator.coordinator import Coordinator
from lexmove.coordinator.store import open_store
from lexmove.study.study import StudySpec
from lexmove.study.trial import Measurement


def test_a_driver_that_dies_at_once_makes_none(tmp_path: Path) -> None:
    """However many events it writes: it preempts what was running, and goes on with it."""
    url = f"sqlite:///{tmp_path}/studies.db"
    store = open_store(url)
    store.create(StudySpec(name="s", space=floats(2), fidelity=rungs(4), num_trials=3))

    def driver() -> Coordinator:
        begun = Coordinator(
            store=open_store(url), name="s", proposer=make_proposer("random"), max_failures=3
        )
        begun.recover()
        return begun

    assert progress_of(url, "another") == -1
    assert driver().assign() is not None
    num_events, before = open_store(url).load("s").num_events, progress_of(url, "s")
    for _ in range(3):
        assert driver().assign() is not None
    assert open_store(url).load("s").num_events >= num_events + 6
    assert progress_of(url, "s") == before
    last = driver()
    segment = last.assign()
    assert segment is not None
    last.measured(segment.trial_id, Measurement(fidelity=segment.until, metrics={"value": 1.0}))
    assert progress_of(url, "s") == before + 1
