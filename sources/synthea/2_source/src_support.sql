-- one row per source row that has no CDM row of its own but went into another row's: transactions into their claim's
-- cost, payers into their first insurance period, images into their study
-- keeps:    rows that support nothing, with NULL: the account names them (supports_nothing)
WITH plan AS (
    SELECT
        transition.payer,
        min(transition.source_row_id) AS source_row_id
    FROM landing.payer_transitions AS transition
    GROUP BY transition.payer
),

study AS (
    SELECT
        image.source_row_id,
        min(image.source_row_id) OVER (PARTITION BY image.id, image.procedure_code) AS first_row_id
    FROM landing.imaging_studies AS image
)

SELECT
    cast({{ part.synthea_claims_transactions }} AS integer) AS source_part_no,
    cast(line.source_row_id AS bigint) AS source_row_id,
    cast({{ part.synthea_claim_cost }} AS integer) AS supports_part_no,
    cast(claim.source_row_id AS bigint) AS supports_source_row_id
FROM landing.claims_transactions AS line
LEFT JOIN landing.claims AS claim ON line.claimid = claim.id

UNION ALL

SELECT
    cast({{ part.synthea_payers }} AS integer) AS source_part_no,
    cast(payer.source_row_id AS bigint) AS source_row_id,
    cast({{ part.synthea_payer_plan }} AS integer) AS supports_part_no,
    cast(plan.source_row_id AS bigint) AS supports_source_row_id
FROM landing.payers AS payer
LEFT JOIN plan ON payer.id = plan.payer

UNION ALL

SELECT
    cast({{ part.synthea_imaging_studies }} AS integer) AS source_part_no,
    cast(study.source_row_id AS bigint) AS source_row_id,
    cast({{ part.synthea_imaging_studies }} AS integer) AS supports_part_no,
    cast(study.first_row_id AS bigint) AS supports_source_row_id
FROM study
WHERE study.source_row_id <> study.first_row_id
