-- one row per person of the CDM: the id, the source's row and key, mapped codes and links
-- keeps:    persons with a year of birth, which the CDM requires
-- excludes: persons without one (map.excluded: person_without_birth_year) and, with them, all their records
SELECT
    known.person_id,
    person.person_key,
    person.source_part_no,
    person.source_row_id,
    person.year_of_birth,
    person.month_of_birth,
    person.day_of_birth,
    person.birth_datetime,
    cast(coalesce(gender.target_concept_id, 0) AS integer) AS gender_concept_id,
    person.gender_code,
    cast(coalesce(gender.source_concept_id, 0) AS integer) AS gender_source_concept_id,
    cast(coalesce(race.target_concept_id, 0) AS integer) AS race_concept_id,
    person.race_code,
    cast(coalesce(race.source_concept_id, 0) AS integer) AS race_source_concept_id,
    cast(coalesce(ethnicity.target_concept_id, 0) AS integer) AS ethnicity_concept_id,
    person.ethnicity_code,
    cast(coalesce(ethnicity.source_concept_id, 0) AS integer) AS ethnicity_source_concept_id,
    person.location_key,
    provider.provider_id,
    care_site.care_site_id
FROM source.src_person AS person
INNER JOIN state.person AS known ON person.person_key = known.person_key
LEFT JOIN map.map_source_code AS gender
    ON person.gender_vocabulary = gender.source_vocabulary
    AND person.gender_code = gender.source_code
    AND gender.target_no = 0
LEFT JOIN map.map_source_code AS race
    ON person.race_vocabulary = race.source_vocabulary
    AND person.race_code = race.source_code
    AND race.target_no = 0
LEFT JOIN map.map_source_code AS ethnicity
    ON person.ethnicity_vocabulary = ethnicity.source_vocabulary
    AND person.ethnicity_code = ethnicity.source_code
    AND ethnicity.target_no = 0
LEFT JOIN map.provider AS provider ON person.provider_key = provider.provider_key
LEFT JOIN map.care_site AS care_site ON person.care_site_key = care_site.care_site_key
WHERE person.year_of_birth IS NOT NULL
