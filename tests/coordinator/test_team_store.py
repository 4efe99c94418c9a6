"""PostgreSQL as a team's store: what is said when it cannot be had, and what its absence costs."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from coordinator.histories import scripted, spec
from coordinator.network import Network
from coordinator.optuna_files import EVENTS, all_rows, assert_sentence, fill
from lexmove.coordinator.store import open_reader, open_store
from lexmove.coordinator.store_rules import without_password
from lexmove.errors import StoreError, StudyNotFoundError, UsageError
from lexmove.study.study import Study
from postgres_fixture import PostgresServer, free_port


@pytest.fixture
def user(postgres: PostgresServer) -> str:
    return postgres.new_user()


@pytest.fixture
def url(postgres: PostgresServer, user: str) -> str:
    return postgres.url(user)


@pytest.fixture
def network(postgres: PostgresServer) -> Iterator[Network]:
    between = Network(postgres.port)
    yield between
    between.close()


def assert_told(error: Exception, *passwords: str) -> None:
    assert_sentence(error)
    for password in passwords:
        assert password not in str(error)


def tables(postgres: PostgresServer, user: str) -> list[object]:
    statement = "SELECT tablename FROM pg_tables WHERE schemaname = %s"
    with closing(postgres.connect()) as connection:
        return connection.execute(statement, [user]).fetchall()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"password": "wrong"}, r"password authentication failed .*; check user and password in"),
        ({"user": "nobody-we-know"}, r"password authentication failed .*; check user and"),
        ({"database": "stduies"}, r'database "stduies" does not exist; create it there, or name'),
        ({"port": free_port()}, r"Connection refused; start the server, or check host and port"),
    ],
)
def test_a_store_that_cannot_be_opened_says_why_at_once(postgres, user, changes, message):
    store = open_store(postgres.url(**{"user": user} | changes))
    began = time.monotonic()
    for act in (
        store.names,
        lambda: store.load("contracts"),
        lambda: store.create(spec()),
        lambda: store.append("contracts", EVENTS[0]),
    ):
        with pytest.raises(StoreError, match=message) as caught:
            act()
        assert_told(caught.value, postgres.password, "wrong")
    assert time.monotonic() - began < 30


def test_a_password_that_is_missing_is_told(postgres, url, monkeypatch):
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", os.devnull)
    bare = url.replace(f":{postgres.password}@", "@")
    with pytest.raises(StoreError, match=r"no password supplied; put it into ~/\.pgpass") as caught:
        open_store(bare).names()
    assert_told(caught.value)
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    assert open_store(bare).names() == ()


@pytest.mark.parametrize("host", ["me:se@cret@host", "me:secret@host:cret@host"])
def test_a_url_that_is_misread_shows_no_part_of_the_password(host):
    with pytest.raises(UsageError, match="write the special characters of user and") as caught:
        open_store(f"postgresql+psycopg://{host}/studies").names()
    assert_told(caught.value, "cret")


def test_no_form_of_a_url_shows_its_password(postgres, user):
    place = f"127.0.0.1:{postgres.port}/postgres"
    url = f"postgresql+psycopg://{place}?user={user}&password="
    assert open_store(url + postgres.password).names() == ()
    with pytest.raises(StoreError, match="password authentication failed") as caught:
        open_store(f"{url}cret&application_name=x").names()
    assert_told(caught.value, "cret")
    assert without_password(f"{url}cret&a=b") == f"{url}…&a=b"


def test_settings_of_the_url_come_first(postgres, user, url):
    with closing(postgres.connect()) as connection:
        connection.execute(SQL("CREATE SCHEMA team AUTHORIZATION {}").format(Identifier(user)))
    in_schema = f"{url}?options=-csearch_path%3Dteam"
    fill(in_schema, EVENTS[:9])
    assert open_store(in_schema).names() == ("contracts",)
    assert open_store(url).names() == ()


def test_reading_makes_no_tables(postgres, user, url):
    for reader in (open_store(url), open_reader(url)):
        assert reader.names() == ()
        with pytest.raises(StudyNotFoundError, match=r"no study 'x' in .*there is none in it yet"):
            reader.look("x")
    with pytest.raises(StudyNotFoundError):
        open_store(url).append("x", EVENTS[0])
    assert tables(postgres, user) == []


def test_who_may_only_read_can_look(postgres, user, url):
    """Users who share the tables of a database, as a team does."""
    with closing(postgres.connect()) as connection:
        connection.execute("CREATE DATABASE shared")
    with closing(postgres.connect("shared")) as connection:
        owner = postgres.url("admin", database="shared")
        guest = postgres.url(user, database="shared")
        with pytest.raises(StoreError, match=r"permission denied .*; grant the user") as caught:
            open_store(guest).create(spec())
        fill(owner, EVENTS[:9])
        with pytest.raises(StoreError, match=r"permission denied .*; grant the user") as caught:
            open_store(guest).names()
        grant = SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}")
        connection.execute(grant.format(Identifier(user)))
    store = open_store(guest)
    assert store.names() == ("contracts",)
    assert store.load("contracts") == Study.from_events(spec(), EVENTS[:9])
    with pytest.raises(StoreError, match=r"permission denied .*; grant the user") as caught:
        store.append("contracts", EVENTS[9])
    assert_told(caught.value, postgres.password)


def test_several_studies_grow_side_by_side(url):
    """As a team's do: ids and numbers of trials are not the same then."""
    stores = {name: open_store(url) for name in ("one", "two", "three")}
    for name, store in stores.items():
        store.create(spec(name))
    for start in range(0, len(EVENTS), 4):
        for name, store in stores.items():
            store.append(name, *EVENTS[start : start + 4])
    assert open_store(url).names() == tuple(stores)
    for name in stores:
        assert open_store(url).load(name) == Study.from_events(spec(name), EVENTS)


