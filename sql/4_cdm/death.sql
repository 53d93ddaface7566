-- one row per dead person
-- keeps:    the earliest date if the source has several
-- excludes: records without a date, and of unknown or excluded persons
SELECT
    cast(person.person_id AS integer) AS person_id,
    cast(death.death_datetime AS date) AS death_date,
    cast(death.death_datetime AS timestamp) AS death_datetime,
    cast(death.type_concept_id AS integer) AS death_type_concept_id,
    cast(coalesce(cause.target_concept_id, 0) AS integer) AS cause_concept_id,
    cast(left(death.cause_code, 50) AS varchar) AS cause_source_value,
    cast(coalesce(cause.source_concept_id, 0) AS integer) AS cause_source_concept_id
FROM source.src_death AS death
INNER JOIN map.person AS person ON death.person_key = person.person_key
LEFT JOIN map.map_source_code AS cause
    ON death.cause_vocabulary = cause.source_vocabulary
    AND death.cause_code = cause.source_code
    AND cause.target_no = 0
WHERE death.death_datetime IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY person.person_id ORDER BY death.death_datetime, death.source_row_id) = 1
