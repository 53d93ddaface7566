"""The command line. Commands import what they need when they run, so that --help answers at once."""

import logging
import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler
from typer.exceptions import TyperException

from etl.errors import CdmflowError

# A traceback of typer's would show local variables, which may hold rows.
app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
    help="""Turns a hospital's EHR tables into an OMOP CDM v5.4 in PostgreSQL: landed, mapped, gated, published.

    [bold]./cdmflow demo[/bold] first; then your own files: [bold]./cdmflow run --input DIR --vocabulary DIR[/bold].
    State lives in CDMFLOW_HOME (./var); CDMFLOW_DATABASE_URL names a PostgreSQL of your own.

    Exit codes: 0 done, 1 failed, 2 usage, 3 the gate refused, 4 another run holds the lock.
    """,
)
WIDTH = 120  # of what is no terminal: a log, a pipe
out = Console(width=None if sys.stdout.isatty() else WIDTH)
err = Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)
debug_mode = False


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and every log line.")] = False,
) -> None:
    global debug_mode
    debug_mode = debug
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=err, show_path=False, show_time=False)],
    )
    for noisy in ("great_expectations", "sqlalchemy", "matplotlib", "urllib3", "asyncio", "posthog"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def register() -> None:
    """Hang all commands on the app; their modules are light."""
    from etl.cli import (
        backfill,
        check,
        demo,
        explain,
        gate,
        mapping,
        quarantine,
        query,
        releases,
        run,
        servers,
        status,
        test,
        trace,
        vocabulary,
    )

    commands: list[tuple[str, Callable[..., object]]] = [
        ("demo", demo.demo),
        ("run", run.run),
        ("rebuild", run.rebuild),
        ("backfill", backfill.backfill),
        ("check", check.check),
        ("sql", query.sql),
        ("status", status.status),
        ("trace", trace.trace),
        ("diff", releases.diff),
        ("rollback", releases.rollback),
        ("clean", releases.clean),
        ("start", servers.start),
        ("stop", servers.stop),
        ("test", test.test),
    ]
    for name, command in commands:
        passes_on = {"ignore_unknown_options": True} if name == "test" else {}
        app.command(name, rich_help_panel="Commands", context_settings=passes_on)(command)
    app.add_typer(explain.app, name="explain", rich_help_panel="Commands")
    app.add_typer(gate.app, name="gate", rich_help_panel="Commands")
    app.add_typer(mapping.app, name="mapping", rich_help_panel="Commands")
    app.add_typer(quarantine.app, name="quarantine", rich_help_panel="Commands")
    app.add_typer(vocabulary.app, name="vocabulary", rich_help_panel="Commands")


def main() -> None:
    """Run a command; an expected error becomes its message and exit code."""
    register()
    try:
        # not standalone, a typer.Exit comes back as the returned code
        code = int(app(standalone_mode=False, prog_name="./cdmflow") or 0)
    except CdmflowError as error:
        code = fail(error)
    except (typer.Abort, KeyboardInterrupt):
        err.print("Stopped; what was done so far is kept, nothing half-done is published.")
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:  # noqa: BLE001 - the last resort of a command line: a traceback may quote rows
        code = unexpected(error)
    leave(code)


def leave(code: int) -> None:
    """End the process without Python's clean-up: DuckDB 2.0's binding reports 130 leaked objects of its own there."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def fail(error: CdmflowError) -> int:
    """Print an expected error in its three parts; its exit code."""
    if debug_mode:
        err.print_exception(show_locals=False)
    err.print(error.what, style="bold red", markup=False, highlight=False)
    for line in (error.state, error.todo):
        if line:
            err.print(line, markup=False, highlight=False)
    return error.exit_code


def print_usage_error(error: TyperException) -> None:
    """Typer's own message: what is wrong with the words of the command, and how it is used."""
    show = getattr(error, "show", None)
    if show is not None:
        show()
    else:
        err.print(str(error), markup=False)


def unexpected(error: Exception) -> int:
    """Usage errors of the command line are shown as they are; anything else is told by its class only."""
    if isinstance(error, TyperException):
        print_usage_error(error)
        return int(getattr(error, "exit_code", 2))
    if debug_mode:
        err.print_exception(show_locals=False)
    err.print(f"An unexpected {type(error).__name__} ended the command.", style="bold red")
    err.print("Run it again as ./cdmflow --debug … to see where; the last release is as it was.")
    return 1
