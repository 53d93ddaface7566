-- one row per insured period as the source has it, with the period of the CDM that it went into
-- keeps:    periods without an end up to the cut-off; an end before the start as the start
-- keeps:    periods of one person, payer, plan and family that overlap or adjoin (the next day at the latest) as one:
--           its id is of the smallest source row among them. Other payers' periods may overlap: a person may have
--           several insurances at once.
-- excludes: periods of unknown or excluded persons, and without a start (map.excluded)
WITH insured AS (
    SELECT
        plan.source_part_no,
        plan.source_row_id,
        person.person_id,
        cast(plan.start_datetime AS date) AS start_date,
        cast(
            greatest(
                coalesce(cast(plan.end_datetime AS date), parameter.cutoff_date), cast(plan.start_datetime AS date)
            ) AS date
        ) AS end_date,
        plan.payer_vocabulary,
        CASE WHEN lower(trim(plan.payer_code)) NOT IN ('', 'null') THEN plan.payer_code END AS payer_code,
        plan.plan_vocabulary,
        CASE WHEN lower(trim(plan.plan_code)) NOT IN ('', 'null') THEN plan.plan_code END AS plan_code,
        CASE WHEN lower(trim(plan.family_source_value)) NOT IN ('', 'null') THEN plan.family_source_value END
            AS family_source_value,
        coalesce(plan.is_insured, TRUE) AS is_insured
    FROM source.src_payer_plan AS plan
    INNER JOIN map.person AS person ON plan.person_key = person.person_key
    CROSS JOIN run.parameter AS parameter
    WHERE plan.start_datetime IS NOT NULL
),

reached AS (
    SELECT
        insured.source_part_no,
        insured.source_row_id,
        insured.person_id,
        insured.start_date,
        insured.end_date,
        insured.payer_vocabulary,
        insured.payer_code,
        insured.plan_vocabulary,
        insured.plan_code,
        insured.family_source_value,
        insured.is_insured,
        max(insured.end_date) OVER (
            PARTITION BY
                insured.person_id,
                insured.payer_vocabulary,
                insured.payer_code,
                insured.plan_vocabulary,
                insured.plan_code,
                insured.family_source_value,
                insured.is_insured
            ORDER BY insured.start_date, insured.source_row_id, insured.source_part_no
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS reached_date
    FROM insured
),

island AS (
    SELECT
        reached.source_part_no,
        reached.source_row_id,
        reached.person_id,
        reached.start_date,
        reached.end_date,
        reached.payer_vocabulary,
        reached.payer_code,
        reached.plan_vocabulary,
        reached.plan_code,
        reached.family_source_value,
        reached.is_insured,
        sum(CASE WHEN reached.start_date <= reached.reached_date + 1 THEN 0 ELSE 1 END) OVER (
            PARTITION BY
                reached.person_id,
                reached.payer_vocabulary,
                reached.payer_code,
                reached.plan_vocabulary,
                reached.plan_code,
                reached.family_source_value,
                reached.is_insured
            ORDER BY reached.start_date, reached.source_row_id, reached.source_part_no
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS island_no
    FROM reached
)

SELECT
    cast(island.source_part_no AS integer) AS source_part_no,
    cast(island.source_row_id AS bigint) AS source_row_id,
    cast(
        min(island.source_row_id * 100000 + island.source_part_no * 100) OVER (
            PARTITION BY
                island.person_id,
                island.payer_vocabulary,
                island.payer_code,
                island.plan_vocabulary,
                island.plan_code,
                island.family_source_value,
                island.is_insured,
                island.island_no
        ) AS bigint
    ) AS payer_plan_period_id,
    cast(island.person_id AS integer) AS person_id,
    island.start_date,
    island.end_date,
    cast(island.payer_vocabulary AS varchar) AS payer_vocabulary,
    cast(island.payer_code AS varchar) AS payer_code,
    cast(island.plan_vocabulary AS varchar) AS plan_vocabulary,
    cast(island.plan_code AS varchar) AS plan_code,
    cast(island.family_source_value AS varchar) AS family_source_value,
    cast(island.is_insured AS boolean) AS is_insured
FROM island
