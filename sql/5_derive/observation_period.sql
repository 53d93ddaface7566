-- one row per person: from the first to the last record
-- keeps:    visits and events of every table; ends bounded by the cut-off and by 60 days after death
-- excludes: persons without any record: nothing says that they were observed
WITH span AS (
    SELECT
        visit.person_id,
        min(visit.start_date) AS first_date,
        max(visit.end_date) AS last_date
    FROM map.visit AS visit
    GROUP BY visit.person_id
    UNION ALL
    SELECT
        event.person_id,
        min(event.start_date) AS first_date,
        max(coalesce(event.end_date, event.start_date)) AS last_date
    FROM map.event AS event
    GROUP BY event.person_id
),

person AS (
    SELECT
        span.person_id,
        min(span.first_date) AS first_date,
        max(span.last_date) AS last_date
    FROM span
    GROUP BY span.person_id
)

SELECT
    cast(cast(person.person_id AS bigint) * 1000000 + 1 AS bigint) AS observation_period_id,
    person.person_id,
    person.first_date AS observation_period_start_date,
    cast(
        greatest(
            person.first_date,
            least(person.last_date, parameter.cutoff_date, coalesce(death.death_date + 60, parameter.cutoff_date))
        ) AS date
    ) AS observation_period_end_date,
    cast({{ concept.standard_algorithm_from_ehr }} AS integer) AS period_type_concept_id
FROM person
CROSS JOIN run.parameter AS parameter
LEFT JOIN cdm.death AS death ON person.person_id = death.person_id
