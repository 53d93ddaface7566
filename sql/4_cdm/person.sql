-- one row per person
-- keeps:    the source's key of the person; sex, race and ethnicity without a concept as 0
-- keeps:    the source's birth_datetime; else its date at midnight, without a day the first of the month; without a month
--           the date of the person's first visit or event in the year of birth, else 15 June
-- note:     month and day of birth stay empty where the source has none: only birth_datetime follows the convention
-- excludes: persons without a year of birth (map.person), and keys that were merged into another person's
WITH
-- only these persons' records are looked through: usually there are none
unclear AS (
    SELECT
        person.person_id,
        person.year_of_birth
    FROM map.person AS person
    WHERE person.is_survivor AND person.month_of_birth IS NULL AND person.birth_datetime IS NULL
),

first_record AS (
    SELECT
        record.person_id,
        min(record.start_date) AS start_date
    FROM (
        SELECT
            visit.person_id,
            visit.start_date
        FROM map.visit AS visit
        INNER JOIN unclear
            ON visit.person_id = unclear.person_id
            AND extract(YEAR FROM visit.start_date) = unclear.year_of_birth
        UNION ALL
        SELECT
            event.person_id,
            event.start_date
        FROM map.event AS event
        INNER JOIN unclear
            ON event.person_id = unclear.person_id
            AND extract(YEAR FROM event.start_date) = unclear.year_of_birth
    ) AS record
    GROUP BY record.person_id
),

born AS (
    SELECT
        person.person_id,
        cast(
            lpad(cast(person.year_of_birth AS varchar), 4, '0') || '-'
            || lpad(cast(coalesce(person.month_of_birth, 6) AS varchar), 2, '0') || '-'
            || lpad(
                cast(
                    CASE WHEN person.month_of_birth IS NULL THEN 15 ELSE coalesce(person.day_of_birth, 1) END AS varchar
                ),
                2,
                '0'
            ) AS timestamp
        ) AS usual_datetime
    FROM map.person AS person
    WHERE person.is_survivor
)

SELECT
    cast(person.person_id AS integer) AS person_id,
    cast(person.gender_concept_id AS integer) AS gender_concept_id,
    cast(person.year_of_birth AS integer) AS year_of_birth,
    cast(person.month_of_birth AS integer) AS month_of_birth,
    cast(person.day_of_birth AS integer) AS day_of_birth,
    cast(coalesce(person.birth_datetime, cast(first_record.start_date AS timestamp), born.usual_datetime) AS timestamp)
        AS birth_datetime,
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
INNER JOIN born ON person.person_id = born.person_id
LEFT JOIN first_record ON person.person_id = first_record.person_id
LEFT JOIN map.location AS location ON person.location_key = location.location_key
WHERE person.is_survivor
