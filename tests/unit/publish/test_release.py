"""A release from a candidate: what is there afterwards, who may read it, what is refused."""

import json
import logging

import psycopg2
import pytest
from publish_world import World, labelled

from etl.cdm import index_ddl, tables
from etl.errors import CdmflowError, Locked
from etl.publish import ensure_release_files, publish_vocabulary, release_record
from etl.publish.load import unindexed_references
from etl.publish.session import publishing
from etl.publish.switch import served_tables


def test_every_table_of_the_specification_is_there_also_the_empty_ones(world: World) -> None:
    world.publish("run-1", labelled("one"), world.vocabulary())
    for table in served_tables():
        listed = (
            "SELECT array_agg(column_name::text ORDER BY ordinal_position) FROM information_schema.columns "
            "WHERE table_schema = 'cdm' AND table_name = %s"
        )
        assert tuple(world.value(listed, (table.name,))) == table.column_names
    assert world.value("SELECT count(*) FROM cdm.specimen", role="reader") == 0
    assert world.value("SELECT count(*) FROM results.cohort", role="reader") == 0
    assert world.value("SELECT count(*) FROM results.cohort_definition", role="reader") == 0


def test_keys_indexes_and_foreign_keys_are_all_there_and_valid(world: World) -> None:
    world.publish("run-1", labelled("one"), world.vocabulary())
    counted = (
        "SELECT count(*) FROM pg_constraint WHERE connamespace = '{}'::regnamespace AND contype = '{}' AND convalidated"
    )
    for schema, kind in (("cdm_r1", "CDM"), ("vocabulary_v1", "VOCAB")):
        own = [table for table in tables().values() if table.schema == kind]
        keys = sum(1 for table in own if table.primary_key)
        references = sum(1 for table in own for field in table.fields if field.foreign_table)
        indexes = sum(len(index_ddl(table, schema)) + len(unindexed_references(table)) for table in own)
        assert world.value(counted.format(schema, "p")) == keys
        assert world.value(counted.format(schema, "f")) == references
        assert world.value("SELECT count(*) FROM pg_indexes WHERE schemaname = %s", (schema,)) == keys + indexes
    assert world.value("SELECT reltuples FROM pg_class WHERE oid = 'cdm_r1.person'::regclass") == 50
    assert world.value("SELECT count(*) FROM pg_class WHERE relname = 'person' AND reloptions IS NOT NULL") == 0


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_digests_do_not_depend_on_the_number_of_workers(world: World, workers: int) -> None:
    from dataclasses import replace

    other = World(replace(world.settings, workers=workers), world.database)
    release = other.publish("run-1", labelled("one"), other.vocabulary())
    assert release.rows == 101
    assert release.tables["cdm_source"]["rows"] == 1
    assert release.tables["specimen"] == {"rows": 0, "digest": "0:0:0"}
    assert release.tables["person"]["digest"].startswith("50:")


def test_the_same_run_published_twice_is_one_release(world: World) -> None:
    vocabulary = world.vocabulary()
    first = world.publish("run-1", labelled("one"), vocabulary)
    world.execute("UPDATE etl.run SET status = 'published' WHERE run_id = 'run-1'")
    second = world.again("run-1", vocabulary)
    assert first == second
    assert world.schemas() == ["cdm_r1"]


def test_the_reader_reads_the_views_and_nothing_behind_them(world: World) -> None:
    world.publish("run-1", labelled("one"), world.vocabulary())
    assert world.value("SELECT count(*) FROM cdm.person", role="reader") == 50
    assert world.value("SELECT concept_name FROM cdm.concept WHERE concept_id = 8507", role="reader") == "MALE"
    for hidden in ("cdm_r1.person", "vocabulary_v1.concept", "etl.person", "etl.release"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            world.value(f"SELECT count(*) FROM {hidden}", role="reader")
    with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ReadOnlySqlTransaction)):
        world.value("DELETE FROM cdm.person RETURNING 1", role="reader")


def test_grants_and_views_of_analysts_survive_the_next_release(world: World) -> None:
    vocabulary = world.vocabulary()
    world.publish("run-1", labelled("one"), vocabulary)
    world.execute("CREATE VIEW results.men AS SELECT * FROM cdm.person WHERE gender_concept_id = 8507")
    world.execute("REVOKE SELECT ON cdm.note FROM cdm_reader; GRANT SELECT ON cdm.person TO cdm_reader")
    world.publish("run-2", labelled("two", persons=7), vocabulary)
    assert world.value("SELECT count(*) FROM results.men", role="reader") == 7
    assert world.served() == "two"


def test_cohorts_of_analysts_are_kept_over_releases(world: World) -> None:
    vocabulary = world.vocabulary()
    world.publish("run-1", labelled("one"), vocabulary)
    world.execute("INSERT INTO results.cohort VALUES (1, 1, '2020-01-01', '2020-12-31')")
    world.publish("run-2", labelled("two"), vocabulary)
    assert world.value("SELECT count(*) FROM results.cohort", role="reader") == 1


def test_as_many_releases_are_kept_as_configured_and_older_ones_go_with_their_vocabulary(world: World) -> None:
    old, new = world.vocabulary("v1"), world.vocabulary("v2")
    world.publish("run-1", labelled("one"), old)
    for number in (2, 3, 4, 5):
        world.publish(f"run-{number}", labelled(f"release {number}"), new)
    assert world.schemas() == ["cdm_r3", "cdm_r4", "cdm_r5"]
    assert world.schemas("vocabulary_v%") == [f"vocabulary_v{new}"]
    assert world.value("SELECT schema_name FROM etl.vocabulary WHERE vocabulary_id = %s", (old,)) is None
    assert world.value("SELECT count(*) FROM etl.release") == 5
    assert world.served() == "release 5"


