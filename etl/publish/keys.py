"""Foreign keys of a release's tables on the vocabulary that it is served with.

A delta that comes with another vocabulary stays in the tables it finds, whose keys still point to the old one. They are
pointed to the new one first, unproven (`NOT VALID`): rows that are put in place are checked from then on, all others by
`prove_keys` in the delta's own transaction. A publisher killed between the two leaves unproven keys, which hold nobody
up: whoever publishes next points them to its own vocabulary.
"""

from typing import Any

from psycopg2.errors import ForeignKeyViolation

from etl.cdm import foreign_key_clauses, quoted, tables
from etl.errors import CdmflowError
from etl.publish.switch import BLOCK_TIMEOUT_MS, LOCK_TIMEOUT_MS, Report, between_readers

KEYS_ELSEWHERE = """
    SELECT child.relname, key.conname
    FROM pg_catalog.pg_constraint AS key
    JOIN pg_catalog.pg_class AS child ON child.oid = key.conrelid
    JOIN pg_catalog.pg_class AS parent ON parent.oid = key.confrelid
    WHERE key.contype = 'f' AND child.relnamespace = %s::regnamespace
        AND parent.relnamespace NOT IN (%s::regnamespace, %s::regnamespace)
    ORDER BY child.relname, key.conname
"""
UNPROVEN_KEYS = """
    SELECT child.relname, key.conname
    FROM pg_catalog.pg_constraint AS key
    JOIN pg_catalog.pg_class AS child ON child.oid = key.conrelid
    WHERE key.contype = 'f' AND NOT key.convalidated AND child.relnamespace = %s::regnamespace
    ORDER BY child.relname, key.conname
"""


def point_keys(connection: Any, schema: str, vocabulary_schema: str, *, patience_s: float, report: Report) -> None:
    """Let the keys of a release's tables refer to this vocabulary, in a gap between readers; nothing if they do."""
    with connection, connection.cursor() as cursor:
        cursor.execute(KEYS_ELSEWHERE, (schema, schema, vocabulary_schema))
        elsewhere: dict[str, list[str]] = {}
        for table, key in cursor.fetchall():
            elsewhere.setdefault(table, []).append(key)
    if not elsewhere:
        return
    statements = []
    for name, keys in elsewhere.items():
        clauses = foreign_key_clauses(tables()[name], schema, vocabulary_schema)
        changes = [f"DROP CONSTRAINT {quoted(key)}" for key in keys]
        changes += [f"{clauses[key]} NOT VALID" for key in keys]
        statements.append(f"ALTER TABLE {quoted(schema)}.{quoted(name)} {', '.join(changes)}")

    def attempt() -> None:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", (f"{LOCK_TIMEOUT_MS}ms",))
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", (f"{BLOCK_TIMEOUT_MS}ms",))
            cursor.execute(f"DO $keys$ BEGIN {'; '.join(statements)}; END $keys$")

    between_readers(attempt, f"the keys of {schema} stay as they were", patience_s=patience_s, report=report)


def prove_keys(cursor: Any, schema: str) -> None:
    """Check every row against the keys that are not proven yet, in the caller's transaction; readers go on.

    CdmflowError: a row refers to a concept that the vocabulary does not have.
    """
    cursor.execute(UNPROVEN_KEYS, (schema,))
    for table, key in cursor.fetchall():
        try:
            cursor.execute(f"ALTER TABLE {quoted(schema)}.{quoted(table)} VALIDATE CONSTRAINT {quoted(key)}")
        except ForeignKeyViolation:
            raise CdmflowError(
                f"{table} has a row that refers to nothing in the vocabulary: constraint {key}.",
                state="Nothing was changed; the last release stays published.",
                todo="Make all persons anew with it: ./cdmflow rebuild --vocabulary BUNDLE.",
            ) from None
