"""The CDM's tables and fields, read from the specification CSVs: the only place that knows its columns.

Source: OHDSI CommonDataModel v5.4 table and field level files (`etl/cdm/spec`). Two decisions on types:
ids are bigint except person_id and concept ids (design: ids carry their lineage and pass 2^31), and
`float` is double precision (COPY and R read it faster than numeric).
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SPEC = Path(__file__).parent / "spec"
CDM_VERSION = "5.4"


@dataclass(frozen=True)
class Column:
    """A column of any declared relation. `sql_type` is spelled as PostgreSQL does."""

    name: str
    sql_type: str
    required: bool = False


@dataclass(frozen=True)
class Field(Column):
    """A column of a CDM table, with its keys. Foreign tables and fields are lower case, '' for none."""

    table: str = ""
    is_primary_key: bool = False
    foreign_table: str = ""
    foreign_field: str = ""
    foreign_domain: str = ""
    foreign_class: str = ""


@dataclass(frozen=True)
class Table:
    """A CDM table. `schema` is CDM, VOCAB or RESULTS, as in the specification."""

    name: str
    schema: str
    fields: tuple[Field, ...]
    concept_prefix: str = ""

    @property
    def primary_key(self) -> str | None:
        """The name of the key field; the specification gives some tables (death, cdm_source …) none."""
        return next((field.name for field in self.fields if field.is_primary_key), None)

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)


def sql_type(field: str, datatype: str) -> str:
    """PostgreSQL's type of a field, from the specification's datatype."""
    if datatype == "integer":
        is_concept = "concept_id" in field
        is_id = field.endswith("_id") or field.startswith("fact_id_")
        return "bigint" if is_id and not is_concept and field != "person_id" else "integer"
    return {"float": "double precision", "datetime": "timestamp", "varchar(max)": "text"}.get(datatype, datatype)


def _rows(name: str) -> list[dict[str, str]]:
    with (SPEC / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def tables() -> dict[str, Table]:
    """All 39 tables of the specification by name, in its order."""
    fields: dict[str, list[Field]] = {}
    for row in _rows("fields.csv"):
        fields.setdefault(row["table"], []).append(
            Field(
                name=row["field"],
                sql_type=sql_type(row["field"], row["datatype"]),
                required=row["required"] == "yes",
                table=row["table"],
                is_primary_key=row["primary_key"] == "yes",
                foreign_table=row["foreign_table"],
                foreign_field=row["foreign_field"],
                foreign_domain=row["foreign_domain"],
                foreign_class=row["foreign_class"],
            )
        )
    return {
        row["table"]: Table(row["table"], row["schema"], tuple(fields[row["table"]]), row["concept_prefix"])
        for row in _rows("tables.csv")
    }


@cache
def indexes() -> dict[str, tuple[str, ...]]:
    """Indexed columns by table (OHDSI's standard list, less those that a primary key already covers)."""
    found: dict[str, list[str]] = {}
    for row in _rows("indexes.csv"):
        found.setdefault(row["table"], []).append(row["columns"])
    return {table: tuple(columns) for table, columns in found.items()}


@cache
def source_models() -> dict[str, tuple[Column, ...]]:
    """The fixed columns of each source model (`src_person` …), the interface that a hospital implements."""
    models: dict[str, list[Column]] = {}
    with (Path(__file__).parent / "source_models.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            models.setdefault(row["model"], []).append(Column(row["column"], row["type"], row["required"] == "yes"))
    return {model: tuple(columns) for model, columns in models.items()}
