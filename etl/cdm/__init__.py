"""The CDM specification and what is generated from it."""

from etl.cdm.ddl import ddl, foreign_key_clauses, foreign_key_ddl, index_ddl, primary_key_ddl, quoted
from etl.cdm.specification import CDM_VERSION, Column, Field, Table, indexes, source_models, tables

__all__ = [
    "CDM_VERSION",
    "Column",
    "Field",
    "Table",
    "ddl",
    "foreign_key_clauses",
    "foreign_key_ddl",
    "index_ddl",
    "indexes",
    "primary_key_ddl",
    "quoted",
    "source_models",
    "tables",
]
