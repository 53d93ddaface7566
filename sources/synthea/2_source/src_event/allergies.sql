-- one row per allergy or intolerance of allergies.csv: to what; the reactions are parts of their own
-- keeps:    every row
-- note:     SYSTEM is 'Unknown' in 3.3 for SNOMED CT and RxNorm alike. A SNOMED CT concept id has at least 6 digits and
--           '00' or '10' before its check digit; what does not look like one is RxNorm.
-- note:     a drug's code alone would make its concept's domain send an allergy to drug_exposure, as if it had been
--           given. So the event is an allergy, and the drug is its value.
SELECT
    cast({{ part.synthea_allergies }} AS integer) AS source_part_no,
    cast(allergy.source_row_id AS bigint) AS source_row_id,
    cast(allergy.patient AS varchar) AS person_key,
    cast(allergy.encounter AS varchar) AS visit_key,
    cast(NULL AS varchar) AS provider_key,
    cast('observation' AS varchar) AS origin_table,
    cast({{ concept.ehr }} AS integer) AS type_concept_id,
    cast(CASE WHEN allergy.is_drug THEN 'Synthea drug allergy' ELSE 'SNOMED' END AS varchar) AS source_vocabulary,
    cast(allergy.code AS varchar) AS source_code,
    cast(allergy.start AS timestamp) AS start_datetime,
    cast(allergy.stop AS timestamp) AS end_datetime,
    cast(NULL AS double) AS value_number,
    cast(NULL AS varchar) AS value_text,
    cast(CASE WHEN allergy.is_drug THEN 'RxNorm' END AS varchar) AS value_vocabulary,
    cast(CASE WHEN allergy.is_drug THEN allergy.code END AS varchar) AS value_code,
    cast(NULL AS varchar) AS unit_vocabulary,
    cast(NULL AS varchar) AS unit_code,
    cast(NULL AS varchar) AS operator_code,
    cast(NULL AS double) AS range_low,
    cast(NULL AS double) AS range_high,
    cast(NULL AS double) AS quantity,
    cast(NULL AS integer) AS days_supply,
    cast(NULL AS integer) AS refills,
    cast(NULL AS varchar) AS sig,
    cast(NULL AS varchar) AS route_vocabulary,
    cast(NULL AS varchar) AS route_code,
    cast(NULL AS varchar) AS modifier_vocabulary,
    cast(NULL AS varchar) AS modifier_code,
    cast(NULL AS varchar) AS status_vocabulary,
    cast(NULL AS varchar) AS status_code,
    cast(NULL AS varchar) AS stop_reason,
    cast(NULL AS varchar) AS unique_device_id,
    cast(NULL AS varchar) AS production_id,
    cast(NULL AS varchar) AS lot_number
FROM (
    SELECT
        landed.*,
        CASE
            WHEN upper(landed.system) LIKE '%RXNORM%' THEN TRUE
            WHEN upper(landed.system) LIKE '%SNOMED%' THEN FALSE
            ELSE NOT regexp_matches(coalesce(landed.code, ''), '^[0-9]{3,15}[01]0[0-9]$')
        END AS is_drug
    FROM landing.allergies AS landed
) AS allergy
