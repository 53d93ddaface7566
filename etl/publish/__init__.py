"""Publishes a gated candidate to PostgreSQL: load, reconcile, switch. Readers see whole releases only."""

from etl.publish.compare import DIFFERENCE_COLUMNS, write_differences
from etl.publish.delta import IN_PLACE, publish_delta
from etl.publish.present import write_present_rows
from etl.publish.record import Release, ensure_release_files, release_record
from etl.publish.release import publish_release
from etl.publish.retire import drop_leftovers
from etl.publish.rollback import rollback
from etl.publish.session import explained
from etl.publish.vocabulary import publish_vocabulary

__all__ = [
    "DIFFERENCE_COLUMNS",
    "IN_PLACE",
    "Release",
    "drop_leftovers",
    "ensure_release_files",
    "explained",
    "publish_delta",
    "publish_release",
    "publish_vocabulary",
    "release_record",
    "rollback",
    "write_differences",
    "write_present_rows",
]
