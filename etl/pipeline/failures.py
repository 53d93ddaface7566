"""What may break under a step through no fault of the data: a lost database, a full disk. Told as errors of ours."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import psycopg2.errors
from sqlalchemy.exc import DBAPIError

from etl.config import settings
from etl.engine import is_disk_full
from etl.errors import CdmflowError, DiskFull
from etl.publish import explained

STATE = "The last release stays as it was, and what this run finished is kept."


@contextmanager
def told_plainly(doing: str) -> Iterator[None]:
    """Turn a lost connection and a full disk into DatabaseUnavailable and DiskFull; everything else goes through."""
    try:
        yield
    except CdmflowError:
        raise
    except Exception as error:
        known = _explained(error, doing)
        if known is None:
            raise
        raise known from None


def _explained(error: Exception, doing: str) -> CdmflowError | None:
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, psycopg2.OperationalError | psycopg2.InterfaceError):
        return explained(cause, doing, STATE, todo="")
    if is_disk_full(error):
        home = settings().home
        return DiskFull(
            f"{doing}: the disk is full ({shutil.disk_usage(settings().lake).free:,} bytes are free below {home}).",
            state=STATE,
            todo="Make space there (./cdmflow clean removes leftovers), then go on: ./cdmflow run --resume.",
        )
    return None
