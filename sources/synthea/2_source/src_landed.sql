-- one row per landed row of every table: what the account must find again
SELECT
    cast({{ part.synthea_person }} AS integer) AS table_no,
    landed.source_row_id
FROM landing.patients AS landed

UNION ALL

SELECT
    cast({{ part.synthea_person_merge }} AS integer) AS table_no,
    landed.source_row_id
FROM landing.patient_merges AS landed

UNION ALL

SELECT
    cast({{ part.synthea_care_site }} AS integer) AS table_no,
    landed.source_row_id
FROM landing.organizations AS landed

UNION ALL

SELECT
    cast({{ part.synthea_provider }} AS integer) AS table_no,
    landed.source_row_id
FROM landing.providers AS landed

UNION ALL

SELECT
    cast({{ part.synthea_visit }} AS integer) AS table_no,
    landed.source_row_id
FROM landing.encounters AS landed

UNION ALL

SELECT
    cast({{ part.synthea_conditions }} AS integer) AS table_no,
    landed.source_row_id
FROM landing.conditions AS landed

UNION ALL

SELECT
    cast({{ part.synthea_medications }} AS integer) AS table_no,
    landed.source_row_id
FROM landing.medications AS landed

UNION ALL

SELECT
    cast({{ part.synthea_procedures }} AS integer) AS table_no,
    landed.source_row_id
FROM landing.procedures AS landed

UNION ALL

SELECT
    cast({{ part.synthea_immunizations }} AS integer) AS table_no,
    landed.source_row_id
FROM landing.immunizations AS landed

UNION ALL

SELECT
    cast({{ part.synthea_allergies }} AS integer) AS table_no,
    landed.source_row_id
FROM landing.allergies AS landed

UNION ALL

SELECT
    cast({{ part.synthea_careplans }} AS integer) AS table_no,
    landed.source_row_id
FROM landing.careplans AS landed

UNION ALL

SELECT
    cast({{ part.synthea_devices }} AS integer) AS table_no,
    landed.source_row_id
FROM landing.devices AS landed

UNION ALL

SELECT
    cast({{ part.synthea_supplies }} AS integer) AS table_no,
    landed.source_row_id
FROM landing.supplies AS landed

UNION ALL

SELECT
    cast({{ part.synthea_imaging_studies }} AS integer) AS table_no,
    landed.source_row_id
FROM landing.imaging_studies AS landed

UNION ALL

SELECT
    cast({{ part.synthea_observations }} AS integer) AS table_no,
    landed.source_row_id
FROM landing.observations AS landed

UNION ALL

SELECT
    cast({{ part.synthea_claim_cost }} AS integer) AS table_no,
    landed.source_row_id
FROM landing.claims AS landed

UNION ALL

SELECT
    cast({{ part.synthea_claims_transactions }} AS integer) AS table_no,
    landed.source_row_id
FROM landing.claims_transactions AS landed

UNION ALL

SELECT
    cast({{ part.synthea_payers }} AS integer) AS table_no,
    landed.source_row_id
FROM landing.payers AS landed

UNION ALL

SELECT
    cast({{ part.synthea_payer_plan }} AS integer) AS table_no,
    landed.source_row_id
FROM landing.payer_transitions AS landed
