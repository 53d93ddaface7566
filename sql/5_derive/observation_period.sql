-- one row per person and uninterrupted time in which the source would have told what happened; run.parameter says how
--   ehr         by the records: a visit is one from its first to its last day, an event or note on the day it starts (a
--               condition that lasts ten years is not ten years of observation; a death is no record). 548 days or more
--               from how far the records reached to the next one end a period, and it lasts 60 days longer than its last
--   encounters  from the start of the first visit to the end of the last
--   enrolment   the insured times of any payer, joined where they overlap or adjoin; known uninsured times are none
-- keeps:    ends bounded by the data cut-off and by 60 days after death
-- excludes: periods that would begin after that bound, and persons without any record: nothing says that they were
--           observed
-- note:     a person's days are joined before the windows: 2 million events of 10,000 persons take 0.7 s on two cores
WITH record AS (
    SELECT
        visit.person_id,
        visit.start_date,
        visit.end_date
    FROM map.visit AS visit
    INNER JOIN run.parameter AS parameter ON parameter.observation_period IN ('ehr', 'encounters')
    UNION ALL
    SELECT DISTINCT
        event.person_id,
        event.start_date,
        event.start_date AS end_date
    FROM map.event AS event
    INNER JOIN run.parameter AS parameter ON parameter.observation_period = 'ehr'
    UNION ALL
    SELECT DISTINCT
        note.person_id,
        note.note_date AS start_date,
        note.note_date AS end_date
    FROM cdm.note AS note
    INNER JOIN run.parameter AS parameter ON parameter.observation_period = 'ehr'
    UNION ALL
    SELECT
        plan.person_id,
        plan.start_date,
        plan.end_date
    FROM map.payer_plan AS plan
    INNER JOIN run.parameter AS parameter ON parameter.observation_period = 'enrolment'
    WHERE plan.is_insured
),

-- longest_days: from how far a period reached to the record that still continues it
convention AS (
    SELECT
        parameter.cutoff_date,
        CASE parameter.observation_period WHEN 'ehr' THEN 547 WHEN 'enrolment' THEN 1 ELSE 9999999 END AS longest_days,
        CASE parameter.observation_period WHEN 'ehr' THEN 60 ELSE 0 END AS days_after,
        CASE parameter.observation_period
            WHEN 'enrolment' THEN {{ concept.claim_enrolment_record }}
            ELSE {{ concept.standard_algorithm_from_ehr }}
        END AS type_concept_id
    FROM run.parameter AS parameter
),

span AS (
    SELECT
        record.person_id,
        record.start_date,
        max(record.end_date) AS end_date
    FROM record
    GROUP BY record.person_id, record.start_date
),

reached AS (
    SELECT
        span.person_id,
        span.start_date,
        span.end_date,
        max(span.end_date) OVER (
            PARTITION BY span.person_id
            ORDER BY span.start_date
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS reached_date
    FROM span
),

island AS (
    SELECT
        reached.person_id,
        reached.start_date,
        reached.end_date,
        sum(
            CASE
                WHEN date_diff('day', reached.reached_date, reached.start_date) <= convention.longest_days THEN 0 ELSE 1
            END
        ) OVER (
            PARTITION BY reached.person_id
            ORDER BY reached.start_date
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS island_no
    FROM reached
    CROSS JOIN convention
),

period AS (
    SELECT
        island.person_id,
        min(island.start_date) AS start_date,
        max(island.end_date) AS end_date
    FROM island
    GROUP BY island.person_id, island.island_no
),

bounded AS (
    SELECT
        period.person_id,
        period.start_date,
        least(
            period.end_date + convention.days_after,
            convention.cutoff_date,
            coalesce(death.death_date + 60, convention.cutoff_date)
        ) AS end_date,
        convention.type_concept_id
    FROM period
    CROSS JOIN convention
    LEFT JOIN cdm.death AS death ON period.person_id = death.person_id
)

SELECT
    cast(
        cast(bounded.person_id AS bigint) * 1000000
        + row_number() OVER (PARTITION BY bounded.person_id ORDER BY bounded.start_date) AS bigint
    ) AS observation_period_id,
    cast(bounded.person_id AS integer) AS person_id,
    cast(bounded.start_date AS date) AS observation_period_start_date,
    cast(bounded.end_date AS date) AS observation_period_end_date,
    cast(bounded.type_concept_id AS integer) AS period_type_concept_id
FROM bounded
WHERE bounded.start_date <= bounded.end_date
