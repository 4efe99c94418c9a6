"""One contract for what runs a study: Ray Tune with real workers, and its in-process twin."""

import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from coordinator.studies import SPACE, make, stage_of
from lexmove.agent.baselines import RandomProposer
from lexmove.coordinator.coordinator import Coordinator
from lexmove.coordinator.in_process import run_in_process
from lexmove.coordinator.run import run_stages
from lexmove.coordinator.stage import Work
from lexmove.coordinator.store import MemoryStore
from lexmove.coordinator.study_dir import StudyDir
from lexmove.coordinator.trial_log import log_file
from lexmove.coordinator.tune import Slots, desk_name
from lexmove.errors import ClusterError, StorageError, StoreError, StudyFailedError
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.protocols import Report
from lexmove.study.study import Study, StudySpec
from lexmove.study.trial import Ended, Measured, Segment, TrialStatus
from lexmove.trials.simulated import SimulatedObjective


def run_with_tune(
    coordinator: Coordinator,
    objective,
    study_dir: StudyDir,
    *,
    segment_limit_s: float | None = None,
    on_change=None,
    **options,
) -> None:
    works = {"s": Work(objective=objective, segment_limit_s=segment_limit_s)}
    stages = iter([stage_of(coordinator, study_dir, on_change)])
    run_stages(stages, works, name="s", slots=Slots(parallel=2), tune_dir=study_dir.tune, **options)


def run_here(coordinator: Coordinator, objective, study_dir: StudyDir) -> None:
    run_in_process(stage_of(coordinator, study_dir), objective)


@pytest.mark.parametrize("run", [run_here, run_with_tune])
def test_a_study_with_pauses_runs_to_its_end(run, tmp_path: Path, ray_session):
    coordinator, study_dir = make(tmp_path, num_trials=8, fidelity=FidelityPlan(maximum=4, eta=2))
    objective = SimulatedObjective(space=SPACE, seed=1, max_fidelity=4, write_checkpoints=True)
    run(coordinator, objective, study_dir)
    study = coordinator.study
    assert len(study.trials) == 8
    assert {trial.status for trial in study.trials} <= {
        TrialStatus.COMPLETED,
        TrialStatus.STOPPED,
    }
    assert study.with_status(TrialStatus.COMPLETED)
    for trial in study.trials:
        fidelities = [item.fidelity for item in trial.measurements]
        assert fidelities == list(range(1, trial.fidelity + 1)), "no epoch is trained twice"
    kept = list(study_dir.trials.glob("trial_*/epoch_*"))
    if run is run_with_tune:
        assert len(kept) <= 3, "only the best three checkpoints remain"
    best = study.best_of(study.trials[study.incumbent.trial_id])
    assert best.value == study.incumbent.value


@pytest.mark.parametrize("run", [run_here, run_with_tune])
def test_failures_are_outcomes_with_one_line_of_cause(run, tmp_path: Path, ray_session):
    coordinator, study_dir = make(tmp_path, num_trials=6, fidelity=FidelityPlan(maximum=1))
    faults = {1: "nan", 2: "raise", 4: "memory"}
    objective = SimulatedObjective(space=SPACE, seed=1, max_fidelity=1, faults=faults)
    run(coordinator, objective, study_dir)
    found = [trial.status for trial in coordinator.study.trials]
    assert found == [
        TrialStatus.COMPLETED,
        TrialStatus.FAILED,
        TrialStatus.FAILED,
        TrialStatus.COMPLETED,
        TrialStatus.INFEASIBLE,
        TrialStatus.COMPLETED,
    ]
    reasons = [coordinator.study.trials[trial_id].reason for trial_id in faults]
    assert reasons[0] == "value is nan at fidelity 1"
    assert all(reason and "\n" not in reason for reason in reasons)
    assert "memory" in reasons[2]


@pytest.mark.slow
def test_a_hang_and_a_worker_that_always_dies_end_as_failures(tmp_path: Path, ray_session):
    coordinator, study_dir = make(
        tmp_path, num_trials=4, fidelity=FidelityPlan(maximum=1), max_failures=1
    )
    objective = SimulatedObjective(
        space=SPACE, seed=1, max_fidelity=1, faults={0: "hang", 2: "kill"}
    )
    run_with_tune(coordinator, objective, study_dir, segment_limit_s=4.0)
    hung, _, dying, _ = coordinator.study.trials
    assert hung.status is TrialStatus.FAILED
    assert "time limit of 4 s" in hung.reason
    assert dying.status is TrialStatus.FAILED
    assert dying.reason == "its worker died, 2 times (max_failures)"
    assert len(coordinator.study.with_status(TrialStatus.COMPLETED)) == 2


