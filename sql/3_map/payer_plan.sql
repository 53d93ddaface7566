-- one row per period of insurance
-- keeps:    periods without an end up to the cut-off; an end before the start as the start
-- excludes: periods of unknown or excluded persons, and without a start (map.excluded)
SELECT
    cast(plan.source_row_id * 100000 + plan.source_part_no * 100 AS bigint) AS payer_plan_period_id,
    person.person_id,
    cast(plan.start_datetime AS date) AS start_date,
    cast(
        greatest(cast(coalesce(plan.end_datetime, parameter.cutoff_date) AS date), cast(plan.start_datetime AS date))
        AS date
    ) AS end_date,
    plan.payer_code,
    cast(coalesce(payer.target_concept_id, 0) AS integer) AS payer_concept_id,
    cast(coalesce(payer.source_concept_id, 0) AS integer) AS payer_source_concept_id,
    plan.plan_code,
    cast(coalesce(kind.target_concept_id, 0) AS integer) AS plan_concept_id,
    cast(coalesce(kind.source_concept_id, 0) AS integer) AS plan_source_concept_id,
    plan.family_source_value
FROM source.src_payer_plan AS plan
INNER JOIN map.person AS person ON plan.person_key = person.person_key
CROSS JOIN run.parameter AS parameter
LEFT JOIN map.map_source_code AS payer
    ON plan.payer_vocabulary = payer.source_vocabulary
    AND plan.payer_code = payer.source_code
    AND payer.target_no = 0
LEFT JOIN map.map_source_code AS kind
    ON plan.plan_vocabulary = kind.source_vocabulary
    AND plan.plan_code = kind.source_code
    AND kind.target_no = 0
WHERE plan.start_datetime IS NOT NULL
