"""A small world to publish in: a vocabulary of a few concepts, runs, and candidates made of named rows.

Used by the tests of `etl.publish` here and in tests/unit/publish. Columns that a test does not name get a value that
satisfies the specification.
"""

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2

from etl import config, engine, state
from etl.cdm import Field, quoted, tables
from etl.config import Settings
from etl.engine import duckdb_type, quote_path
from etl.postgres import Database
from etl.postgres.database import open_connection
from etl.publish import Release, publish_delta, publish_release

PROJECT = Path(__file__).resolve().parents[2]
TODAY = datetime.date(2020, 1, 1)
VERDICT = {"status": "passed", "critical": 0}
Row = dict[str, Any]

VOCABULARY: dict[str, list[Row]] = {
    "concept": [
        {"concept_id": 0, "concept_name": "No matching concept"},
        {"concept_id": 8507, "concept_name": "MALE"},
        {"concept_id": 8532, "concept_name": "FEMALE"},
    ],
    "vocabulary": [{"vocabulary_id": "None", "vocabulary_version": "v1"}],
    "domain": [{"domain_id": "Metadata"}],
    "concept_class": [{"concept_class_id": "Undefined"}],
    "relationship": [{"relationship_id": "Maps to"}],
    "concept_relationship": [{"concept_id_1": 8507, "concept_id_2": 8507, "relationship_id": "Maps to"}],
}
REFERENCES = {"domain": "Metadata", "vocabulary": "None", "concept_class": "Undefined", "relationship": "Maps to"}


def default(field: Field, number: int) -> object:
    """A value that the specification allows: row numbers for keys, concept 0, person 1."""
    if field.is_primary_key and not field.sql_type.startswith("varchar"):
        return number
    if not field.required:
        return None
    if field.foreign_table in REFERENCES:
        return REFERENCES[field.foreign_table]
    if field.foreign_table == "concept":
        return 0
    if field.sql_type == "date":
        return TODAY
    if field.sql_type == "timestamp":
        return datetime.datetime(2020, 1, 1, 12)
    return "x" if field.sql_type.startswith(("varchar", "text")) else 1


