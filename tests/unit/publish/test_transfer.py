"""What goes in comes out: every value of a table survives the way to PostgreSQL."""

import datetime
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from publish_world import World, labelled, write_table

from etl import engine
from etl.cdm import tables
from etl.engine import Digest, duckdb_type
from etl.errors import CdmflowError
from etl.publish.transfer import DUCKDB_MEMORY, candidate_digest, candidate_reader, csv_stream

NASTY = {
    "empty": "",
    "null": None,
    "newlines": "a\nb\r\nc\rd",
    "quotes": '"say ""it""" \'so\'',
    "backslashes": "\\N \\. \\\\ \\t",
    "end of data": "\\.",
    "tab and comma": "a\tb,c;d|e",
    "not ascii": "한국어 Žluťoučký 🏥",
    "null as text": "NULL",
    "spaces": "  padded  ",
    "only a quote": '"',
    "only a newline": "\n",
    "control characters": "\x01\x1e\x1f\x7f",
}


def notes(texts: list[str | None]) -> list[dict[str, Any]]:
    return [{"note_text": text or "", "note_title": text, "note_source_value": text} for text in texts]


def digest_of(name: str, path: Path) -> Digest:
    with engine.connection(threads=1) as con:
        return candidate_digest(con, tables()[name], [path])


def test_nasty_text_survives_value_by_value(world: World) -> None:
    contents = labelled("one") | {"note": notes(list(NASTY.values()))}
    world.publish("run-1", contents, world.vocabulary())
    for number, (what, text) in enumerate(NASTY.items(), 1):
        published = world.value("SELECT note_title FROM cdm.note WHERE note_id = %s", (number,))
        assert published == text, what


def test_the_digest_of_nasty_values_is_that_of_the_candidate(world: World) -> None:
    odd_numbers = [0.1, -0.0, 1e-9, 123456.789, -5.5, 1e15, None]
    contents = labelled("one") | {
        "note": notes(list(NASTY.values())),
        "measurement": [
            {"value_as_number": number, "measurement_datetime": datetime.datetime(1999, 12, 31, 23, 59, 59, 999999)}
            for number in odd_numbers
        ],
        "observation_period": [
            {"observation_period_start_date": datetime.date(1, 1, 1)},
            {"observation_period_end_date": datetime.date(9999, 12, 31)},
        ],
    }
    release = world.publish("run-1", contents, world.vocabulary())
    folder = world.settings.runs_dir / "run-1" / "cdm"
    for name in ("note", "measurement", "observation_period"):
        digest = digest_of(name, folder / f"{name}.parquet")
        assert release.tables[name] == {"rows": len(contents[name]), "digest": str(digest)}


def test_an_empty_text_and_a_null_are_different_to_the_digest(world: World) -> None:
    folder = world.settings.home / "two"
    digests = []
    for text in ("", None):
        write_table(folder, "person", [{"person_source_value": text}])
        digests.append(digest_of("person", folder / "person.parquet"))
    assert digests[0] != digests[1]


def test_a_text_too_long_for_its_column_is_named_by_column_and_row_without_its_value(world: World) -> None:
    secret = "Kowalczyk-" * 10
    contents = labelled("one", persons=2)
    contents["person"][1]["person_source_value"] = secret
    with pytest.raises(CdmflowError) as caught:
        world.publish("run-1", contents, world.vocabulary())
    message = str(caught.value)
    assert "Loading person" in message
    assert "22001" in message
    assert "column person_source_value" in message
    assert "row 2" in message
    assert "Kowalczyk" not in message
    assert world.schemas() == []


def test_a_candidate_with_another_column_type_is_refused(world: World) -> None:
    folder = world.run("run-1", labelled("one"))
    (folder / "measurement.parquet").write_bytes((folder / "person.parquet").read_bytes())
    vocabulary = world.vocabulary()
    with pytest.raises(CdmflowError, match="measurement"):
        world.again("run-1", vocabulary)
    assert world.schemas() == []


def test_a_truncated_parquet_file_is_refused_and_leaves_no_schema(world: World) -> None:
    folder = world.run("run-1", labelled("one", persons=5000))
    whole = (folder / "measurement.parquet").read_bytes()
    (folder / "measurement.parquet").write_bytes(whole[: len(whole) // 2])
    vocabulary = world.vocabulary()
    with pytest.raises(CdmflowError, match="measurement"):
        world.again("run-1", vocabulary)
    assert world.schemas() == []
    assert world.served() is None


def test_streams_that_nobody_reads_yet_take_no_memory(tmp_path: Path) -> None:
    """PostgreSQL is slower than DuckDB: what it has not taken yet must wait in the file, not in memory."""
    path, table, rows = tmp_path / "note.parquet", tables()["note"], 3_000_000
    texts = {"note_text": "repeat('x', 100)"}
    columns = ", ".join(
        f"CAST({texts.get(field.name, 'NULL')} AS {duckdb_type(field.sql_type)}) AS {field.name}"
        for field in table.fields
    )
    with engine.connection(threads=2) as con:
        engine.write_parquet(con, f"SELECT {columns} FROM range({rows})", path)
    with (
        candidate_reader(threads=2) as source,
        csv_stream(source, table, [path]) as one,
        csv_stream(source, table, [path]) as other,
    ):
        time.sleep(2)
        [(taken,)] = source.execute("SELECT sum(memory_usage_bytes) FROM duckdb_memory()").fetchall()
        for stream in (one, other):
            assert sum(chunk.count(b"\n") for chunk in iter(partial(stream.read, 1 << 18), b"")) == rows
    assert taken < 256 << 20, f"{taken >> 20} MB of the {DUCKDB_MEMORY} that all streams have together"
