"""`cdmflow sql`: a query as the read-only role."""

import csv
import sys
from typing import Annotated

import typer
from rich.table import Table

from etl.cli import out
from etl.errors import CdmflowError

MAX_SHOWN = 200
READS = ("select", "with", "values", "table")  # a server-side cursor takes these, in bounded memory


def sql(
    query: Annotated[str, typer.Argument(help='One SELECT, e.g. "SELECT count(*) FROM cdm.person".')],
    as_csv: Annotated[bool, typer.Option("--csv", help="All rows as CSV on standard output.")] = False,
) -> None:
    """Run a query on the published CDM as cdm_reader, who can read `cdm` and `results` and write nothing."""
    import psycopg2
    import sqlalchemy

    from etl.config import settings
    from etl.pipeline.runs import database

    engine = sqlalchemy.create_engine(database(settings()).reader_url, hide_parameters=True)
    try:
        with engine.connect() as con:
            streams = query.lstrip("( \n\t").lower().startswith(READS)
            result = con.execution_options(stream_results=streams).exec_driver_sql(query.replace("%", "%%"))
            if not result.returns_rows:
                raise CdmflowError("This statement returns no rows.", todo="Write one SELECT.")
            names = list(result.keys())
            if as_csv:
                writer = csv.writer(sys.stdout)
                writer.writerow(names)
                writer.writerows(result)
            else:
                _show(names, result.fetchmany(MAX_SHOWN + 1))
    except sqlalchemy.exc.DBAPIError as error:
        original = error.orig
        message = original.diag.message_primary if isinstance(original, psycopg2.Error) else None
        raise CdmflowError(f"PostgreSQL refused the query: {message or type(original).__name__}") from None
    finally:
        engine.dispose()


def _show(names: list[str], rows: object) -> None:
    found = list(rows)  # type: ignore[call-overload]
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for name in names:
        shown.add_column(name, overflow="fold")
    for row in found[:MAX_SHOWN]:
        shown.add_row(*("" if cell is None else str(cell) for cell in row))
    out.print(shown)
    if len(found) > MAX_SHOWN:
        out.print(f"… the first {MAX_SHOWN} rows; --csv gives all.")
