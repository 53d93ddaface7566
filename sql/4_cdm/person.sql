-- one row per person
-- keeps:    the source's key of the person; sex, race and ethnicity without a concept as 0
-- excludes: persons without a year of birth (map.person)
SELECT
    cast(person.person_id AS integer) AS person_id,
    cast(person.gender_concept_id AS integer) AS gender_concept_id,
    cast(person.year_of_birth AS integer) AS year_of_birth,
    cast(person.month_of_birth AS integer) AS month_of_birth,
    cast(person.day_of_birth AS integer) AS day_of_birth,
    cast(person.birth_datetime AS timestamp) AS birth_datetime,
    cast(person.race_concept_id AS integer) AS race_concept_id,
    cast(person.ethnicity_concept_id AS integer) AS ethnicity_concept_id,
    cast(location.location_id AS bigint) AS location_id,
    cast(person.provider_id AS bigint) AS provider_id,
    cast(person.care_site_id AS bigint) AS care_site_id,
    cast(left(person.person_key, 50) AS varchar) AS person_source_value,
    cast(left(person.gender_code, 50) AS varchar) AS gender_source_value,
    cast(person.gender_source_concept_id AS integer) AS gender_source_concept_id,
    cast(left(person.race_code, 50) AS varchar) AS race_source_value,
    cast(person.race_source_concept_id AS integer) AS race_source_concept_id,
    cast(left(person.ethnicity_code, 50) AS varchar) AS ethnicity_source_value,
    cast(person.ethnicity_source_concept_id AS integer) AS ethnicity_source_concept_id
FROM map.person AS person
LEFT JOIN map.location AS location ON person.location_key = location.location_key
