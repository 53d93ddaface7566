-- one row per patient of patients.csv
-- keeps:    every row, also without a birth date (map.person excludes those by name); it has no time of day
-- excludes: names, addresses, numbers: they are not landed
SELECT
    cast({{ part.synthea_person }} AS integer) AS source_part_no,
    cast(patient.source_row_id AS bigint) AS source_row_id,
    cast(patient.id AS varchar) AS person_key,
    cast(extract(YEAR FROM patient.birthdate) AS integer) AS year_of_birth,
    cast(extract(MONTH FROM patient.birthdate) AS integer) AS month_of_birth,
    cast(extract(DAY FROM patient.birthdate) AS integer) AS day_of_birth,
    cast(NULL AS timestamp) AS birth_datetime,
    cast('Synthea gender' AS varchar) AS gender_vocabulary,
    cast(patient.gender AS varchar) AS gender_code,
    cast('Synthea race' AS varchar) AS race_vocabulary,
    cast(patient.race AS varchar) AS race_code,
    cast('Synthea ethnicity' AS varchar) AS ethnicity_vocabulary,
    cast(patient.ethnicity AS varchar) AS ethnicity_code,
    cast(concat_ws('|', patient.city, patient.state, patient.zip, patient.county) AS varchar) AS location_key,
    cast(NULL AS varchar) AS provider_key,
    cast(NULL AS varchar) AS care_site_key
FROM landing.patients AS patient