def test_an_old_release_that_a_view_reads_is_never_dropped(world: World) -> None:
    vocabulary = world.vocabulary()
    world.publish("run-1", labelled("one"), vocabulary)
    world.execute("CREATE VIEW results.then AS SELECT * FROM cdm_r1.person")
    for number in (2, 3, 4):
        world.publish(f"run-{number}", labelled(f"release {number}"), vocabulary)
    assert world.schemas() == ["cdm_r1", "cdm_r2", "cdm_r3", "cdm_r4"]
    assert world.value("SELECT count(*) FROM results.then", role="reader") == 50


def test_an_old_release_in_use_stays_until_the_next_publish(world: World) -> None:
    vocabulary = world.vocabulary()
    for number in (1, 2, 3):
        world.publish(f"run-{number}", labelled(f"release {number}"), vocabulary)
    with world.session() as reader, reader, reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM cdm_r1.person")
        world.publish("run-4", labelled("release 4"), vocabulary)
        assert "cdm_r1" in world.schemas()
    world.publish("run-5", labelled("release 5"), vocabulary)
    assert world.schemas() == ["cdm_r3", "cdm_r4", "cdm_r5"]


def test_a_reference_to_nothing_is_refused_by_name_of_its_constraint(world: World) -> None:
    vocabulary = world.vocabulary()
    world.publish("run-1", labelled("one"), vocabulary)
    broken = labelled("two")
    broken["measurement"][3]["person_id"] = 777666
    with pytest.raises(CdmflowError, match="fpk_measurement_person_id") as caught:
        world.publish("run-2", broken, vocabulary)
    assert "777666" not in str(caught.value)
    assert world.served() == "one"
    assert world.schemas() == ["cdm_r1"]


def test_a_key_that_occurs_twice_is_refused_without_its_value(world: World) -> None:
    vocabulary = world.vocabulary()
    twice = labelled("one")
    twice["measurement"] += [{"measurement_id": 777666}, {"measurement_id": 777666}]
    with pytest.raises(CdmflowError, match="UniqueViolation") as caught:
        world.publish("run-1", twice, vocabulary)
    assert "777666" not in str(caught.value)
    assert world.schemas() == []


def test_a_run_that_is_not_running_may_not_publish(world: World) -> None:
    vocabulary = world.vocabulary()
    world.publish("run-1", labelled("one"), vocabulary)
    world.run("run-2", labelled("two"))
    world.execute("UPDATE etl.run SET status = 'failed' WHERE run_id = 'run-2'")
    with pytest.raises(CdmflowError, match="run-2 is failed"):
        world.again("run-2", vocabulary)
    assert world.served() == "one"


def test_a_run_without_persons_table_is_refused(world: World) -> None:
    vocabulary = world.vocabulary()
    with pytest.raises(CdmflowError, match="no person table"):
        world.publish("run-1", {"cdm_source": [{}]}, vocabulary)


def test_a_second_publish_is_locked_out_and_told_by_whom(world: World) -> None:
    vocabulary = world.vocabulary()
    with publishing(world.database, "run-1"), pytest.raises(Locked, match=r"run run-1 since 20\d\d-") as caught:
        world.publish("run-2", labelled("two"), vocabulary)
    assert caught.value.exit_code == 4
    assert world.again("run-2", vocabulary).release_id == 1


def test_release_json_says_what_the_release_is(world: World) -> None:
    release = world.publish("run-1", labelled("one"), world.vocabulary("v20260101"))
    file = world.settings.releases_dir / "1" / "release.json"
    content = json.loads(file.read_text())
    assert content["release_id"] == 1
    assert content["run_id"] == "run-1"
    assert content["batches"] == [1, 2]
    assert content["code_version"] == "test"
    assert content["vocabulary_version"] == "v20260101"
    assert content["tables"]["person"] == release.tables["person"]
    assert content["verdict"] == {"status": "passed", "critical": 0}
    assert content["published_at"] == release.published_at.isoformat()
    with world.session() as connection:
        assert release_record(connection, 1) == content


def test_a_lost_release_json_is_written_again(world: World) -> None:
    world.publish("run-1", labelled("one"), world.vocabulary())
    file = world.settings.releases_dir / "1" / "release.json"
    before = file.read_text()
    file.unlink()
    assert ensure_release_files(world.settings, world.database) == [file]
    assert file.read_text() == before
    assert ensure_release_files(world.settings, world.database) == []
    assert [path.name for path in file.parent.iterdir()] == ["release.json"]


def test_a_vocabulary_is_loaded_once(world: World) -> None:
    vocabulary = world.vocabulary()
    folder = world.settings.vocabulary_dir / str(vocabulary)
    stages: list[str] = []
    first = publish_vocabulary(world.settings, world.database, vocabulary, folder, report=stages.append)
    assert "loaded concept" in stages
    stages.clear()
    assert publish_vocabulary(world.settings, world.database, vocabulary, folder, report=stages.append) == first
    assert stages == []


def test_a_bundle_that_breaks_its_own_foreign_keys_is_loaded_with_a_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    dangling = [{"concept_id_1": 8507, "concept_id_2": 424242, "relationship_id": "Maps to"}]
    vocabulary = world.vocabulary("v1", concept_relationship=dangling)
    folder = world.settings.vocabulary_dir / str(vocabulary)
    with caplog.at_level(logging.WARNING):
        schema = publish_vocabulary(world.settings, world.database, vocabulary, folder)
    assert "fpk_concept_relationship_concept_id_2" in caplog.text
    assert "424242" not in caplog.text
    assert world.value(f"SELECT count(*) FROM {schema}.concept_relationship") == 1
