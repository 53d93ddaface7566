"""The PostgreSQL that serves the CDM: an embedded server of this home, or the one CDMFLOW_DATABASE_URL names."""

from etl.postgres.airflow import ensure_airflow_database
from etl.postgres.database import Database
from etl.postgres.server import ServerStatus, ensure_server, remove_server, server_status, stop_server

__all__ = [
    "Database",
    "ServerStatus",
    "ensure_airflow_database",
    "ensure_server",
    "remove_server",
    "server_status",
    "stop_server",
]
