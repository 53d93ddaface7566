-- one row per clinician of providers.csv
-- keeps:    every row, also those who treated nobody
SELECT
    cast({{ part.synthea_provider }} AS integer) AS source_part_no,
    cast(provider.source_row_id AS bigint) AS source_row_id,
    cast(provider.id AS varchar) AS provider_key,
    cast(provider.name AS varchar) AS provider_name,
    cast(NULL AS varchar) AS npi,
    cast('Synthea specialty' AS varchar) AS specialty_vocabulary,
    cast(provider.speciality AS varchar) AS specialty_code,
    cast('Synthea gender' AS varchar) AS gender_vocabulary,
    cast(provider.gender AS varchar) AS gender_code,
    cast(NULL AS integer) AS year_of_birth,
    cast(provider.organization AS varchar) AS care_site_key
FROM landing.providers AS provider
