"""Readers during publishes: whole releases only, nobody interrupted, and a switch that gives way."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from publish_world import World, labelled, make_world

from etl.errors import CdmflowError
from etl.postgres import Database

pytestmark = pytest.mark.faults

PERSONS = 200
ONE_STATEMENT = """
    SELECT (SELECT min(person_source_value) FROM cdm.person), (SELECT max(person_source_value) FROM cdm.person),
        (SELECT count(*) FROM cdm.person), (SELECT min(measurement_source_value) FROM cdm.measurement),
        (SELECT count(*) FROM cdm.measurement), (SELECT max(cdm_source_name) FROM cdm.cdm_source),
        (SELECT max(vocabulary_version) FROM cdm.vocabulary), (SELECT count(*) FROM cdm.concept)
"""
Seen = tuple[Any, ...]


@pytest.fixture
def world(fresh_database: Database, home: Path) -> World:
    return make_world(fresh_database, home)


def complaint(seen: Seen, vocabularies: Mapping[str, str] | None = None) -> str | None:
    """What is wrong with what a reader saw; every release has its label everywhere, and its vocabulary's version."""
    first, last, persons, measured, measurements, source, version, concepts = seen
    if not first == last == measured == source:
        return f"a mix: {seen}"
    if (persons, measurements, concepts) != (PERSONS, PERSONS, 3):
        return f"rows missing: {seen}"
    expected = vocabularies[first] if vocabularies else f"vocabulary of {first}"
    return None if version == expected else f"another release's vocabulary: {seen}"


def read_committed(connection: Any) -> Seen:
    """One statement over several tables."""
    connection.rollback()
    connection.set_session(isolation_level="READ COMMITTED", readonly=True, autocommit=True)
    with connection.cursor() as cursor:
        cursor.execute(ONE_STATEMENT)
        return tuple(cursor.fetchone())


def repeatable_read(connection: Any) -> Seen:
    """One transaction of several statements with pauses; its snapshot may be older than the release it reads."""
    connection.rollback()
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
    seen: list[Any] = []
    statements = [statement.strip(" ,\n") for statement in ONE_STATEMENT.replace("SELECT (", "(", 1).split("),")]
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")  # the snapshot is taken here
        for statement in statements:
            time.sleep(random.uniform(0, 0.004))
            cursor.execute(statement.strip("() "))
            seen.append(cursor.fetchone()[0])
    return tuple(seen)


@contextmanager
def polling(
    world: World, read: Callable[[Any], Seen], vocabularies: Mapping[str, str] | None = None, pause_s: float = 0.0
) -> Iterator[tuple[list[Seen], list[str]]]:
    """A reader in a thread of its own; what it saw, and what was wrong with it or with its session."""
    seen: list[Seen] = []
    wrong: list[str] = []
    stop = threading.Event()

    def poll() -> None:
        try:
            with world.session("reader") as connection:
                while not stop.wait(pause_s):
                    seen.append(read(connection))
                    if problem := complaint(seen[-1], vocabularies):
                        wrong.append(problem)
        except Exception as error:  # noqa: BLE001 - a reader's error is a finding of the test
            wrong.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield seen, wrong
    finally:
        stop.set()
        thread.join(60)


def test_readers_see_whole_releases_only_while_releases_and_vocabularies_change(world: World) -> None:
    world.publish("run-0", labelled("r0", PERSONS), world.vocabulary("vocabulary of r0"))
    with (
        polling(world, read_committed) as (statements, wrong_statements),
        polling(world, repeatable_read) as (transactions, wrong_transactions),
    ):
        for number in range(1, 7):
            label = f"r{number}"
            world.publish(f"run-{number}", labelled(label, PERSONS), world.vocabulary(f"vocabulary of {label}"))
        time.sleep(0.3)
    assert wrong_statements == []
    assert wrong_transactions == []
    assert len(statements) > 100
    assert len(transactions) > 50
    assert len({seen[0] for seen in statements}) >= 5, "the reader was there while releases changed"
    assert statements[-1][0] == "r6"
    assert world.schemas() == ["cdm_r5", "cdm_r6", "cdm_r7"]


def test_twenty_readers_see_whole_releases_only_through_twenty_publishes_full_and_in_place(world: World) -> None:
    """Every second publish puts rows in place, every fourth of all with another vocabulary at once."""
    publishes, readers = 20, 20
    vocabulary = world.vocabulary("vocabulary of r0")
    world.publish("run-0", labelled("r0", PERSONS), vocabulary)
    names = {"r0": "vocabulary of r0"}
    with ExitStack() as stack:
        polled = [
            stack.enter_context(polling(world, read_committed if number % 2 else repeatable_read, names, 0.2))
            for number in range(readers)
        ]
        for number in range(1, publishes + 1):
            label, before = f"r{number}", f"run-{number - 1}"
            if number % 4 in (0, 1):
                vocabulary = world.vocabulary(f"vocabulary of {label}")
            names[label] = f"vocabulary of {label}" if number % 4 in (0, 1) else names[f"r{number - 1}"]
            if number % 2:
                world.publish(f"run-{number}", labelled(label, PERSONS), vocabulary)
            else:
                world.put_in_place(f"run-{number}", labelled(label, PERSONS), vocabulary, before)
        time.sleep(0.5)
    assert [wrong for _, wrong in polled if wrong] == []
    assert min(len(seen) for seen, _ in polled) >= publishes
    assert {seen[-1][0] for seen, _ in polled} == {f"r{publishes}"}
    definition = "SELECT pg_get_viewdef('cdm.concept'::regclass)"
    assert "withdrawn_at" not in world.value(definition), "the views have one vocabulary again"


