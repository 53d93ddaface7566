"""The tables of schema `etl`: what was landed, run, published and decided. Ids, hashes and counts only.

Only `person.person_key` and the lake hold what identifies anyone; `cdm_reader` may read neither.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
)

SCHEMA = "etl"
metadata = MetaData(schema=SCHEMA)


def _now(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp())


run = Table(
    "run",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("status", Text, nullable=False),  # running, published, unchanged, candidate, refused, failed
    Column("parameters", JSON, nullable=False),
    Column("batch_ids", JSON),  # the batches that make up every table's state, oldest first
    Column("vocabulary_id", Integer),
    Column("cutoff_date", Date),
    Column("landing_verdict", JSON),
    Column("verdict", JSON),  # the candidate's; publish asks for all three
    Column("drift_verdict", JSON),
    Column("code_version", Text, nullable=False),
    _now("started_at"),
    Column("ended_at", DateTime(timezone=True)),
    Column("message", Text),
)

run_step = Table(
    "run_step",
    metadata,
    Column("run_id", Text, ForeignKey(run.c.run_id), primary_key=True),
    Column("step", Text, primary_key=True),
    Column("rows_in", BigInteger),
    Column("rows_out", BigInteger),
    Column("seconds", Float, nullable=False),
    Column("message", Text, nullable=False, server_default=""),
    _now("ended_at"),
)

batch = Table(
    "batch",
    metadata,
    Column("batch_id", Integer, Identity(), primary_key=True),
    Column("source", Text, nullable=False),
    Column("table_name", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("contract_hash", Text, nullable=False),
    Column("file_name", Text, nullable=False),
    Column("file_bytes", BigInteger, nullable=False),
    Column("received_rows", BigInteger, nullable=False),
    Column("landed_rows", BigInteger, nullable=False),
    Column("rejected_rows", BigInteger, nullable=False),
    Column("first_source_row_id", BigInteger, nullable=False),
    Column("business_date", Date),
    Column("ignored_columns", JSON, nullable=False),
    Column("run_id", Text),
    Column("numbered_by", Text),  # the column whose values have numbers in etl.person, of a table of persons
    _now("landed_at"),
    UniqueConstraint("source", "table_name", "content_hash", "contract_hash", name="batch_is_landed_once"),
    UniqueConstraint("source", "table_name", "first_source_row_id", "batch_id", name="batch_range"),
)

reject_count = Table(
    "reject_count",
    metadata,
    Column("batch_id", Integer, ForeignKey(batch.c.batch_id), primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("rows", BigInteger, nullable=False),
)

person = Table(
    "person",
    metadata,
    Column("person_id", Integer, primary_key=True, autoincrement=False),
    Column("source", Text, nullable=False),
    Column("person_key", Text, nullable=False),
    Column("source_row_id", BigInteger, nullable=False),
    UniqueConstraint("source", "person_key", name="person_has_one_id"),
)

vocabulary = Table(
    "vocabulary",
    metadata,
    Column("vocabulary_id", Integer, Identity(), primary_key=True),
    Column("version", Text, nullable=False),
    Column("content_hash", Text, nullable=False, unique=True),
    Column("path", Text, nullable=False),
    Column("counts", JSON, nullable=False),
    Column("warnings", JSON, nullable=False),
    Column("schema_name", Text),  # null until it is complete in PostgreSQL
    _now("loaded_at"),
)

release = Table(
    "release",
    metadata,
    Column("release_id", Integer, primary_key=True, autoincrement=False),
    Column("run_id", Text, ForeignKey(run.c.run_id), nullable=False, unique=True),
    Column("vocabulary_id", Integer, ForeignKey(vocabulary.c.vocabulary_id), nullable=False),
    Column("schema_name", Text, nullable=False),
    Column("tables", JSON, nullable=False),  # {table: {"rows": n, "digest": "rows:a:b"}}
    Column("verdict", JSON, nullable=False),
    _now("published_at"),
    Column("withdrawn_at", DateTime(timezone=True)),  # set by a rollback to an older release
)

row_account = Table(
    "row_account",
    metadata,
    Column("run_id", Text, ForeignKey(run.c.run_id), primary_key=True),
    Column("table_name", Text, primary_key=True),
    # received, rejected, landed, used, excluded, unaccounted, not_landed, flagged, cdm
    Column("kind", Text, primary_key=True),
    Column("detail", Text, primary_key=True),  # the reason, rule, flag or CDM table; '' for none
    Column("rows", BigInteger, nullable=False),
)

check_result = Table(
    "check_result",
    metadata,
    Column("run_id", Text, ForeignKey(run.c.run_id), primary_key=True),
    Column("check_id", Text, primary_key=True),
    Column("table_name", Text, nullable=False),
    Column("column_name", Text, nullable=False),
    Column("check_type", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("violated", BigInteger, nullable=False),
    Column("denominator", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("origin", Text, nullable=False, server_default="cdm"),  # cdm, dqd, drift
    Column("category", Text, nullable=False, server_default=""),
    Column("allowed_percent", Float, nullable=False, server_default="0"),
    Column("reason", Text, nullable=False, server_default=""),
)

# What OHDSI's Data Quality Dashboard says of its checks beside their counts, for `results.dqdashboard_results`.
dqd_check = Table(
    "dqd_check",
    metadata,
    Column("check_id", Text, primary_key=True),
    Column("check_name", Text, nullable=False),
    Column("check_level", Text, nullable=False),
    Column("check_description", Text, nullable=False),
    Column("cdm_table_name", Text, nullable=False),
    Column("cdm_field_name", Text, nullable=False),  # '' for none, as in the columns below
    Column("concept_id", Text, nullable=False),
    Column("unit_concept_id", Text, nullable=False),
    Column("sql_file", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("subcategory", Text, nullable=False),
    Column("context", Text, nullable=False),
    Column("query_text", Text, nullable=False),
    Column("has_threshold", Boolean, nullable=False),
)

gate_override = Table(
    "gate_override",
    metadata,
    Column("override_id", Integer, Identity(), primary_key=True),
    Column("check_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("until", Date, nullable=False),  # the last day on which it holds
    Column("made_by", Text, nullable=False),
    _now("made_at"),
    Column("withdrawn_at", DateTime(timezone=True)),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("quarantine_id", BigInteger, Identity(), primary_key=True),
    Column("source", Text, nullable=False),
    Column("table_name", Text, nullable=False),  # of the source
    Column("batch_id", Integer),  # of a rejected record, with its number; else the landed row's id
    Column("record", BigInteger),
    Column("file", Text),  # of a rejected record: a delivery may be of several
    Column("line", BigInteger),
    Column("source_row_id", BigInteger),
    Column("check_id", Text, nullable=False),  # of the gate, or `landing.<reason>`
    Column("reason", Text, nullable=False),
    Column("rows", BigInteger, nullable=False, server_default="1"),  # of the CDM that it was made into and that violate
    Column("derived", JSON),  # of an accepted row: {check_id: eras and periods of its person that violate with it}
    Column("first_run", Text, nullable=False),
    _now("first_seen"),
    Column("last_run", Text, nullable=False),
    Column("nights", Integer, nullable=False, server_default="1"),
    Column("accepted_by", Text),
    Column("accepted_reason", Text),
    Column("accepted_at", DateTime(timezone=True)),
    UniqueConstraint(
        "source",
        "table_name",
        "check_id",
        "batch_id",
        "file",
        "record",
        "source_row_id",
        name="row_is_quarantined_once",
        postgresql_nulls_not_distinct=True,
    ),
)
