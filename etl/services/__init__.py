"""Processes that cdmflow keeps running beside PostgreSQL: Airflow."""