def write_table(folder: Path, name: str, rows: Sequence[Row]) -> None:
    """`<folder>/<name>.parquet` with the specification's columns and types."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = tables()[name].fields
    with engine.connection(threads=1) as con:
        con.execute(f"CREATE TABLE t ({', '.join(f'{quoted(f.name)} {duckdb_type(f.sql_type)}' for f in fields)})")
        values = [[row.get(f.name, default(f, number)) for f in fields] for number, row in enumerate(rows, 1)]
        if values:
            con.executemany(f"INSERT INTO t VALUES ({', '.join('?' for _ in fields)})", values)
        con.execute(f"COPY t TO {quote_path(folder / f'{name}.parquet')} (FORMAT parquet)")


def labelled(label: str, persons: int = 50) -> dict[str, list[Row]]:
    """A candidate whose every row says which release it belongs to, in three tables."""
    return {
        "person": [{"person_source_value": label, "gender_concept_id": 8507} for _ in range(persons)],
        "measurement": [{"measurement_source_value": label, "person_id": n + 1} for n in range(persons)],
        "cdm_source": [{"cdm_source_name": label}],
    }


@dataclass(frozen=True)
class World:
    settings: Settings
    database: Database

    def vocabulary(self, version: str = "v1", **changed: list[Row]) -> int:
        """A vocabulary in the lake and in etl.vocabulary; its id."""
        number: int = self.value(
            "INSERT INTO etl.vocabulary (version, content_hash, path, counts, warnings) "
            "VALUES (%s, %s, '', '{}', '[]') RETURNING vocabulary_id",
            (version, f"hash of {version}"),
        )
        contents = VOCABULARY | {"vocabulary": [{"vocabulary_id": "None", "vocabulary_version": version}]} | changed
        for name, rows in contents.items():
            write_table(self.settings.vocabulary_dir / str(number), name, rows)
        return number

    def run(self, run_id: str, contents: dict[str, list[Row]]) -> Path:
        """A running run with this candidate; its folder of CDM tables."""
        self.execute(
            "INSERT INTO etl.run (run_id, source, scope, status, parameters, batch_ids, code_version) "
            "VALUES (%s, 'synthea', 'all', 'running', '{}', '[1, 2]', 'test')",
            (run_id,),
        )
        folder = self.settings.runs_dir / run_id / "cdm"
        for name, rows in contents.items():
            write_table(folder, name, rows)
        return folder

    def publish(self, run_id: str, contents: dict[str, list[Row]], vocabulary_id: int, **options: Any) -> Release:
        folder = self.run(run_id, contents)
        return publish_release(self.settings, self.database, run_id, folder, vocabulary_id, VERDICT, **options)

    def put_in_place(
        self, run_id: str, contents: dict[str, list[Row]], vocabulary_id: int, base_run: str, **options: Any
    ) -> Release:
        """Publish a run as a delta of all persons on its base run's release."""
        folder = self.run(run_id, contents)
        self.execute(
            "UPDATE etl.run SET parameters = %s WHERE run_id = %s", (json.dumps({"base_run": base_run}), run_id)
        )
        persons = folder.parent / "persons.txt"
        persons.write_text("".join(f"{number}\n" for number in range(1, len(contents["person"]) + 1)))
        return publish_delta(
            self.settings, self.database, run_id, folder, vocabulary_id, VERDICT,
            base_run=base_run, persons=persons, report=lambda _: None, **options,
        )  # fmt: skip

    def again(self, run_id: str, vocabulary_id: int, **options: Any) -> Release:
        """Publish a run that has its row and its files already."""
        folder = self.settings.runs_dir / run_id / "cdm"
        return publish_release(self.settings, self.database, run_id, folder, vocabulary_id, VERDICT, **options)

    @contextmanager
    def session(self, role: str = "etl") -> Iterator[Any]:
        url = {"etl": self.database.etl_url, "reader": self.database.reader_url}[role]
        connection = open_connection(url)
        try:
            yield connection
        finally:
            connection.close()

    def execute(self, statement: str, values: Sequence[object] = ()) -> None:
        with self.session() as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement, values)

    def value(self, statement: str, values: Sequence[object] = (), role: str = "etl") -> Any:
        with self.session(role) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            row = cursor.fetchone()
        return row[0] if row else None

    def served(self) -> str | None:
        """The label of what readers see, None before the first release."""
        try:
            return str(self.value("SELECT min(person_source_value) FROM cdm.person", role="reader"))
        except psycopg2.errors.UndefinedTable:
            return None

    def schemas(self, like: str = "cdm_r%") -> list[str]:
        listed = "SELECT array_agg(nspname::text ORDER BY nspname) FROM pg_namespace WHERE nspname LIKE %s"
        return self.value(listed, (like,)) or []

    def child(self, script: str, **values: object) -> subprocess.CompletedProcess[str]:
        """Run a script in a process of its own, with `world` and the values in its globals."""
        urls = [self.database.admin_url, self.database.etl_url, self.database.reader_url]
        given = json.dumps({"urls": urls, **values})
        return subprocess.run(
            [sys.executable, "-c", CHILD + script, given],
            cwd=PROJECT,
            env=os.environ | {"CDMFLOW_HOME": str(self.settings.home), "PYTHONPATH": str(Path(__file__).parent)},
            capture_output=True,
            text=True,
            timeout=120,
        )


CHILD = """
import json, os, signal, sys
sys.path.insert(0, os.getcwd())
from etl.config import settings
from etl.postgres import Database
import publish_world
given = json.loads(sys.argv[1])
world = publish_world.World(settings(), Database(*given["urls"]))

def die():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def make_world(database: Database, home: Path) -> World:
    schema = state.connect(database.etl_url)
    state.create_tables(schema)
    schema.dispose()
    return World(replace(config.settings(), home=home, workers=2, kept_releases=3), database)