class TellsItsPid(SimulatedObjective):
    """Leaves its process id, so that the test can kill that very worker."""

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        (trial_dir / "pid").write_text(str(os.getpid()))
        super().__call__(segment, trial_dir=trial_dir, report=report)


def test_a_killed_worker_is_preempted_and_its_trial_goes_on_from_its_checkpoint(
    tmp_path: Path, ray_session
):
    coordinator, study_dir = make(tmp_path, num_trials=3, fidelity=FidelityPlan(maximum=4))
    objective = TellsItsPid(
        space=SPACE, seed=1, max_fidelity=4, epoch_s=0.3, write_checkpoints=True
    )
    killed: list[int] = []

    def kill_once(study: Study) -> None:
        if not killed and len(study.trials) > 1 and study.trials[1].fidelity == 2:
            killed.append(int((study_dir.trial(1) / "pid").read_text()))
            os.kill(killed[0], signal.SIGKILL)

    run_with_tune(coordinator, objective, study_dir, on_change=kill_once)
    study = coordinator.study
    assert killed
    assert [trial.status for trial in study.trials] == [TrialStatus.COMPLETED] * 3
    assert [trial.num_lost_workers for trial in study.trials] == [0, 1, 0]
    assert [item.fidelity for item in study.trials[1].measurements] == [1, 2, 3, 4]


@pytest.mark.slow  # twelve seconds
def test_a_killed_desk_comes_back_and_nothing_is_told_twice(tmp_path: Path, ray_session):
    coordinator, study_dir = make(tmp_path, num_trials=6, fidelity=FidelityPlan(maximum=3))
    objective = SimulatedObjective(space=SPACE, seed=1, max_fidelity=3, epoch_s=0.1)
    killed: list[int] = []

    def kill_at_times(study: Study) -> None:
        if len(killed) < 3 and study.num_events >= 6 * (len(killed) + 1):
            desks = [
                process
                for process in psutil.Process().children(recursive=True)
                if process.name().startswith("ray::Desk") and process.pid not in killed
            ]
            for desk in desks:
                killed.append(desk.pid)
                desk.kill()

    run_with_tune(coordinator, objective, study_dir, on_change=kill_at_times)
    study = coordinator.study
    assert len(killed) >= 3
    assert [trial.status for trial in study.trials] == [TrialStatus.COMPLETED] * 6
    assert all(trial.num_lost_workers == 0 for trial in study.trials)
    for trial in study.trials:
        assert [item.fidelity for item in trial.measurements] == [1, 2, 3]


@pytest.mark.slow  # twelve seconds
def test_a_worker_that_falls_silent_loses_its_trial_and_is_not_heard_later(
    tmp_path: Path, ray_session
):
    """It is stopped, not dead: no one but the lease can tell."""
    coordinator, study_dir = make(tmp_path, num_trials=4, fidelity=FidelityPlan(maximum=3))
    objective = TellsItsPid(
        space=SPACE, seed=1, max_fidelity=3, epoch_s=0.4, write_checkpoints=True
    )
    stopped: list[int] = []

    def stop_once(study: Study) -> None:
        if not stopped and study.trials and study.trials[0].fidelity == 1:
            stopped.append(int((study_dir.trial(0) / "pid").read_text()))
            os.kill(stopped[0], signal.SIGSTOP)

    run_with_tune(coordinator, objective, study_dir, on_change=stop_once, lease_s=3.0)
    if psutil.pid_exists(stopped[0]):
        os.kill(stopped[0], signal.SIGCONT)
    study = coordinator.study
    assert [trial.status for trial in study.trials] == [TrialStatus.COMPLETED] * 4
    assert [trial.num_lost_workers for trial in study.trials] == [1, 0, 0, 0]
    reasons = [event.reason for event in study.trials[0].events if isinstance(event, Ended)]
    assert reasons[0] == "its worker was silent for more than 3 s"
    assert [item.fidelity for item in study.trials[0].measurements] == [1, 2, 3]