def test_a_snapshot_older_than_an_adoption_reads_the_old_rows_with_the_old_vocabulary(world: World) -> None:
    """Rows put in place are as the snapshot has them, and so must be the vocabulary that the views give."""
    world.publish("run-0", labelled("r0", PERSONS), world.vocabulary("vocabulary of r0"))
    with world.session("reader") as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            world.put_in_place("run-1", labelled("r1", PERSONS), world.vocabulary("vocabulary of r1"), "run-0")
            assert world.served() == "r1"
            cursor.execute(ONE_STATEMENT)
            seen = tuple(cursor.fetchone())
    assert seen[0] == "r0"
    assert complaint(seen) is None
    world.put_in_place("run-2", labelled("r2", PERSONS), 2, "run-1")
    assert "withdrawn_at" not in world.value("SELECT pg_get_viewdef('cdm.concept'::regclass)")


def test_a_snapshot_older_than_the_switch_reads_the_new_release_whole(world: World) -> None:
    """FREEZE: its rows are visible to a snapshot that was taken before they were loaded."""
    world.publish("run-0", labelled("r0", PERSONS), world.vocabulary("vocabulary of r0"))
    with world.session("reader") as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            world.publish("run-1", labelled("r1", PERSONS), world.vocabulary("vocabulary of r1"))
            cursor.execute(ONE_STATEMENT)
            seen = tuple(cursor.fetchone())
    assert seen[0] == "r1"
    assert complaint(seen) is None


def test_a_long_reader_makes_the_switch_try_again_and_then_fail_and_later_it_only_switches(world: World) -> None:
    vocabulary = world.vocabulary()
    world.publish("run-1", labelled("one"), vocabulary)
    stages: list[str] = []
    with world.session("reader") as reader, reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM cdm.death")  # the transaction stays open
        began = time.monotonic()
        with pytest.raises(CdmflowError, match=r"Readers held views of cdm for 3 s without a gap"):
            world.publish("run-2", labelled("two"), vocabulary, patience_s=3.0, report=stages.append)
        assert time.monotonic() - began < 20
        assert stages.count("switch waits") >= 3
        cursor.execute("SELECT min(person_source_value) FROM cdm.person")
        assert cursor.fetchone()[0] == "one", "the reader was not interrupted and reads on in its release"
    assert world.served() == "one"
    assert world.value("SELECT count(*) FROM etl.release") == 1

    stages.clear()
    release = world.again("run-2", vocabulary, report=stages.append)
    assert stages == ["locked", "switched"], "the proven candidate was kept"
    assert release.release_id == 2
    assert world.served() == "two"


def test_a_switch_waits_for_a_gap_between_readers(world: World) -> None:
    vocabulary = world.vocabulary()
    world.publish("run-1", labelled("one"), vocabulary)
    waited = threading.Event()

    def listen(stage: str) -> None:
        if stage == "switch waits":
            waited.set()

    with world.session("reader") as reader:
        reader.cursor().execute("SELECT count(*) FROM cdm.person")
        ending = threading.Thread(target=lambda: (waited.wait(60), reader.rollback()))
        ending.start()
        world.publish("run-2", labelled("two"), vocabulary, report=listen)
        ending.join()
    assert waited.is_set()
    assert world.served() == "two"


def test_other_readers_are_not_held_up_for_as_long_as_a_switch_waits(world: World) -> None:
    vocabulary = world.vocabulary()
    world.publish("run-1", labelled("one"), vocabulary)
    longest = 0.0
    done = threading.Event()

    def poll() -> None:
        nonlocal longest
        with world.session("reader") as connection:
            connection.autocommit = True
            while not done.is_set():
                began = time.monotonic()
                connection.cursor().execute("SELECT count(*) FROM cdm.person JOIN cdm.measurement USING (person_id)")
                longest = max(longest, time.monotonic() - began)

    thread = threading.Thread(target=poll)
    with world.session("reader") as blocker:
        blocker.cursor().execute("SELECT count(*) FROM cdm.provider")
        thread.start()
        with pytest.raises(CdmflowError, match="without a gap"):
            world.publish("run-2", labelled("two"), vocabulary, patience_s=4.0)
        done.set()
        thread.join()
    assert 0 < longest < 3  # of 4 s that the switch waits; lock_timeout is 0.3 s, the rest is this machine's load
