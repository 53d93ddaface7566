-- one row per period of insurance of payer_transitions.csv
-- keeps:    every row; the payer by its name (payers.csv), by its key when payers.csv does not have it
-- note:     NO_INSURANCE is a payer of Synthea's: a time known to be uninsured, kept but no enrolment
SELECT
    cast({{ part.synthea_payer_plan }} AS integer) AS source_part_no,
    cast(plan.source_row_id AS bigint) AS source_row_id,
    cast(plan.patient AS varchar) AS person_key,
    cast('Synthea payer' AS varchar) AS payer_vocabulary,
    cast(coalesce(payer.name, plan.payer) AS varchar) AS payer_code,
    cast('Synthea payer type' AS varchar) AS plan_vocabulary,
    cast(payer.ownership AS varchar) AS plan_code,
    cast(plan.start_date AS timestamp) AS start_datetime,
    cast(plan.end_date AS timestamp) AS end_datetime,
    cast(plan.plan_ownership AS varchar) AS family_source_value,
    cast(coalesce(payer.name, '') <> 'NO_INSURANCE' AS boolean) AS is_insured
FROM landing.payer_transitions AS plan
LEFT JOIN landing.payers AS payer ON plan.payer = payer.id
