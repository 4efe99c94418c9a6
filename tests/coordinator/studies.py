"""Small studies of a simulated space, and the stages that run them."""

from pathlib import Path

from lexmove.agent.baselines import RandomProposer
from lexmove.coordinator.coordinator import Coordinator
from lexmove.coordinator.stage import Stage
from lexmove.coordinator.store import MemoryStore
from lexmove.coordinator.study_dir import StudyDir
from lexmove.space.domain import Float
from lexmove.space.search_space import Hyperparameter, SearchSpace
from lexmove.study.fidelity import FidelityPlan
from lexmove.study.study import Study, StudySpec

SPACE = SearchSpace(
    hyperparameters=(
        Hyperparameter(name="lr", domain=Float(low=1e-6, high=1e-3, log=True)),
        Hyperparameter(name="decay", domain=Float(low=0.0, high=0.3)),
    )
)


def make(
    root: Path,
    *,
    num_trials: int,
    fidelity: FidelityPlan,
    parallel: int = 2,
    store: MemoryStore | None = None,
    **options,
) -> tuple[Coordinator, StudyDir]:
    store = store or MemoryStore()
    spec = StudySpec(
        name="s", space=SPACE, num_trials=num_trials, parallel=parallel, fidelity=fidelity
    )
    store.create(spec)
    study_dir = StudyDir(root)
    study_dir.create()
    return Coordinator(store=store, name="s", proposer=RandomProposer(), **options), study_dir


def stage_of(coordinator: Coordinator, study_dir: StudyDir, on_change=None, name="s") -> Stage:
    def check(study: Study) -> None:
        assert study is coordinator.study

    return Stage(
        name=name, coordinator=coordinator, study_dir=study_dir, on_change=on_change or check
    )