def test_a_server_killed_and_started_again_loses_nothing(mortal):
    """Another process writes all the while, and does not notice but for the time it takes."""
    url = mortal.url(mortal.new_user())
    fill(url, [])
    tests, platform = Path(__file__).parents[1], Path(__file__).parents[2] / "platform"
    writer = subprocess.Popen(
        [sys.executable, tests / "coordinator" / "append_forever.py", url],
        env={**os.environ, "PYTHONPATH": f"{tests}:{platform}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    try:
        said = [writer.stdout.readline() for _ in range(10)]
        for end in (mortal.kill, mortal.stop):
            end()
            time.sleep(0.5)
            mortal.start()
            kept = open_store(url).load("contracts").num_events
            while open_store(url).load("contracts").num_events < kept + 5:
                assert writer.poll() is None, writer.communicate()[1]
                time.sleep(0.1)
    finally:
        writer.kill()
        rest, told = writer.communicate()
    said += rest.splitlines()
    found = open_store(url).load("contracts")
    assert int(said[-1]) < found.num_events
    assert found == Study.from_events(spec(), list(islice(scripted(), found.num_events)))
    assert told.count("waiting up to 60 s for it") == told.count("is there again after") == 2
    assert mortal.password not in told


def test_who_waited_in_vain_says_so_and_can_go_on(mortal, caplog):
    url = mortal.url(mortal.new_user())
    fill(url, EVENTS[:9])
    store = open_store(url, patience_s=0.8)
    assert store.load("contracts").num_events == 9
    mortal.stop()
    try:
        began = time.monotonic()
        with pytest.raises(StoreError, match=r"cannot write study 'contracts' to postgresql") as no:
            store.append("contracts", *EVENTS[9:12])
        assert 0.7 < time.monotonic() - began < 30
        assert_told(no.value, mortal.password)
        for part in ("Connection refused; start the server", "waited for 1 s", "lexmove resume"):
            assert part in str(no.value)
        with pytest.raises(StoreError, match="Connection refused") as no:
            open_store(url, patience_s=0.8).names()
    finally:
        mortal.start()
    assert store.append("contracts", *EVENTS[9:12]).num_events == 12
    assert open_store(url).load("contracts") == Study.from_events(spec(), EVENTS[:12])
    assert mortal.password not in caplog.text


@pytest.mark.parametrize("harm", ["cut", "break_down"])
def test_a_network_that_is_away_for_a_while_loses_nothing(postgres, user, url, network, harm):
    store = open_store(postgres.url(user, port=network.port), patience_s=30)
    store.create(spec())
    appended = []

    def write() -> None:
        for event in EVENTS:
            appended.append(store.append("contracts", event).num_events)
            time.sleep(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    while len(appended) < 10:
        time.sleep(0.01)
    getattr(network, harm)()
    time.sleep(0.8)
    before = len(appended)
    time.sleep(0.4)
    assert len(appended) == before < len(EVENTS)
    network.mend()
    writer.join(timeout=60)
    assert appended == list(range(1, len(EVENTS) + 1))
    assert open_store(url).load("contracts") == Study.from_events(spec(), EVENTS)
    assert len(all_rows(url)["trials"]) == 6


def test_a_server_that_says_nothing_any_more_is_given_up(postgres, user, url, network):
    """Its connection stands: TCP notices nothing."""
    behind = postgres.url(user, port=network.port)
    # So long that a busy server is not given up after the network is mended.
    store = open_store(f"{behind}?connect_timeout=2", patience_s=4)
    store.create(spec())
    store.append("contracts", *EVENTS[:9])
    network.cut()
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"; it was waited for 4 s") as caught:
        store.append("contracts", EVENTS[9])
    assert time.monotonic() - began < 30
    assert_told(caught.value, postgres.password)
    network.mend()
    store.append("contracts", EVENTS[9])
    assert open_store(url).load("contracts") == Study.from_events(spec(), EVENTS[:10])


@pytest.mark.parametrize("first", [6, 7])  # a start, which makes a trial; a measurement
def test_a_commit_whose_answer_was_lost_is_not_repeated(postgres, user, url, network, first):
    store = open_store(postgres.url(user, port=network.port), patience_s=30)
    store.create(spec())
    store.append("contracts", *EVENTS[:first])
    network.break_down_after(b"COMMIT")
    study = store.append("contracts", *EVENTS[first : first + 2])
    assert study.num_events == first + 2
    assert study == Study.from_events(spec(), EVENTS[: first + 2])
    assert open_store(url).load("contracts") == study
    assert len(all_rows(url)["trials"]) == 2
    keys = [key for _, _, key, _ in all_rows(url)["trial_user_attributes"]]
    assert sorted(key for key in keys if key.startswith("event_")) == [
        f"event_{seq:06d}" for seq in range(first + 2)
    ]


@pytest.mark.parametrize("num_commits", [1, 4])  # of the first step; of the last
def test_a_creation_is_taken_up_after_a_lost_answer(postgres, user, url, network, num_commits):
    store = open_store(postgres.url(user, port=network.port), patience_s=30)
    store.create(spec("first"))
    network.break_down_after(b"COMMIT", times=num_commits)
    store.create(spec())
    assert store.append("contracts", *EVENTS[:9]).num_events == 9
    assert open_store(url).load("contracts") == Study.from_events(spec(), EVENTS[:9])
    with pytest.raises(StoreError, match="is already in"):
        store.create(spec())


def test_a_writer_waits_for_the_locks_of_one_that_is_gone(postgres, user, url, network):
    """The server holds what a cut connection had begun until it notices."""
    store = open_store(postgres.url(user, port=network.port), patience_s=30)
    store.create(spec())
    store.append("contracts", *EVENTS[:7])
    with closing(psycopg.connect(url.replace("+psycopg", ""))) as gone:
        gone.execute("UPDATE study_system_attributes SET value_json = value_json")
        ended = threading.Timer(1, gone.rollback)
        ended.start()
        assert store.append("contracts", EVENTS[7]).num_events == 8
        ended.join()