def test_where_the_study_stands_is_read_by_the_name_of_its_desk(tmp_path: Path, ray_session):
    import ray

    coordinator, study_dir = make(tmp_path, num_trials=6, fidelity=FidelityPlan(maximum=2))
    objective = SimulatedObjective(space=SPACE, seed=1, max_fidelity=2, epoch_s=0.4)
    seen = []

    def look(study: Study) -> None:
        desk = ray.get_actor(**desk_name("s"))
        seen.append(ray.get(desk.status.remote()))

    run_with_tune(coordinator, objective, study_dir, on_change=look)
    told = [status for status in seen if status]
    assert told, "it is posted once a second"
    assert json.loads(json.dumps(told)) == told
    assert {status["study"] for status in told} == {"s"}
    assert max(status["trials"].get("COMPLETED", 0) for status in told) > 0
    assert set(told[-1]["lanes"].values()) <= set(range(6))
    with pytest.raises(ValueError, match="lexmove-s"):
        ray.get_actor(**desk_name("s"))


class TellsItsName(SimulatedObjective):
    """Leaves what its process is called."""

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        name = Path("/proc/self/cmdline").read_text().partition("\0")[0]
        (trial_dir / "name").write_text(name)
        super().__call__(segment, trial_dir=trial_dir, report=report)


def test_a_worker_is_called_by_the_trial_that_it_runs(tmp_path: Path, ray_session):
    coordinator, study_dir = make(tmp_path, num_trials=3, fidelity=FidelityPlan())
    run_with_tune(coordinator, TellsItsName(space=SPACE, seed=1), study_dir)
    for trial in coordinator.study.trials:
        told = (study_dir.trial(trial.trial_id) / "name").read_text()
        assert told.strip() == f"ray::lexmove s trial {trial.trial_id}"


class Talks(SimulatedObjective):
    """Prints from Python and from C, and goes wrong in trial 1."""

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        print(f"python says {segment.trial_id}")
        os.write(2, f"C says {segment.trial_id}\n".encode())
        if segment.trial_id == 1:
            raise KeyError("a cause\nwith detail")
        super().__call__(segment, trial_dir=trial_dir, report=report)


def test_what_a_trial_prints_is_in_its_log_and_in_the_dashboards_folder(
    tmp_path: Path, ray_session
):
    import ray

    coordinator, study_dir = make(tmp_path, num_trials=3, fidelity=FidelityPlan(maximum=1))
    run_with_tune(coordinator, Talks(space=SPACE, seed=1), study_dir)
    logs = [log_file(study_dir.trial(trial_id)).read_text() for trial_id in range(3)]
    for trial_id, text in enumerate(logs):
        assert f"trial {trial_id}, 0 to 1" in text
        assert f"python says {trial_id}\n" in text
        assert f"C says {trial_id}\n" in text
    assert "Traceback" in logs[1]
    assert "with detail" in logs[1]
    assert "Traceback" not in logs[0] + logs[2]
    node = ray._private.worker._global_node
    shown = Path(node.get_logs_dir_path()) / "lexmove_s_trial_0001.log"
    assert shown.read_text() == logs[1]


class CannotWrite(SimulatedObjective):
    """The disk is full from trial 2 on."""

    def __call__(self, segment: Segment, *, trial_dir: Path, report: Report) -> None:
        if segment.trial_id >= 2:
            raise StorageError("checkpoint cannot be written: No space left on device")
        super().__call__(segment, trial_dir=trial_dir, report=report)


@pytest.mark.parametrize("run", [run_here, pytest.param(run_with_tune, marks=pytest.mark.slow)])
def test_a_full_disk_stops_the_study_and_costs_no_trial(run, tmp_path: Path, ray_session):
    coordinator, study_dir = make(tmp_path, num_trials=6, fidelity=FidelityPlan(maximum=1))
    with pytest.raises(StudyFailedError, match="No space left on device; make room"):
        run(coordinator, CannotWrite(space=SPACE, seed=1), study_dir)
    coordinator.recover()
    study = coordinator.study
    assert not study.with_status(TrialStatus.FAILED)
    assert study.with_status(TrialStatus.PREEMPTED)
    run(coordinator, SimulatedObjective(space=SPACE, seed=1), study_dir)
    assert len(coordinator.study.with_status(TrialStatus.COMPLETED)) == 6


class DiesWhenUnpickled:
    """Stands for a worker that cannot even start, whatever the cause."""

    def __reduce__(self):
        return os._exit, (1,)


