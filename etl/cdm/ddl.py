"""PostgreSQL DDL of the CDM, generated from the specification. Schema names must come from our own code."""

from etl.cdm.specification import Table, indexes, tables


def quoted(name: str) -> str:
    """A quoted identifier (`offset` of note_nlp is a reserved word)."""
    return '"' + name.replace('"', '""') + '"'


def ddl(table: Table, schema: str) -> str:
    """CREATE TABLE with types and NOT NULL, without keys: those come after the load."""
    columns = ",\n  ".join(
        f"{quoted(field.name)} {field.sql_type}{' NOT NULL' if field.required else ''}" for field in table.fields
    )
    return f"CREATE TABLE {quoted(schema)}.{quoted(table.name)} (\n  {columns}\n)"


def primary_key_ddl(table: Table, schema: str) -> str | None:
    """ALTER TABLE that adds the primary key, or None where the specification has none."""
    if table.primary_key is None:
        return None
    name = f"xpk_{table.name}"
    return (
        f"ALTER TABLE {quoted(schema)}.{quoted(table.name)} "
        f"ADD CONSTRAINT {quoted(name)} PRIMARY KEY ({quoted(table.primary_key)})"
    )


def index_ddl(table: Table, schema: str) -> list[str]:
    """CREATE INDEX statements of the table, one per column of OHDSI's list."""
    return [
        f"CREATE INDEX {quoted(f'idx_{table.name}_{column}'[:63])} "
        f"ON {quoted(schema)}.{quoted(table.name)} ({quoted(column)})"
        for column in indexes().get(table.name, ())
    ]


def foreign_key_clauses(table: Table, schema: str, vocabulary_schema: str) -> dict[str, str]:
    """ADD CONSTRAINT clauses by constraint name; references to vocabulary tables go to `vocabulary_schema`.

    Clauses rather than statements, so that the loader can add all keys of a table in one ALTER TABLE.
    """
    clauses = {}
    for field in table.fields:
        if not field.foreign_table:
            continue
        target = tables()[field.foreign_table]
        home = vocabulary_schema if target.schema == "VOCAB" else schema
        name = f"fpk_{table.name}_{field.name}"[:63]
        clauses[name] = (
            f"ADD CONSTRAINT {quoted(name)} FOREIGN KEY ({quoted(field.name)}) "
            f"REFERENCES {quoted(home)}.{quoted(target.name)} ({quoted(field.foreign_field)})"
        )
    return clauses


def foreign_key_ddl(table: Table, schema: str, vocabulary_schema: str) -> list[str]:
    """ALTER TABLE statements, one per foreign key."""
    return [
        f"ALTER TABLE {quoted(schema)}.{quoted(table.name)} {clause}"
        for clause in foreign_key_clauses(table, schema, vocabulary_schema).values()
    ]
