"""`results.dqdashboard_results`: OHDSI's data quality results of the release that is served, by DQD's column names.

A view: a release's row makes its results visible in the very transaction in which its tables become visible, a rollback
brings the older ones back, and a snapshot that began before sees those of its release.
"""

from typing import Any

from etl.cdm import quoted
from etl.postgres.roles import READER

NAME = "results.dqdashboard_results"
# DQD's types and its odd `checkid`; its `threshold_value` is an integer, but a site may allow half a percent.
VIEW = f"""
CREATE VIEW {NAME} AS
SELECT
    CASE WHEN counted.status <> 'error' THEN counted.violated END AS num_violated_rows,
    CASE
        WHEN counted.status = 'error' THEN NULL
        WHEN counted.denominator = 0 THEN 0
        ELSE counted.violated::double precision / counted.denominator
    END AS pct_violated_rows,
    CASE WHEN counted.status <> 'error' THEN counted.denominator END AS num_denominator_rows,
    round(counted.seconds::numeric, 6) || ' secs' AS execution_time,
    facts.query_text,
    facts.check_name,
    facts.check_level,
    facts.check_description,
    facts.cdm_table_name,
    nullif(facts.cdm_field_name, '') AS cdm_field_name,
    nullif(facts.concept_id, '') AS concept_id,
    nullif(facts.unit_concept_id, '') AS unit_concept_id,
    facts.sql_file,
    facts.category,
    facts.subcategory,
    facts.context,
    NULL::text AS warning,
    CASE WHEN counted.status = 'error' THEN counted.reason END AS error,
    counted.check_id AS checkid,
    (counted.status = 'error')::integer AS is_error,
    (counted.status = 'not_applicable')::integer AS not_applicable,
    (counted.status = 'failed')::integer AS failed,
    (counted.status = 'passed')::integer AS passed,
    CASE WHEN counted.status = 'not_applicable' THEN counted.reason END AS not_applicable_reason,
    CASE WHEN facts.has_threshold OR counted.allowed_percent > 0 THEN counted.allowed_percent END AS threshold_value,
    NULL::text AS notes_value
FROM etl.check_result AS counted
JOIN etl.dqd_check AS facts ON counted.check_id = facts.check_id
WHERE counted.origin = 'dqd' AND counted.run_id = (
    SELECT release.run_id FROM etl.release AS release
    WHERE release.withdrawn_at IS NULL ORDER BY release.release_id DESC LIMIT 1
)
"""


def ensure_dashboard_results(connection: Any) -> None:
    """Make the view where it is missing. A table of that name, from a site's own DQD, stays as it is."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", (NAME,))
        if cursor.fetchone()[0] is None:
            cursor.execute(VIEW)
            cursor.execute(f"GRANT SELECT ON {NAME} TO {quoted(READER)}")
