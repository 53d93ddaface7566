"""One DAG per source that brings in a vocabulary version: load, preview, a person's approval, adoption."""

from datetime import timedelta

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Param
from nightly_tasks import load_vocabulary, preview_vocabulary

from etl.config import default_vocabulary
from etl.pipeline import sources

DOC = """
### A vocabulary refresh, decided by a person

**load** (the bundle becomes a version that nothing uses) → **preview** (codes, persons, rows and tables that it would
change) → **approve** (*Required Actions* in this UI; unanswered for a week it counts as rejected) → **adopt** (a run of
the nightly DAG that makes the persons concerned again and publishes vocabulary and CDM as one release).

A rejected version stays loaded: trigger this DAG again with the same bundle, or `./cdmflow vocabulary adopt VERSION`.
The nightly DAG must not be paused, else the adoption waits for it.
"""
APPROVAL_TIMEOUT = timedelta(days=7)


def vocabulary_refresh(source: str) -> DAG:
    """The DAG of one source."""
    with DAG(
        dag_id=f"cdmflow_vocabulary_{source}",
        dag_display_name=f"Vocabulary refresh: {source}",
        description="Load a vocabulary version, see what it changes, adopt it once a person approves",
        doc_md=DOC,
        schedule=None,
        catchup=False,
        max_active_runs=1,
        default_args={"owner": "cdmflow", "retries": 2, "retry_delay": timedelta(seconds=15)},
        params={
            "vocabulary_folder": Param(
                str(default_vocabulary()),
                type="string",
                minLength=1,
                title="Vocabulary folder",
                description="An Athena bundle (folder or zip with CONCEPT.csv …), on the machine that runs Airflow.",
            )
        },
        tags=["cdmflow", "vocabulary", source],
    ) as dag:
        seen = preview_vocabulary(source, load_vocabulary())
        approve = ApprovalOperator(
            task_id="approve",
            subject="Adopt vocabulary {{ ti.xcom_pull('preview_vocabulary')['version'] }}?",
            body="{{ ti.xcom_pull('preview_vocabulary')['text'] }}",
            defaults="Reject",
            response_timeout=APPROVAL_TIMEOUT,
            retries=0,
        )
        adopt = TriggerDagRunOperator(
            task_id="adopt",
            trigger_dag_id=f"cdmflow_nightly_{source}",
            conf={"vocabulary_version": "{{ ti.xcom_pull('preview_vocabulary')['vocabulary_id'] }}"},
            wait_for_completion=True,
            poke_interval=5,
            retries=0,
        )
        seen >> approve >> adopt
    return dag


for _source in sources():
    globals()[f"vocabulary_{_source}"] = vocabulary_refresh(_source)