@pytest.mark.slow
def test_workers_that_die_before_they_take_a_trial_end_the_study_with_the_cause(
    tmp_path: Path, ray_session
):
    coordinator, study_dir = make(tmp_path, num_trials=3, fidelity=FidelityPlan(maximum=1))
    with pytest.raises(ClusterError, match="5 workers in a row died before they took a trial: "):
        run_with_tune(coordinator, DiesWhenUnpickled(), study_dir)
    assert not coordinator.study.trials


def test_stages_follow_each_other_in_the_same_workers(tmp_path: Path, ray_session):
    """The second one is made only when the first has ended, and no process starts for it."""
    quick = {"num_trials": 4, "fidelity": FidelityPlan(maximum=2, eta=2)}
    objective = SimulatedObjective(
        space=SPACE, seed=1, max_fidelity=2, epoch_s=0.05, write_checkpoints=True
    )
    made: list[Coordinator] = []

    def stages():
        for name in ("first", "second"):
            assert all(each.study.num_trials_left == 0 for each in made), "in turn"
            assert all(not each.study.running for each in made)
            coordinator, study_dir = make(tmp_path / name, **quick)
            made.append(coordinator)
            yield stage_of(coordinator, study_dir, name=name)

    works = {name: Work(objective=objective) for name in ("first", "second")}
    run_stages(stages(), works, name="s", slots=Slots(parallel=2), tune_dir=tmp_path / "tune")
    pids = [
        {path.read_text() for path in (tmp_path / name / "trials").glob("*/pid")}
        for name in ("first", "second")
    ]
    assert pids[1] <= pids[0]
    assert [len(each.study.ranking) for each in made] == [4, 4]


def test_an_error_between_stages_is_raised(tmp_path: Path, ray_session):
    coordinator, study_dir = make(tmp_path, num_trials=1, fidelity=FidelityPlan(maximum=1, eta=2))

    def stages():
        yield stage_of(coordinator, study_dir)
        raise StoreError("no room for a second one")

    objective = SimulatedObjective(space=SPACE, seed=1, max_fidelity=1)
    with pytest.raises(StoreError, match="no room for a second one"):
        run_stages(
            stages(),
            {"s": Work(objective=objective)},
            name="s",
            slots=Slots(),
            tune_dir=tmp_path / "tune",
        )
    assert len(coordinator.study.ranking) == 1


class HiccupStore(MemoryStore):
    """Refuses the first measurement; takes everything else."""

    has_refused = False

    def append(self, name, *events) -> Study:
        if any(isinstance(event, Measured) for event in events) and not self.has_refused:
            self.has_refused = True
            raise StoreError("cannot write to the store: database is locked")
        return super().append(name, *events)


@pytest.mark.parametrize("run", [run_here, run_with_tune])
def test_a_measurement_that_was_not_stored_is_no_failure_of_its_trial(
    run, tmp_path: Path, ray_session
):
    store = HiccupStore()
    store.create(StudySpec(name="s", space=SPACE, num_trials=4, parallel=2))
    study_dir = StudyDir(tmp_path)
    study_dir.create()
    coordinator = Coordinator(store=store, name="s", proposer=RandomProposer())
    with pytest.raises(StoreError, match="database is locked"):
        run(coordinator, SimulatedObjective(space=SPACE, seed=1), study_dir)
    assert not store.load("s").with_status(TrialStatus.FAILED)


class FullDiskStore(MemoryStore):
    """Takes a number of events, then the disk is full."""

    num_left = 5

    def append(self, name, *events) -> Study:
        self.num_left -= len(events)
        if self.num_left < 0:
            raise StoreError("cannot write to the store: no space left on device")
        return super().append(name, *events)


def test_a_store_that_fails_ends_the_study_with_its_own_error(tmp_path: Path, ray_session):
    store = FullDiskStore()
    store.create(StudySpec(name="s", space=SPACE, num_trials=9, parallel=2))
    study_dir = StudyDir(tmp_path)
    study_dir.create()
    coordinator = Coordinator(store=store, name="s", proposer=RandomProposer())
    with pytest.raises(StoreError, match="no space left on device"):
        run_with_tune(coordinator, SimulatedObjective(space=SPACE, seed=1), study_dir)
    assert 0 < len(store.load("s").events) <= 5  # what comes together fits, or none of it
