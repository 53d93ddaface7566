-- one row per person, condition and uninterrupted time: occurrences at most 30 days apart are one era
-- keeps:    occurrences without an end as ending on the next day (OHDSI's usual script)
-- excludes: occurrences without a standard concept
WITH occurrence AS (
    SELECT
        condition.person_id,
        condition.condition_concept_id,
        condition.condition_occurrence_id,
        condition.condition_start_date AS start_date,
        coalesce(condition.condition_end_date, condition.condition_start_date + 1) AS end_date
    FROM cdm.condition_occurrence AS condition
    WHERE condition.condition_concept_id <> 0
),

reached AS (
    SELECT
        occurrence.person_id,
        occurrence.condition_concept_id,
        occurrence.condition_occurrence_id,
        occurrence.start_date,
        occurrence.end_date,
        max(occurrence.end_date) OVER (
            PARTITION BY occurrence.person_id, occurrence.condition_concept_id
            ORDER BY occurrence.start_date, occurrence.condition_occurrence_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS reached_date
    FROM occurrence
),

island AS (
    SELECT
        reached.person_id,
        reached.condition_concept_id,
        reached.start_date,
        reached.end_date,
        sum(CASE WHEN date_diff('day', reached.reached_date, reached.start_date) <= 30 THEN 0 ELSE 1 END) OVER (
            PARTITION BY reached.person_id, reached.condition_concept_id
            ORDER BY reached.start_date, reached.condition_occurrence_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS island_no
    FROM reached
),

era AS (
    SELECT
        island.person_id,
        island.condition_concept_id,
        min(island.start_date) AS start_date,
        max(island.end_date) AS end_date,
        count(*) AS occurrence_count
    FROM island
    GROUP BY island.person_id, island.condition_concept_id, island.island_no
)

SELECT
    cast(
        cast(era.person_id AS bigint) * 1000000
        + row_number() OVER (PARTITION BY era.person_id ORDER BY era.condition_concept_id, era.start_date) AS bigint
    ) AS condition_era_id,
    era.person_id,
    era.condition_concept_id,
    era.start_date AS condition_era_start_date,
    era.end_date AS condition_era_end_date,
    cast(era.occurrence_count AS integer) AS condition_occurrence_count
FROM era
