-- one row per patient with a date of death in patients.csv
-- keeps:    DEATHDATE as the date, which has no time of day; the cause is the reason of the encounter that certifies the
--           death, the first if there are several
-- note:     that encounter is often days later than the death, so its own date is not used
WITH certificate AS (
    SELECT
        encounter.patient,
        encounter.reasoncode
    FROM landing.encounters AS encounter
    WHERE encounter.code = '308646001'
    QUALIFY row_number() OVER (PARTITION BY encounter.patient ORDER BY encounter.source_row_id) = 1
)

SELECT
    cast({{ part.synthea_death }} AS integer) AS source_part_no,
    cast(patient.source_row_id AS bigint) AS source_row_id,
    cast(patient.id AS varchar) AS person_key,
    cast(extract(YEAR FROM patient.deathdate) AS integer) AS year_of_death,
    cast(extract(MONTH FROM patient.deathdate) AS integer) AS month_of_death,
    cast(extract(DAY FROM patient.deathdate) AS integer) AS day_of_death,
    cast(NULL AS timestamp) AS death_datetime,
    cast(1 AS integer) AS reliability_rank,
    cast({{ concept.ehr }} AS integer) AS type_concept_id,
    cast('SNOMED' AS varchar) AS cause_vocabulary,
    cast(certificate.reasoncode AS varchar) AS cause_code
FROM landing.patients AS patient
LEFT JOIN certificate ON patient.id = certificate.patient
WHERE patient.deathdate IS NOT NULL
