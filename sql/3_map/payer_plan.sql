-- one row per uninterrupted time in which a person was insured by one payer, plan and family (map.payer_plan_row)
-- keeps:    payers and plans without a concept as 0, those that the source does not name as NULL; maps as of the start
-- note:     is_insured is false where the source knows that there was no insurance: such a time is no enrolment
WITH period AS (
    SELECT
        insured.payer_plan_period_id,
        insured.person_id,
        min(insured.start_date) AS start_date,
        max(insured.end_date) AS end_date,
        insured.payer_vocabulary,
        insured.payer_code,
        insured.plan_vocabulary,
        insured.plan_code,
        insured.family_source_value,
        insured.is_insured
    FROM map.payer_plan_row AS insured
    GROUP BY ALL
)

SELECT
    period.payer_plan_period_id,
    period.person_id,
    cast(period.start_date AS date) AS start_date,
    cast(period.end_date AS date) AS end_date,
    period.payer_code,
    cast(CASE WHEN period.payer_code IS NOT NULL THEN coalesce(payer.target_concept_id, 0) END AS integer)
        AS payer_concept_id,
    cast(CASE WHEN period.payer_code IS NOT NULL THEN coalesce(payer.source_concept_id, 0) END AS integer)
        AS payer_source_concept_id,
    period.plan_code,
    cast(CASE WHEN period.plan_code IS NOT NULL THEN coalesce(kind.target_concept_id, 0) END AS integer)
        AS plan_concept_id,
    cast(CASE WHEN period.plan_code IS NOT NULL THEN coalesce(kind.source_concept_id, 0) END AS integer)
        AS plan_source_concept_id,
    period.family_source_value,
    period.is_insured
FROM period
LEFT JOIN map.map_source_code AS payer
    ON period.payer_vocabulary = payer.source_vocabulary
    AND period.payer_code = payer.source_code
    AND payer.target_no = 0
    AND period.start_date BETWEEN payer.valid_start_date AND payer.valid_end_date
LEFT JOIN map.map_source_code AS kind
    ON period.plan_vocabulary = kind.source_vocabulary
    AND period.plan_code = kind.source_code
    AND kind.target_no = 0
    AND period.start_date BETWEEN kind.valid_start_date AND kind.valid_end_date
