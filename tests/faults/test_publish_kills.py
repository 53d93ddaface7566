"""kill -9 of a publishing process at every kind of place: the last release stays, the next publish cleans up."""

import signal
from pathlib import Path

import pytest
from publish_world import World, labelled, make_world

from etl.errors import CdmflowError
from etl.postgres import Database
from etl.publish import ensure_release_files
from etl.state.locks import PUBLISH_LOCK

pytestmark = pytest.mark.faults

DIE_AT_A_STAGE = """
def report(stage):
    if stage == given["stage"]:
        die()
world.again("run-2", given["vocabulary"], report=report)
"""

DIE_IN_COPY = """
from contextlib import contextmanager
from etl.publish import transfer
whole = transfer.csv_stream

class Dying:
    def __init__(self, stream):
        self.stream = stream
        self.reads = 0
    def read(self, size):
        self.reads += 1
        if self.reads > 3:
            die()
        return self.stream.read(min(size, 1000))

@contextmanager
def dying(source, table, paths):
    with whole(source, table, paths) as stream:
        yield Dying(stream) if table.name == "measurement" else stream

transfer.csv_stream = dying
world.again("run-2", given["vocabulary"])
"""

DIE_IN_INDEXING = """
from etl.publish import load
def building(connection, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)   # built, and not committed
        die()
statement_of = load._statement
load._statement = lambda statement, doing: (
    (lambda connection: building(connection, statement))
    if "measurement" in statement
    else statement_of(statement, doing)
)
world.again("run-2", given["vocabulary"])
"""

DIE_IN_THE_SWITCH = """
from etl.publish import switch
switch._grant_new_views = lambda cursor: die()   # all views are repointed, nothing is committed
world.again("run-2", given["vocabulary"])
"""

PLACES = {
    "in the lock": (DIE_AT_A_STAGE, "locked"),
    "in the middle of a COPY": (DIE_IN_COPY, ""),
    "after a table": (DIE_AT_A_STAGE, "loaded person"),
    "in an index build": (DIE_IN_INDEXING, ""),
    "after the keys": (DIE_AT_A_STAGE, "indexed"),
    "before the switch": (DIE_AT_A_STAGE, "proven"),
    "inside the switch's transaction": (DIE_IN_THE_SWITCH, ""),
}


@pytest.fixture
def world(fresh_database: Database, home: Path) -> World:
    return make_world(fresh_database, home)


@pytest.fixture
def vocabulary(world: World) -> int:
    """The first release is published; the second run waits to be."""
    number = world.vocabulary()
    world.publish("run-1", labelled("one"), number)
    world.run("run-2", labelled("two", persons=400))
    return number


@pytest.mark.parametrize("place", PLACES)
def test_a_publish_killed_before_its_switch_leaves_the_last_release(place: str, world: World, vocabulary: int) -> None:
    script, stage = PLACES[place]
    ended = world.child(script, vocabulary=vocabulary, stage=stage)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert world.served() == "one"
    assert world.value("SELECT count(*) FROM etl.release") == 1

    world.publish("run-3", labelled("three"), vocabulary)
    assert world.served() == "three"
    assert len(world.schemas()) == 2, "what the killed publish left is gone"


@pytest.mark.parametrize("place", PLACES)
def test_the_killed_run_itself_can_be_published_again(place: str, world: World, vocabulary: int) -> None:
    script, stage = PLACES[place]
    ended = world.child(script, vocabulary=vocabulary, stage=stage)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    release = world.again("run-2", vocabulary)
    assert world.served() == "two"
    assert release.tables["measurement"]["rows"] == 400
    assert world.schemas() == ["cdm_r1", release.schema_name]


def test_a_candidate_that_was_proven_before_the_kill_is_not_loaded_again(world: World, vocabulary: int) -> None:
    world.child(DIE_AT_A_STAGE, vocabulary=vocabulary, stage="proven")
    stages: list[str] = []
    world.again("run-2", vocabulary, report=stages.append)
    assert stages == ["locked", "switched"]
    assert world.served() == "two"


def test_a_publish_killed_right_after_its_switch_is_published_and_gets_its_record(
    world: World, vocabulary: int
) -> None:
    ended = world.child(DIE_AT_A_STAGE, vocabulary=vocabulary, stage="switched")
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert world.served() == "two"
    record = world.settings.releases_dir / "2" / "release.json"
    assert not record.exists()
    assert ensure_release_files(world.settings, world.database) == [record]
    assert world.again("run-2", vocabulary).release_id == 2
    assert world.schemas() == ["cdm_r1", "cdm_r2"]


def test_a_half_loaded_vocabulary_is_dropped_and_loaded_anew(world: World, vocabulary: int) -> None:
    newer = world.vocabulary("v2")
    script = DIE_AT_A_STAGE.replace('given["vocabulary"]', 'given["newer"]')
    world.child(script, newer=newer, stage="loaded concept_class")
    assert world.value("SELECT schema_name FROM etl.vocabulary WHERE vocabulary_id = %s", (newer,)) is None
    assert world.schemas("vocabulary_v%") == ["vocabulary_v1", "vocabulary_v2"]
    world.again("run-2", newer)
    assert world.value("SELECT vocabulary_version FROM cdm.vocabulary", role="reader") == "v2"
    assert world.served() == "two"


def test_a_row_changed_behind_the_loaders_back_is_refused(world: World, vocabulary: int) -> None:
    def tamper(stage: str) -> None:
        if stage == "loaded person":
            world.execute("UPDATE cdm_r2.person SET person_source_value = 'other' WHERE person_id = 7")

    with pytest.raises(CdmflowError, match="person in PostgreSQL is not what was loaded") as caught:
        world.again("run-2", vocabulary, report=tamper)
    assert "other contents" in str(caught.value)
    assert world.served() == "one"
    assert world.schemas() == ["cdm_r1"]


def test_a_publisher_that_lost_its_lock_cannot_switch(world: World, vocabulary: int) -> None:
    """Its lock session ends while it loads, another run publishes, and the first comes too late."""
    end_lock = (
        "SELECT pg_terminate_backend(pid) FROM pg_locks "
        "WHERE locktype = 'advisory' AND objid = %s AND database = (SELECT oid FROM pg_database WHERE datname = %s)"
    )

    def lose(stage: str) -> None:
        if stage == "indexed":
            world.value(end_lock, (PUBLISH_LOCK, world.database.dbname))

    with pytest.raises(CdmflowError):
        world.again("run-2", vocabulary, report=lose)
    assert world.served() == "one"
    world.publish("run-3", labelled("three"), vocabulary)
    with pytest.raises(CdmflowError, match="run-2 is failed"):
        world.execute("UPDATE etl.run SET status = 'failed' WHERE run_id = 'run-2'")
        world.again("run-2", vocabulary)
    assert world.served() == "three"
