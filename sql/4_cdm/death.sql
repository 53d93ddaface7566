-- one row per dead person: the record that map.death keeps
-- keeps:    deaths without a cause, or with one that the vocabulary does not know
-- excludes: a person's other records of the death (map.excluded: other_record_of_death)
SELECT
    cast(death.person_id AS integer) AS person_id,
    cast(death.death_date AS date) AS death_date,
    cast(death.death_datetime AS timestamp) AS death_datetime,
    cast(death.type_concept_id AS integer) AS death_type_concept_id,
    cast(death.cause_concept_id AS integer) AS cause_concept_id,
    cast(left(death.cause_code, 50) AS varchar) AS cause_source_value,
    cast(death.cause_source_concept_id AS integer) AS cause_source_concept_id
FROM map.death AS death
WHERE death.is_kept
