"""The specification's facts and the DDL that is generated from them."""

import csv
from pathlib import Path

import sqlalchemy

from etl.cdm import ddl, foreign_key_ddl, index_ddl, primary_key_ddl, tables
from etl.postgres import Database


def test_the_facts_are_those_of_the_published_specification(shared_data: Path) -> None:
    with (shared_data / "spec/cdm/OMOP_CDMv5.4_Field_Level.csv").open(encoding="utf-8-sig", newline="") as file:
        published = [
            (
                row["cdmTableName"].lower(),
                row["cdmFieldName"].lower().strip('"'),
                row["isRequired"] == "Yes",
                row["isPrimaryKey"] == "Yes",
                row["fkTableName"].lower() if row["isForeignKey"] == "Yes" else "",
            )
            for row in csv.DictReader(file)
        ]
    ours = [
        (field.table, field.name, field.required, field.is_primary_key, field.foreign_table)
        for table in tables().values()
        for field in table.fields
    ]
    assert sorted(ours) == sorted(published)
    assert len(tables()) == 39


def test_ids_are_bigint_but_person_and_concept_ids_are_integer() -> None:
    types = {field.name: field.sql_type for table in tables().values() for field in table.fields}
    assert types["measurement_id"] == types["visit_occurrence_id"] == types["fact_id_1"] == "bigint"
    assert types["person_id"] == types["measurement_concept_id"] == types["year_of_birth"] == "integer"


def test_postgresql_accepts_every_table_key_index_and_foreign_key(fresh_database: Database) -> None:
    engine = sqlalchemy.create_engine(fresh_database.etl_url)
    with engine.begin() as con:
        con.exec_driver_sql("CREATE SCHEMA every_table")
        for table in tables().values():
            con.exec_driver_sql(ddl(table, "every_table"))
        for table in tables().values():
            for statement in [primary_key_ddl(table, "every_table"), *index_ddl(table, "every_table")]:
                if statement:
                    con.exec_driver_sql(statement)
        for table in tables().values():
            for statement in foreign_key_ddl(table, "every_table", "every_table"):
                con.exec_driver_sql(statement)
    found = sqlalchemy.inspect(engine).get_table_names("every_table")
    engine.dispose()
    assert sorted(found) == sorted(tables())
