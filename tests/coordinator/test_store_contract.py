"""What every trial store promises, in memory, in SQLite, in PostgreSQL and in a journal file."""

import itertools
import math
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from coordinator.histories import scripted, spec
from coordinator.optuna_files import KINDS, new_store
from lexmove.coordinator.store import MemoryStore, open_store
from lexmove.errors import StoreError, StudyNotFoundError, UsageError
from lexmove.space.search_space import Config
from lexmove.study.heartbeat import Heartbeat
from lexmove.study.protocols import TrialStore
from lexmove.study.starts import asked_for
from lexmove.study.study import Study
from lexmove.study.trial import Ended, Measured, Measurement, TrialStatus, event_to_json
from strategies import journals

Opener = Callable[[], TrialStore]
EVENTS = list(itertools.islice(scripted(), 36))


@pytest.fixture(params=["memory", *KINDS], scope="module")
def opener(request, tmp_path_factory) -> Opener:
    """Opens the same store anew at each call."""
    if request.param == "memory":
        store = MemoryStore()
        return lambda: store
    url = new_store(request.param, tmp_path_factory.mktemp(request.param), request)
    return lambda: open_store(url)


def named(opener: Opener, request, **changes) -> tuple[TrialStore, str]:
    store, name = opener(), request.node.name
    store.create(spec(name, **changes))
    return store, name


def filled(opener: Opener, request, events, **changes) -> tuple[TrialStore, str]:
    store, name = named(opener, request, **changes)
    for event in events:
        store.append(name, event)
    return store, name


def test_a_new_study_is_empty_and_keeps_its_spec(opener, request):
    _, name = named(opener, request, goal="minimize", seed=7)
    assert opener().load(name) == Study(spec=spec(name, goal="minimize", seed=7))


def test_load_gives_what_was_appended(opener, request):
    _, name = filled(opener, request, EVENTS)
    assert opener().load(name) == Study.from_events(spec(name), EVENTS)


def test_every_prefix_is_a_study(opener, request):
    store, name = named(opener, request)
    for index, event in enumerate(EVENTS[:9]):
        assert store.load(name) == Study.from_events(spec(name), EVENTS[:index])
        store.append(name, event)


def test_the_last_sign_of_life_is_known_to_all_and_is_no_event(opener, request):
    store, name = filled(opener, request, EVENTS[:9])
    assert opener().heartbeat(name) is None
    for at_s in (1.5, 2.5):
        heartbeat = Heartbeat(runner="17 of node-7 pid:[4026531836]", at_s=at_s)
        store.beat(name, heartbeat)
        assert opener().heartbeat(name) == heartbeat
        store.append(name, EVENTS[9])
    assert opener().heartbeat(name) == heartbeat
    other = Heartbeat(runner="18 of node-8 pid:[4026531836]", at_s=3.5)
    assert store.beat(name, other, instead_of=heartbeat)
    assert not opener().beat(name, heartbeat, instead_of=heartbeat), "it is not the last any more"
    assert opener().heartbeat(name) == other
    assert store.beat(name, None)
    assert opener().heartbeat(name) is None
    assert opener().load(name) == Study.from_events(spec(name), EVENTS[:10])
    for act in (lambda: store.heartbeat("no"), lambda: store.beat("no", None)):
        with pytest.raises(StudyNotFoundError, match="no study 'no'"):
            act()


def test_what_is_deleted_is_gone_and_its_name_is_free(opener, request):
    store, name = filled(opener, request, EVENTS)
    kept = f"{name}-2"
    store.create(spec(kept))
    store.append(kept, EVENTS[0])
    store.delete(name)
    assert (name in opener().names(), kept in opener().names()) == (False, True)
    assert opener().load(kept).num_events == 1
    for act in (store.load, opener().load, store.delete, opener().delete):
        with pytest.raises(StudyNotFoundError, match=re.escape(f"no study {name!r}")):
            act(name)
    store.create(spec(name, seed=7))
    store.append(name, EVENTS[0])
    assert opener().load(name) == Study.from_events(spec(name, seed=7), EVENTS[:1])


def test_a_reader_beside_the_writer_sees_every_event(opener, request):
    store, name = named(opener, request)
    reader = opener()
    for index, event in enumerate(EVENTS[:9]):
        store.append(name, event)
        assert reader.load(name).num_events == index + 1


def test_appending_again_changes_nothing(opener, request):
    store, name = filled(opener, request, EVENTS[:20])
    for event in EVENTS[:20]:
        store.append(name, event)
    for event in EVENTS[:20:6]:
        opener().append(name, event)
    assert opener().load(name) == Study.from_events(spec(name), EVENTS[:20])


def test_another_process_goes_on(opener, request):
    _, name = filled(opener, request, EVENTS[:20])
    store = opener()
    for event in EVENTS[20:30]:
        store.append(name, event)
    assert opener().load(name).num_events == 30


def test_an_instance_that_was_overtaken_catches_up(opener, request):
    store, name = filled(opener, request, EVENTS[:10])
    other = opener()
    for event in EVENTS[10:20]:
        other.append(name, event)
    store.append(name, EVENTS[20])
    assert opener().load(name).num_events == 21


def test_a_gap_is_refused(opener, request):
    store, name = filled(opener, request, EVENTS[:3])
    with pytest.raises(StoreError, match="does not follow event 2"):
        store.append(name, EVENTS[4])
    assert opener().load(name).num_events == 3


