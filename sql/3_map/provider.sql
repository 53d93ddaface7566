-- one row per provider of the source (provider_key), with the CDM's id
-- keeps:    the smallest source row of a key, all attributes from it (the others: map.merged), before anything is joined
-- keeps:    every provider, also those who treated nobody
-- keeps:    a specialty or sex without a concept as 0 with its code, one that is not recorded as NULL; maps as of the
--           cut-off
WITH clinician AS (
    SELECT
        provider.provider_key,
        provider.source_part_no,
        provider.source_row_id,
        CASE WHEN lower(trim(provider.provider_name)) NOT IN ('', 'null') THEN provider.provider_name END
            AS provider_name,
        CASE WHEN lower(trim(provider.npi)) NOT IN ('', 'null') THEN provider.npi END AS npi,
        provider.year_of_birth,
        provider.care_site_key,
        provider.specialty_vocabulary,
        CASE WHEN lower(trim(provider.specialty_code)) NOT IN ('', 'null') THEN provider.specialty_code END
            AS specialty_code,
        provider.gender_vocabulary,
        CASE WHEN lower(trim(provider.gender_code)) NOT IN ('', 'null') THEN provider.gender_code END AS gender_code
    FROM source.src_provider AS provider
    QUALIFY
        row_number() OVER (
            PARTITION BY provider.provider_key ORDER BY provider.source_row_id, provider.source_part_no
        ) = 1
)

SELECT
    clinician.provider_key,
    cast(clinician.source_row_id * 100000 + clinician.source_part_no * 100 AS bigint) AS provider_id,
    cast(clinician.provider_name AS varchar) AS provider_name,
    cast(clinician.npi AS varchar) AS npi,
    clinician.year_of_birth,
    care_site.care_site_id,
    cast(clinician.specialty_code AS varchar) AS specialty_code,
    cast(
        CASE WHEN clinician.specialty_code IS NOT NULL THEN coalesce(specialty.target_concept_id, 0) END AS integer
    ) AS specialty_concept_id,
    cast(
        CASE WHEN clinician.specialty_code IS NOT NULL THEN coalesce(specialty.source_concept_id, 0) END AS integer
    ) AS specialty_source_concept_id,
    cast(clinician.gender_code AS varchar) AS gender_code,
    cast(
        CASE WHEN clinician.gender_code IS NOT NULL THEN coalesce(gender.target_concept_id, 0) END AS integer
    ) AS gender_concept_id,
    cast(
        CASE WHEN clinician.gender_code IS NOT NULL THEN coalesce(gender.source_concept_id, 0) END AS integer
    ) AS gender_source_concept_id
FROM clinician
CROSS JOIN run.parameter AS parameter
LEFT JOIN map.care_site AS care_site ON clinician.care_site_key = care_site.care_site_key
LEFT JOIN map.map_source_code AS specialty
    ON clinician.specialty_vocabulary = specialty.source_vocabulary
    AND clinician.specialty_code = specialty.source_code
    AND specialty.target_no = 0
    AND parameter.cutoff_date BETWEEN specialty.valid_start_date AND specialty.valid_end_date
LEFT JOIN map.map_source_code AS gender
    ON clinician.gender_vocabulary = gender.source_vocabulary
    AND clinician.gender_code = gender.source_code
    AND gender.target_no = 0
    AND parameter.cutoff_date BETWEEN gender.valid_start_date AND gender.valid_end_date
