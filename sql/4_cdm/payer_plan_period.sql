-- one row per period in which a person was insured by one payer, or known to be uninsured
-- keeps:    payers and plans without a concept as 0, with their names; what the source does not tell (sponsor, reason of
--           the end) as NULL
-- excludes: nothing; periods of excluded persons never get here (map.payer_plan)
SELECT
    cast(plan.payer_plan_period_id AS bigint) AS payer_plan_period_id,
    cast(plan.person_id AS integer) AS person_id,
    cast(plan.start_date AS date) AS payer_plan_period_start_date,
    cast(plan.end_date AS date) AS payer_plan_period_end_date,
    cast(plan.payer_concept_id AS integer) AS payer_concept_id,
    cast(left(plan.payer_code, 50) AS varchar) AS payer_source_value,
    cast(plan.payer_source_concept_id AS integer) AS payer_source_concept_id,
    cast(plan.plan_concept_id AS integer) AS plan_concept_id,
    cast(left(plan.plan_code, 50) AS varchar) AS plan_source_value,
    cast(plan.plan_source_concept_id AS integer) AS plan_source_concept_id,
    cast(NULL AS integer) AS sponsor_concept_id,
    cast(NULL AS varchar) AS sponsor_source_value,
    cast(NULL AS integer) AS sponsor_source_concept_id,
    cast(left(plan.family_source_value, 50) AS varchar) AS family_source_value,
    cast(NULL AS integer) AS stop_reason_concept_id,
    cast(NULL AS varchar) AS stop_reason_source_value,
    cast(NULL AS integer) AS stop_reason_source_concept_id
FROM map.payer_plan AS plan
