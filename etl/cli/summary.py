"""What a person wants to know after a run: the release, its rows, the gate's answer, where the reports are."""

import sqlalchemy

from etl import state
from etl.cli import out, show
from etl.cli.status import print_ledger
from etl.config import settings
from etl.pipeline.runs import database, engine, load_run


def print_summary(run_id: str) -> None:
    """Print the release of a run."""
    db = engine(database(settings()))
    run = load_run(run_id)
    with db.connect() as con:
        release = con.execute(
            sqlalchemy.select(state.release).where(state.release.c.run_id == run_id)
        ).mappings().one_or_none()  # fmt: skip
        ended = con.execute(
            sqlalchemy.select(sqlalchemy.func.extract("epoch", state.run.c.ended_at - state.run.c.started_at)).where(
                state.run.c.run_id == run_id
            )
        ).scalar_one()
    if run.status == "unchanged":
        out.print(f"Run {run_id} brought nothing new: the current release stays as it is.", highlight=False)
        return
    print_ledger(db, run)
    if release is None:
        out.print(f"Run {run_id}: {run.status}, no release.")
        return
    rows = {name: facts["rows"] for name, facts in release["tables"].items() if facts["rows"]}
    show.table(f"Release {release['release_id']}", ("CDM table", "rows"), sorted(rows.items()), numbers=[1])
    print_gates(run)
    folder = settings().releases_dir / str(release["release_id"])
    out.print(f"Release {release['release_id']} is published: {sum(rows.values()):,} rows in {ended or 0:.0f} s.")
    out.print(f"  report   {folder / 'report' / 'quality.html'}", highlight=False, soft_wrap=True)
    out.print(f"  record   {folder / 'release.json'}", highlight=False, soft_wrap=True)
    out.print(f"  psql     {database(settings()).psql}", highlight=False, soft_wrap=True)


def print_gates(run) -> None:  # type: ignore[no-untyped-def]
    """The two gates' answers, and each warning with its counts."""
    gates = {"landing": run.landing_verdict, "candidate": run.verdict, "drift": run.drift_verdict}
    rows = [
        (gate, "passed" if verdict["passed"] else "REFUSED", verdict["evaluated"], len(verdict["warnings"]))
        for gate, verdict in gates.items()
        if verdict
    ]
    show.table("Gate (Great Expectations)", ("gate", "verdict", "expectations", "warnings"), rows, numbers=[2, 3])
    warned = [
        (check["check_id"], check["violated"], check["denominator"])
        for verdict in gates.values()
        for check in (verdict or {}).get("warnings", [])
    ]
    if warned:
        warned.sort(key=lambda row: -row[1] / max(row[2], 1))
        title = "Warnings" if len(warned) <= 10 else f"Warnings (10 of {len(warned)}; all are in the report)"
        show.table(title, ("check", "violated", "of"), warned[:10], numbers=[1, 2])
