-- one row per provider of the source, with the CDM's id
-- keeps:    every provider, also those who treated nobody
SELECT
    provider.provider_key,
    cast(provider.source_row_id * 100000 + provider.source_part_no * 100 AS bigint) AS provider_id,
    provider.provider_name,
    provider.npi,
    provider.year_of_birth,
    care_site.care_site_id,
    provider.specialty_code,
    cast(coalesce(specialty.target_concept_id, 0) AS integer) AS specialty_concept_id,
    cast(coalesce(specialty.source_concept_id, 0) AS integer) AS specialty_source_concept_id,
    provider.gender_code,
    cast(coalesce(gender.target_concept_id, 0) AS integer) AS gender_concept_id,
    cast(coalesce(gender.source_concept_id, 0) AS integer) AS gender_source_concept_id
FROM source.src_provider AS provider
LEFT JOIN map.care_site AS care_site ON provider.care_site_key = care_site.care_site_key
LEFT JOIN map.map_source_code AS specialty
    ON provider.specialty_vocabulary = specialty.source_vocabulary
    AND provider.specialty_code = specialty.source_code
    AND specialty.target_no = 0
LEFT JOIN map.map_source_code AS gender
    ON provider.gender_vocabulary = gender.source_vocabulary
    AND provider.gender_code = gender.source_code
    AND gender.target_no = 0
