-- one row per record of a death; of each person exactly one is_kept, which becomes the CDM's
-- keeps:    the most reliable record (rank 1 before 2, unranked last), of equally reliable ones the latest date, of equal
--           dates the first row
-- keeps:    a death without a month as of December, without a day as of its month's last; a month or day that no calendar
--           has counts as unknown
-- keeps:    a cause that the vocabulary does not know as 0, NULL where the source names none; maps as of the death
-- excludes: records without a year of death (map.excluded: no_start_date), and of unknown or excluded persons
-- note:     the records that are not kept are map.excluded's other_record_of_death
WITH recorded AS (
    SELECT
        death.source_part_no,
        death.source_row_id,
        person.person_id,
        death.year_of_death,
        CASE WHEN death.month_of_death BETWEEN 1 AND 12 THEN death.month_of_death ELSE 12 END AS month_no,
        CASE WHEN death.month_of_death BETWEEN 1 AND 12 THEN death.day_of_death END AS day_no,
        death.death_datetime,
        death.reliability_rank,
        death.type_concept_id,
        death.cause_vocabulary,
        CASE WHEN lower(trim(death.cause_code)) NOT IN ('', 'null') THEN death.cause_code END AS cause_code
    FROM source.src_death AS death
    INNER JOIN map.person AS person ON death.person_key = person.person_key
    WHERE death.year_of_death BETWEEN 1 AND 9999
),

month AS (
    SELECT
        recorded.source_part_no,
        recorded.source_row_id,
        recorded.person_id,
        cast(
            lpad(cast(recorded.year_of_death AS varchar), 4, '0') || '-'
            || lpad(cast(recorded.month_no AS varchar), 2, '0') || '-01' AS date
        ) AS first_date,
        recorded.day_no,
        recorded.death_datetime,
        recorded.reliability_rank,
        recorded.type_concept_id,
        recorded.cause_vocabulary,
        recorded.cause_code
    FROM recorded
),

record AS (
    SELECT
        month.source_part_no,
        month.source_row_id,
        month.person_id,
        CASE
            WHEN month.day_no BETWEEN 1 AND extract(DAY FROM cast(month.first_date + INTERVAL 1 MONTH AS date) + -1)
                THEN month.first_date + (month.day_no - 1)
            ELSE cast(month.first_date + INTERVAL 1 MONTH AS date) + -1
        END AS death_date,
        month.death_datetime,
        month.reliability_rank,
        month.type_concept_id,
        month.cause_vocabulary,
        month.cause_code
    FROM month
)

SELECT
    cast(record.source_part_no AS integer) AS source_part_no,
    cast(record.source_row_id AS bigint) AS source_row_id,
    cast(record.person_id AS integer) AS person_id,
    cast(
        row_number() OVER (
            PARTITION BY record.person_id
            ORDER BY
                record.reliability_rank ASC NULLS LAST,
                record.death_date DESC,
                record.source_row_id ASC,
                record.source_part_no ASC
        ) = 1 AS boolean
    ) AS is_kept,
    cast(record.death_date AS date) AS death_date,
    cast(record.death_datetime AS timestamp) AS death_datetime,
    cast(record.type_concept_id AS integer) AS type_concept_id,
    cast(record.cause_code AS varchar) AS cause_code,
    cast(
        CASE WHEN record.cause_code IS NOT NULL THEN coalesce(cause.target_concept_id, 0) END AS integer
    ) AS cause_concept_id,
    cast(
        CASE WHEN record.cause_code IS NOT NULL THEN coalesce(cause.source_concept_id, 0) END AS integer
    ) AS cause_source_concept_id
FROM record
LEFT JOIN map.map_source_code AS cause
    ON record.cause_vocabulary = cause.source_vocabulary
    AND record.cause_code = cause.source_code
    AND cause.target_no = 0
    AND record.death_date BETWEEN cause.valid_start_date AND cause.valid_end_date
