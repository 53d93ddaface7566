"""What is written down of a release: its row in `etl.release`, and `releases/<N>/release.json` made from it."""

import json
import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from etl.config import Settings
from etl.postgres import Database
from etl.publish.session import open_session, translated

COLUMNS = "release_id, run_id, vocabulary_id, schema_name, published_at, tables, verdict"


@dataclass(frozen=True)
class Release:
    """A published release. `tables`: {table: {"rows": n, "digest": "rows:a:b"}}."""

    release_id: int
    run_id: str
    vocabulary_id: int
    schema_name: str
    published_at: datetime
    tables: Mapping[str, Mapping[str, Any]]
    verdict: Mapping[str, Any]

    @property
    def rows(self) -> int:
        return sum(int(table["rows"]) for table in self.tables.values())


def release_of_run(connection: Any, run_id: str) -> Release | None:
    """The release that this run published, if it did."""
    with connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT {COLUMNS} FROM etl.release WHERE run_id = %s", (run_id,))
        row = cursor.fetchone()
    return Release(*row) if row else None


def current_release(connection: Any, before: int | None = None) -> Release | None:
    """The release that is served; with `before`, the newest one below that number that was not taken back."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {COLUMNS} FROM etl.release "
            "WHERE withdrawn_at IS NULL AND release_id < coalesce(%s, release_id + 1) ORDER BY release_id DESC LIMIT 1",
            (before,),
        )
        row = cursor.fetchone()
    return Release(*row) if row else None


def release_by_id(connection: Any, release_id: int) -> Release | None:
    with connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT {COLUMNS} FROM etl.release WHERE release_id = %s", (release_id,))
        row = cursor.fetchone()
    return Release(*row) if row else None


def insert_release(
    cursor: Any,
    *,
    release_id: int,
    run_id: str,
    vocabulary_id: int,
    schema: str,
    tables: Mapping[str, Mapping[str, Any]],
    verdict: Mapping[str, object],
) -> Release:
    """Write the release's row in the caller's transaction."""
    cursor.execute(
        "INSERT INTO etl.release (release_id, run_id, vocabulary_id, schema_name, tables, verdict) "
        f"VALUES (%s, %s, %s, %s, %s, %s) RETURNING {COLUMNS}",
        (release_id, run_id, vocabulary_id, schema, json.dumps(tables), json.dumps(verdict)),
    )
    return Release(*cursor.fetchone())


def release_record(connection: Any, release_id: int) -> dict[str, Any]:
    """The content of release.json: ids, versions, counts, digests and verdict; no patient value."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT release.release_id, release.run_id, release.published_at, release.schema_name, run.source, run.scope,
                run.cutoff_date, run.batch_ids, run.code_version, vocabulary.vocabulary_id, vocabulary.version,
                release.tables, release.verdict
            FROM etl.release
            JOIN etl.run ON run.run_id = release.run_id
            JOIN etl.vocabulary ON vocabulary.vocabulary_id = release.vocabulary_id
            WHERE release.release_id = %s
            """,
            (release_id,),
        )
        row = cursor.fetchone()
    names = (
        "release_id", "run_id", "published_at", "schema", "source", "scope", "cutoff_date", "batches", "code_version",
        "vocabulary_id", "vocabulary_version", "tables", "verdict",
    )  # fmt: skip
    record = dict(zip(names, row, strict=True))
    for name in ("published_at", "cutoff_date"):
        record[name] = record[name].isoformat() if record[name] else None
    return record


def release_file(settings: Settings, release_id: int) -> Path:
    return settings.releases_dir / str(release_id) / "release.json"


def write_release_files(settings: Settings, connection: Any) -> list[Path]:
    """Write release.json of every release that has none: the newest one, or one whose publisher was killed before."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT release_id FROM etl.release ORDER BY release_id")
        missing = [row[0] for row in cursor.fetchall() if not release_file(settings, row[0]).is_file()]
    for release_id in missing:
        _write_beside_and_rename(release_file(settings, release_id), release_record(connection, release_id))
    return [release_file(settings, release_id) for release_id in missing]


def ensure_release_files(settings: Settings, database: Database) -> list[Path]:
    """`write_release_files` on a session of its own; the files that were written."""
    with (
        translated("Reading the releases", state="Nothing was changed."),
        closing(open_session(database, "release files")) as connection,
    ):
        return write_release_files(settings, connection)


def _write_beside_and_rename(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=2, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