def test_an_ended_trial_takes_no_event(opener, request):
    store, name = filled(opener, request, EVENTS[:6])
    late = Measured(seq=6, at_s=1.0, trial_id=0, measurement=Measurement(fidelity=3, metrics={}))
    with pytest.raises(StoreError, match="trial 0, which has ended"):
        store.append(name, late)
    store.append(name, EVENTS[6])
    assert opener().load(name).num_events == 7


def test_nan_and_infinity_come_back(opener, request):
    store, name = filled(opener, request, EVENTS[:1])
    values = {"f1_macro": math.nan, "loss": math.inf, "gain": -math.inf}
    store.append(
        name,
        Measured(seq=1, at_s=1.0, trial_id=0, measurement=Measurement(fidelity=1, metrics=values)),
    )
    store.append(name, Ended(seq=2, at_s=1.0, trial_id=0, status=TrialStatus.FAILED, reason="nan"))
    found = opener().load(name).trials[0].measurements[0].metrics
    assert math.isnan(found["f1_macro"])
    assert (found["loss"], found["gain"]) == (math.inf, -math.inf)


def test_names_are_in_order_of_creation(opener, request):
    store = opener()
    names = [f"{request.node.name}-{letter}" for letter in "zay"]
    for name in names:
        store.create(spec(name))
    assert [name for name in opener().names() if name in names] == names


def test_a_study_is_created_once(opener, request):
    store, name = filled(opener, request, EVENTS[:2])
    with pytest.raises(StoreError, match=r"is already in .*resume"):
        store.create(spec(name))
    assert opener().load(name).num_events == 2


def test_an_unknown_study_is_named_with_the_nearest(opener, request):
    store = opener()
    store.create(spec("ledgar-modernbert" + str(id(request))))
    with pytest.raises(StudyNotFoundError, match="did you mean 'ledgar-modernbert"):
        store.load("ledgar-modernbrt" + str(id(request)))
    for act in (lambda: store.append("nothing", EVENTS[0]), lambda: store.extend("nothing", 3)):
        with pytest.raises(StudyNotFoundError, match="no study 'nothing'"):
            act()


def test_extend_sets_the_budget(opener, request):
    store, name = filled(opener, request, EVENTS[:5])
    store.extend(name, 2000)
    store.append(name, EVENTS[5])
    expected = Study.from_events(spec(name, num_trials=2000), EVENTS[:6])
    assert opener().load(name) == store.load(name) == expected
    with pytest.raises(UsageError, match="1 or more"):
        store.extend(name, 0)


def test_more_starts_may_be_planned(opener, request):
    store, name = filled(opener, request, EVENTS[:5])
    first, second = (
        asked_for(Config({"x": value}), by="you", after=after)
        for value, after in ((0.5, 3), (1, 9))
    )
    store.extend(name, 50, [first])
    store.extend(name, 51, [second])
    for found in (store, opener()):
        assert found.load(name).spec.starts == (first, second)


def wanted(value, after=0):
    return asked_for(Config({"x": value}), by="you", after=after)


def test_what_is_requested_beside_the_writer_is_planned_by_it_once(opener, request):
    store, name = filled(opener, request, EVENTS[:9])
    assert (opener().requests(name), store.plan_requests(name)) == ((), None)
    num_started = len(store.load(name).trials)
    for value in (0.5, 1, 0.5):
        opener().request(name, wanted(value))
    assert opener().requests(name) == (wanted(0.5), wanted(1), wanted(0.5))
    assert opener().load(name).spec == spec(name), "nothing changes for who runs it"
    store.append(name, EVENTS[9])
    planned = store.plan_requests(name)
    starts = tuple(wanted(value, num_started) for value in (0.5, 1))
    expected = spec(name, num_trials=spec(name).num_trials + 2, starts=starts)
    assert planned == Study.from_events(expected, EVENTS[:10])
    assert (opener().requests(name), store.plan_requests(name)) == ((), None)
    store.append(name, EVENTS[10])
    for found in (store, opener()):
        assert found.load(name) == Study.from_events(expected, EVENTS[:11])


def test_what_was_tried_or_planned_meanwhile_is_dropped(opener, request):
    store, name = filled(opener, request, EVENTS[:9])
    store.extend(name, 60, [wanted(0.5, 3)])
    tried = asked_for(store.load(name).trials[0].config, by="you")
    for start in (tried, wanted(0.5)):
        opener().request(name, start)
    before = store.load(name)
    assert store.plan_requests(name) is None
    assert (opener().load(name), opener().requests(name)) == (before, ())


def test_requests_go_with_their_study(opener, request):
    store, name = named(opener, request)
    store.request(name, wanted(0.5))
    store.delete(name)
    store.create(spec(name))
    assert opener().requests(name) == ()
    asks = (lambda: store.request("no", wanted(1)), lambda: store.requests("no"))
    for act in (*asks, lambda: store.plan_requests("no")):
        with pytest.raises(StudyNotFoundError, match="no study 'no'"):
            act()


def test_any_history_comes_back(opener):
    """Property: what is loaded is what was appended; compared as text, for NaN equals nothing."""
    counter = itertools.count()

    @settings(max_examples=10, suppress_health_check=list(HealthCheck))
    @given(journal=journals(max_events=12))
    def check(journal):
        random_spec, events = journal
        kept = replace(random_spec, name=f"history-{next(counter)}")
        store = opener()
        store.create(kept)
        for event in events:
            store.append(kept.name, event)
        for found in (store.load(kept.name), opener().load(kept.name)):
            assert found.spec == kept
            assert list(map(event_to_json, found.events)) == list(map(event_to_json, events))

    check()
