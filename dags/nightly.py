"""One nightly DAG per source: the steps of `etl.pipeline` as tasks, its stages as task groups. No logic lives here."""

from datetime import UTC, date, datetime, time, timedelta

from airflow.sdk import (
    DAG,
    Asset,
    CronDataIntervalTimetable,
    DeadlineAlert,
    DeadlineReference,
    Param,
    SyncCallback,
    TaskGroup,
)
from nightly_tasks import alert_deadline, alert_failure, close_run, open_run, run_step

from etl.config import deadline_hours, default_input, default_vocabulary, first_night, source_url
from etl.pipeline import sources, steps

DOC = """
### Source files → OMOP CDM v5.4, every night

**land** (Parquet batches) → **source** (one model per entity) → **map** (codes to concepts) → **cdm** (one SELECT per
table) → **derive** (eras, periods) → **gate** (Great Expectations) → **publish** (PostgreSQL, one transaction).

- `open_run` records the run, `close_run` ends it, whatever happened between. A task is a step of `etl.pipeline`: the
  command `./cdmflow run` does the same steps without Airflow. Edges come from what the SQL files read.
- A task that fails because of the **data** fails at once and says what to do; only a lost **database** is retried.
- A failed critical check fails `gate`; `publish` then does not run, and **the last release stays** as it was.
- A failure, a refusal and a night that is not there in time are told by webhook or mail, where one is configured.
- Any task may be cleared: it writes its own outputs again and nothing else.
- Where `CDMFLOW_INCOMING` is set, a night loads its drop folder there, named after its date. Where
  `CDMFLOW_FIRST_NIGHT` is set, nights that were missed are caught up on, one after the other.
- One run at a time: `open_run` waits for another one that is at work, a backfill's or the command line's.
- `./cdmflow backfill` brings nights again, with a plan first.
- To load other files, trigger it by hand: the form explains its fields.
- Logs and XComs hold ids and counts, never a patient's value.
"""


def params() -> dict[str, Param]:
    """The fields of the trigger form; the schedule uses the defaults."""
    return {
        "input_folder": Param(
            str(default_input()),
            type="string",
            minLength=1,
            title="Source folder",
            description="Folder with the source's files (CSV or CSV.gz), on the machine that runs Airflow.",
        ),
        "is_drop": Param(
            False,
            type="boolean",
            title="The source folder is a night's drop",
            description="It holds what changed since the current release; tables without a file stay as they are.",
        ),
        "is_live": Param(
            source_url() is not None,
            type="boolean",
            title="Read the source database",
            description="Instead of a folder, the database of CDMFLOW_SOURCE_URL: at first all, then what changed.",
        ),
        "vocabulary_folder": Param(
            str(default_vocabulary()),
            type=["null", "string"],
            title="Vocabulary folder",
            description="An Athena bundle (CONCEPT.csv …); loaded before, it costs nothing. Empty: the release's own.",
        ),
        "vocabulary_version": Param(
            None,
            type=["null", "string"],
            title="Vocabulary version to adopt",
            description="Number or name of a loaded version. Given, no file is read: what it changes is made again.",
        ),
        "backfill": Param(
            None,
            type=["null", "string"],
            title="Id of a backfill",
            description="Given by ./cdmflow backfill, so that a night that is done again is another run.",
        ),
        "persons_file": Param(
            None,
            type=["null", "string"],
            title="Persons of a backfill",
            description="File of person_ids, one a line: a backfill makes them again. Empty: those of its batches.",
        ),
        "business_date": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Business date (data cut-off)",
            description="Up to which day the files tell. Empty: the newest date in the files, never today's.",
        ),
    }


def nightly(source: str) -> DAG:
    """The DAG of one source."""
    with DAG(
        dag_id=f"cdmflow_nightly_{source}",
        dag_display_name=f"Nightly load: {source}",
        description=f"{source} files → OMOP CDM v5.4 in PostgreSQL, gated",
        doc_md=DOC,
        schedule=CronDataIntervalTimetable("0 2 * * *", timezone="UTC"),
        start_date=datetime.combine(first_night() or date(2026, 1, 1), time(), tzinfo=UTC),
        catchup=first_night() is not None,
        max_active_runs=1,
        on_failure_callback=alert_failure,
        deadline=DeadlineAlert(
            reference=DeadlineReference.DAGRUN_LOGICAL_DATE,
            interval=timedelta(days=1, hours=deadline_hours()),  # the logical date is the night before
            callback=SyncCallback(alert_deadline, {"source": source}),
        ),
        default_args={"owner": "cdmflow", "retries": 2, "retry_delay": timedelta(seconds=15)},
        params=params(),
        tags=["cdmflow", "nightly", source],
    ) as dag:
        opened = open_run(source).as_setup()
        closed = close_run(source)
        groups: dict[str, TaskGroup] = {}
        tasks = {}
        for step in steps(source):
            if step.group not in groups:
                # an own prefix: the task `gate` lies in the group gate, and Airflow wants their ids different
                groups[step.group] = TaskGroup(
                    f"stage_{step.group}", group_display_name=step.group, prefix_group_id=False
                )
            published = [Asset(name=f"cdm_{source}", uri=f"cdmflow://cdm/{source}")] if step.name == "publish" else []
            task = run_step.override(
                task_id=step.name, doc_md=step.help, outlets=published, task_group=groups[step.group]
            )
            tasks[step.name] = task(source, step.name)
        for step in steps(source):
            tasks[step.name] << ([tasks[name] for name in step.upstream] or opened)
        closed.as_teardown(setups=opened) << [task for task in tasks.values() if not task.operator.downstream_list]
    return dag


for _source in sources():
    globals()[f"nightly_{_source}"] = nightly(_source)
