-- one row per source row (and part) in the CDM, and flag: something about it is odd, or was left out
--   days_supply_out_of_range   below 0 or over 365 days: the number is left out
--   end_before_start           the end is left out (events), or is the start (visits, visit details, insured periods)
--   after_death                an event, visit or note more than 60 days after the person's death; kept
--   before_birth               one before the person's birth, as far as it is known; kept
--   after_cutoff               one that starts after the data cut-off; kept
-- keeps:    rows that went into another row's (map.merged) too: what is odd about them stays to be repaired
-- excludes: rows that are not in the CDM (map.excluded)
WITH record AS (
    SELECT
        event.source_part_no,
        event.source_row_id,
        event.person_key,
        cast(event.start_datetime AS date) AS event_date,
        event.end_datetime < event.start_datetime AS ends_early,
        event.days_supply NOT BETWEEN 0 AND 365 AS has_odd_supply
    FROM source.src_event AS event
    UNION ALL
    SELECT
        visit.source_part_no,
        visit.source_row_id,
        visit.person_key,
        cast(visit.start_datetime AS date) AS event_date,
        visit.end_datetime < visit.start_datetime AS ends_early,
        FALSE AS has_odd_supply
    FROM source.src_visit AS visit
    UNION ALL
    SELECT
        detail.source_part_no,
        detail.source_row_id,
        detail.person_key,
        cast(detail.start_datetime AS date) AS event_date,
        detail.end_datetime < detail.start_datetime AS ends_early,
        FALSE AS has_odd_supply
    FROM source.src_visit_detail AS detail
    UNION ALL
    SELECT
        note.source_part_no,
        note.source_row_id,
        note.person_key,
        cast(note.note_datetime AS date) AS event_date,
        FALSE AS ends_early,
        FALSE AS has_odd_supply
    FROM source.src_note AS note
    UNION ALL
    SELECT
        plan.source_part_no,
        plan.source_row_id,
        plan.person_key,
        NULL AS event_date, -- a contract may begin before birth, and is paid after death
        plan.end_datetime < plan.start_datetime AS ends_early,
        FALSE AS has_odd_supply
    FROM source.src_payer_plan AS plan
),

life AS (
    SELECT
        person.person_key,
        person.year_of_birth * 10000
        + coalesce(person.month_of_birth, 0) * 100
        + CASE WHEN person.month_of_birth IS NOT NULL THEN coalesce(person.day_of_birth, 0) ELSE 0 END AS birth_number,
        death.death_date + 60 AS last_date
    FROM map.person AS person
    LEFT JOIN map.death AS death
        ON person.person_id = death.person_id
        AND death.is_kept
),

judged AS (
    SELECT
        record.source_part_no,
        record.source_row_id,
        record.has_odd_supply,
        record.ends_early,
        record.event_date > life.last_date AS is_after_death,
        extract(YEAR FROM record.event_date) * 10000
        + extract(MONTH FROM record.event_date) * 100
        + extract(DAY FROM record.event_date) < life.birth_number AS is_before_birth,
        record.event_date > parameter.cutoff_date AS is_after_cutoff
    FROM record
    INNER JOIN life ON record.person_key = life.person_key
    CROSS JOIN run.parameter AS parameter
),

odd AS (
    SELECT
        judged.source_part_no,
        judged.source_row_id,
        CASE flag.name
            WHEN 'days_supply_out_of_range' THEN judged.has_odd_supply
            WHEN 'end_before_start' THEN judged.ends_early
            WHEN 'after_death' THEN judged.is_after_death
            WHEN 'before_birth' THEN judged.is_before_birth
            WHEN 'after_cutoff' THEN judged.is_after_cutoff
        END AS is_so,
        flag.name AS flag
    FROM judged
    CROSS JOIN (
        VALUES
        ('days_supply_out_of_range'),
        ('end_before_start'),
        ('after_death'),
        ('before_birth'),
        ('after_cutoff')
    ) AS flag (name)
    WHERE
        judged.has_odd_supply
        OR judged.ends_early
        OR judged.is_after_death
        OR judged.is_before_birth
        OR judged.is_after_cutoff
)

SELECT
    cast(odd.source_part_no AS integer) AS source_part_no,
    cast(odd.source_row_id AS bigint) AS source_row_id,
    cast(odd.flag AS varchar) AS flag
FROM odd
ANTI JOIN map.excluded AS excluded
    ON odd.source_part_no = excluded.source_part_no
    AND odd.source_row_id = excluded.source_row_id
WHERE odd.is_so
