"""results.dqdashboard_results in a real PostgreSQL: DQD's columns, results of the release that is served only."""

import psycopg2
import pytest
from publish_world import World, labelled

from etl.publish import rollback
from etl.state import connect, create_tables

CHECK = "field_isrequired_person_person_id"
# DQD names these columns in this order.
COLUMNS = [
    "num_violated_rows", "pct_violated_rows", "num_denominator_rows", "execution_time", "query_text", "check_name",
    "check_level", "check_description", "cdm_table_name", "cdm_field_name", "concept_id", "unit_concept_id", "sql_file",
    "category", "subcategory", "context", "warning", "error", "checkid", "is_error", "not_applicable", "failed",
    "passed", "not_applicable_reason", "threshold_value", "notes_value",
]  # fmt: skip


def counted(
    world: World, run_id: str, violated: int, denominator: int = 50, status: str = "failed", **more: str
) -> None:
    """A run with its result of one check of DQD's, and one of ours that is not for this table."""
    world.execute(
        "INSERT INTO etl.dqd_check VALUES (%s, 'isRequired', 'FIELD', 'Rows without a value.', 'PERSON', 'PERSON_ID', "
        "'', '', 'field_is_not_nullable.sql', 'Conformance', 'Relational', 'Validation', 'SELECT 1', true) "
        "ON CONFLICT DO NOTHING",
        (more.get("check", CHECK),),
    )
    for check_id, origin in ((more.get("check", CHECK), "dqd"), ("person.required.person_id", "cdm")):
        world.execute(
            "INSERT INTO etl.check_result (run_id, check_id, table_name, column_name, check_type, severity, violated, "
            "denominator, status, seconds, origin, reason) "
            "VALUES (%s, %s, 'person', 'person_id', 'isRequired', 'critical', %s, %s, %s, 0.25, %s, %s)",
            (run_id, check_id, violated, denominator, status, origin, more.get("reason", "")),
        )


def violated(world: World) -> int:
    """What a reader sees of the one check."""
    number: int = world.value("SELECT sum(num_violated_rows) FROM results.dqdashboard_results", role="reader")
    return number


def release(world: World, run_id: str, number: int, vocabulary: int, base: str = "") -> None:
    """Publish a run whose gate counted this many violations; on a base run, as a delta."""
    contents = labelled(run_id, persons=5)
    if base:
        world.put_in_place(run_id, contents, vocabulary, base)
    else:
        world.publish(run_id, contents, vocabulary)
    counted(world, run_id, number)


def test_the_table_has_dqds_columns_and_a_row_as_dqd_writes_it(world: World) -> None:
    release(world, "run-1", 3, world.vocabulary())
    with world.session("reader") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM dqdashboard_results")
        names = [column.name for column in cursor.description]
        [row] = cursor.fetchall()
    assert names == COLUMNS
    told = dict(zip(names, row, strict=True))
    assert (told["num_violated_rows"], told["num_denominator_rows"], told["pct_violated_rows"]) == (3, 50, 0.06)
    assert (told["failed"], told["passed"], told["is_error"], told["not_applicable"]) == (1, 0, 0, 0)
    assert (told["checkid"], told["cdm_table_name"], told["cdm_field_name"]) == (CHECK, "PERSON", "PERSON_ID")
    assert (told["execution_time"], told["threshold_value"], told["concept_id"]) == ("0.250000 secs", 0, None)


@pytest.mark.parametrize(
    ("status", "flag", "why"),
    [("error", "is_error", "error"), ("not_applicable", "not_applicable", "not_applicable_reason")],
)
def test_what_has_no_counts_says_why(world: World, status: str, flag: str, why: str) -> None:
    world.publish("run-1", labelled("one", persons=5), world.vocabulary())
    counted(world, "run-1", 0, 0, status, reason="because")
    assert world.value(f"SELECT {flag} FROM results.dqdashboard_results", role="reader") == 1
    assert world.value(f"SELECT {why} FROM results.dqdashboard_results", role="reader") == "because"
    counts = "SELECT num_violated_rows IS NULL FROM results.dqdashboard_results"
    assert world.value(counts, role="reader") is (status == "error")


def test_a_run_that_is_counted_but_not_published_is_not_seen(world: World) -> None:
    vocabulary = world.vocabulary()
    release(world, "run-1", 3, vocabulary)
    world.run("run-2", labelled("two", persons=5))
    counted(world, "run-2", 40)
    assert violated(world) == 3
    world.again("run-2", vocabulary)
    assert violated(world) == 40


def test_a_delta_and_a_rollback_bring_the_results_of_the_release_that_is_served(world: World) -> None:
    vocabulary = world.vocabulary()
    release(world, "run-1", 1, vocabulary)
    release(world, "run-2", 2, vocabulary, base="run-1")
    assert violated(world) == 2
    rollback(world.settings, world.database, None)
    assert (world.served(), violated(world)) == ("run-1", 1)
    rollback(world.settings, world.database, 2)
    assert (world.served(), violated(world)) == ("run-2", 2)


def test_a_snapshot_from_before_a_publish_sees_the_results_of_its_release(world: World) -> None:
    vocabulary = world.vocabulary()
    release(world, "run-1", 1, vocabulary)
    with world.session("reader") as reader, reader.cursor() as cursor:
        reader.set_session(isolation_level="REPEATABLE READ")
        cursor.execute("SELECT count(*) FROM results.dqdashboard_results")
        world.run("run-2", labelled("run-2", persons=5))
        counted(world, "run-2", 2)
        world.again("run-2", vocabulary)
        cursor.execute("SELECT num_violated_rows FROM results.dqdashboard_results")
        assert cursor.fetchall() == [(1,)]
    assert violated(world) == 2


def test_the_reader_reads_it_and_neither_changes_it_nor_reads_what_is_behind_it(world: World) -> None:
    release(world, "run-1", 1, world.vocabulary())
    for hidden in ("etl.check_result", "etl.dqd_check"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            world.value(f"SELECT count(*) FROM {hidden}", role="reader")
    may_write = "SELECT has_table_privilege('results.dqdashboard_results', 'INSERT, UPDATE, DELETE')"
    assert world.value(may_write, role="reader") is False


def test_a_table_that_a_site_made_itself_stays_as_it_is(world: World) -> None:
    world.execute("CREATE TABLE results.dqdashboard_results (checkid varchar(1024))")
    release(world, "run-1", 1, world.vocabulary())
    assert world.value("SELECT count(*) FROM results.dqdashboard_results") == 0


def test_a_reader_who_holds_it_open_holds_up_no_command(world: World) -> None:
    """Each command looks whether tables of `etl` are complete; that must not wait for an analyst."""
    release(world, "run-1", 1, world.vocabulary())
    engine = connect(world.database.etl_url + "?options=-clock_timeout%3D2s")
    with world.session("reader") as reader, reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM results.dqdashboard_results")
        create_tables(engine)
    engine.dispose()


def test_a_home_of_an_older_version_gets_the_columns_it_lacks(world: World) -> None:
    world.execute("ALTER TABLE etl.check_result DROP COLUMN reason")
    engine = connect(world.database.etl_url)
    create_tables(engine)
    engine.dispose()
    world.run("run-1", labelled("one", persons=5))
    counted(world, "run-1", 1, reason="told")
    assert world.value("SELECT max(reason) FROM etl.check_result") == "told"
