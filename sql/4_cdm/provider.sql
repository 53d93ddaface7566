-- one row per clinician
-- keeps:    every clinician, also those who treated nobody; specialties without a concept as 0
SELECT
    cast(provider.provider_id AS bigint) AS provider_id,
    cast(left(provider.provider_name, 255) AS varchar) AS provider_name,
    cast(left(provider.npi, 20) AS varchar) AS npi,
    cast(NULL AS varchar) AS dea,
    cast(provider.specialty_concept_id AS integer) AS specialty_concept_id,
    cast(provider.care_site_id AS bigint) AS care_site_id,
    cast(provider.year_of_birth AS integer) AS year_of_birth,
    cast(provider.gender_concept_id AS integer) AS gender_concept_id,
    cast(left(provider.provider_key, 50) AS varchar) AS provider_source_value,
    cast(left(provider.specialty_code, 50) AS varchar) AS specialty_source_value,
    cast(provider.specialty_source_concept_id AS integer) AS specialty_source_concept_id,
    cast(left(provider.gender_code, 50) AS varchar) AS gender_source_value,
    cast(provider.gender_source_concept_id AS integer) AS gender_source_concept_id
FROM map.provider AS provider
