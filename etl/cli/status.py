"""`cdmflow status`: servers, runs, the last release, and the ledger of rows."""

from typing import Annotated, Any

import typer

from etl.cli import out, show


def status(
    rows: Annotated[
        bool, typer.Option("--rows", help="The ledger: where every row of every source file went.")
    ] = False,
    run: Annotated[str | None, typer.Option(help="A run's id; else the newest.")] = None,
) -> None:
    """Show what runs, the last release and the last runs. Starts nothing."""
    from etl.config import settings
    from etl.errors import UsageError
    from etl.pipeline.runs import database, engine, load_run
    from etl.postgres import server_status
    from etl.services import airflow

    configured = settings()
    server = server_status(configured)
    if not rows:
        services = airflow.status(configured)
        out.print(f"Home       {configured.home}", highlight=False, soft_wrap=True)
        out.print(f"PostgreSQL {'running' if server.running else 'stopped'}", highlight=False)
        where = f"running at {services.url}" if services.running else "stopped"
        out.print(f"Airflow    {where}", highlight=False)
    if not server.running:
        raise UsageError("PostgreSQL is not running, so runs and releases cannot be shown.", todo="./cdmflow start")
    db = engine(database(configured))
    run_id = run or newest_run(db)
    if run_id is None:
        out.print("No run yet. Start with ./cdmflow demo.")
        return
    if rows:
        print_ledger(db, load_run(run_id), complete=True)
    else:
        print_runs(db)


def newest_run(db: Any) -> str | None:
    import sqlalchemy

    from etl import state

    with db.connect() as con:
        found = con.execute(sqlalchemy.select(state.run.c.run_id).order_by(state.run.c.started_at.desc()).limit(1))
        return found.scalar_one_or_none()  # type: ignore[no-any-return]


def print_runs(db: Any) -> None:
    """The last ten runs and their releases."""
    import sqlalchemy

    from etl import state
    from etl.pipeline.quarantine import counted

    run, release = state.run.c, state.release.c
    query = (
        sqlalchemy.select(
            run.run_id, run.source, run.status, run.started_at, run.ended_at, release.release_id, run.message
        )
        .join_from(state.run, state.release, isouter=True)
        .order_by(run.started_at.desc())
        .limit(10)
    )
    with db.connect() as con:
        found = con.execute(query).all()
        waiting, accepted = counted(con)
    shown = [
        (
            row.run_id,
            row.source,
            row.status,
            f"{row.started_at:%Y-%m-%d %H:%M}",
            f"{(row.ended_at - row.started_at).total_seconds():.0f} s" if row.ended_at else "",
            row.release_id,
            (row.message or "")[:60],
        )
        for row in found
    ]
    show.table("Runs", ("run", "source", "status", "started", "took", "release", ""), shown, numbers=[4, 5])
    if waiting + accepted:
        told = f"{waiting:,} rows wait, {accepted:,} are accepted: ./cdmflow quarantine list"
        out.print(f"Quarantine {told}", highlight=False)


def print_ledger(db: Any, run: Any, *, complete: bool = False) -> None:
    """Received = landed + rejected, landed = used + excluded, per source table, and what of it does not agree.

    Merged rows are among those in the CDM. `complete` adds rules, flags and CDM tables.
    """
    from etl.pipeline.account import table_accounts

    accounts = table_accounts(db, run)
    lines = [
        (
            account.table,
            account.received,
            sum(account.rejected.values()),
            account.landed,
            account.used,
            account.merged,
            sum(account.excluded.values()),
            account.unaccounted + account.not_landed,
            "yes" if account.adds_up else "NO",
        )
        for account in accounts
    ]
    names = (
        "source table",
        "received",
        "rejected",
        "current",
        "in the CDM",
        "merged",
        "excluded",
        "missing",
        "adds up",
    )
    show.table(f"Rows of run {run.run_id}", names, lines, numbers=range(1, 8))
    for problem in (problem for account in accounts for problem in account.disagreements):
        out.print(problem, style="red", highlight=False)
    if not complete:
        return
    why = [
        (account.table, kind, name, rows)
        for account in accounts
        for kind, found in (
            ("rejected", account.rejected),
            ("excluded", account.excluded),
            ("merged", {"into another row of its kind": account.merged}),
            ("supports", {"into a row of another kind": account.supporting}),
            ("flagged", account.flagged),
            ("in", account.cdm),
        )
        for name, rows in sorted(found.items())
        if rows
    ]
    show.table(
        "Where they went, and why not",
        ("source table", "", "reason, rule, flag or CDM table", "rows"),
        why,
        numbers=[3],
    )
