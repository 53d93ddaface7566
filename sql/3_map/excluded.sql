-- one row per source row (and part) that does not reach the CDM, with the first rule that holds:
--   person_unknown             the source has no such person
--   person_without_birth_year  the person cannot be in the CDM, so neither can what belongs to him
--   no_start_date, no_code     the CDM cannot date the record, or there is nothing to map
--   other_record_of_death      the CDM has one death per person, and another record is more reliable or later
--   merge_not_applied          a newer merge of the same patient holds, or merges lead in a circle or to nobody
--   visit_unknown              a visit detail whose visit is not in the CDM, or is somebody else's
--   cost_event_unknown         a cost whose event or visit is not in the CDM
-- note: rows that went into another row of their table are no exclusion (map.merged); rows that only support others are
--       judged by the account (supports_nothing)
WITH record AS (
    SELECT
        event.source_part_no,
        event.source_row_id,
        event.person_key,
        CASE
            WHEN event.start_datetime IS NULL THEN 'no_start_date'
            WHEN lower(trim(coalesce(event.source_code, ''))) IN ('', 'null') THEN 'no_code'
        END AS own_rule
    FROM source.src_event AS event
    UNION ALL
    SELECT
        visit.source_part_no,
        visit.source_row_id,
        visit.person_key,
        CASE WHEN visit.start_datetime IS NULL THEN 'no_start_date' END AS own_rule
    FROM source.src_visit AS visit
    UNION ALL
    SELECT
        detail.source_part_no,
        detail.source_row_id,
        detail.person_key,
        CASE
            WHEN detail.start_datetime IS NULL THEN 'no_start_date'
            WHEN known.visit_detail_id IS NULL THEN 'visit_unknown'
        END AS own_rule
    FROM source.src_visit_detail AS detail
    LEFT JOIN map.visit_detail AS known
        ON detail.source_row_id * 100000 + detail.source_part_no * 100 = known.visit_detail_id
    UNION ALL
    SELECT
        plan.source_part_no,
        plan.source_row_id,
        plan.person_key,
        CASE WHEN plan.start_datetime IS NULL THEN 'no_start_date' END AS own_rule
    FROM source.src_payer_plan AS plan
    UNION ALL
    SELECT
        cost.source_part_no,
        cost.source_row_id,
        cost.person_key,
        CASE WHEN known.cost_id IS NULL THEN 'cost_event_unknown' END AS own_rule
    FROM source.src_cost AS cost
    LEFT JOIN map.cost AS known ON cost.source_row_id * 100000 + cost.source_part_no * 100 = known.cost_id
    UNION ALL
    SELECT
        note.source_part_no,
        note.source_row_id,
        note.person_key,
        CASE WHEN note.note_datetime IS NULL THEN 'no_start_date' END AS own_rule
    FROM source.src_note AS note
    UNION ALL
    SELECT
        person.source_part_no,
        person.source_row_id,
        person.person_key,
        NULL AS own_rule
    FROM source.src_person AS person
    UNION ALL
    SELECT
        merge.source_part_no,
        merge.source_row_id,
        merge.person_key,
        CASE WHEN known.person_key IS NULL THEN 'merge_not_applied' END AS own_rule
    FROM source.src_person_merge AS merge
    LEFT JOIN map.person_merge AS newest
        ON merge.source_part_no = newest.source_part_no
        AND merge.source_row_id = newest.source_row_id
    LEFT JOIN map.person AS known
        ON newest.old_person_key = known.person_key
        AND NOT known.is_survivor
    UNION ALL
    SELECT
        death.source_part_no,
        death.source_row_id,
        death.person_key,
        CASE
            WHEN known.source_row_id IS NULL THEN 'no_start_date'
            WHEN NOT known.is_kept THEN 'other_record_of_death'
        END AS own_rule
    FROM source.src_death AS death
    LEFT JOIN map.death AS known
        ON death.source_part_no = known.source_part_no
        AND death.source_row_id = known.source_row_id
),

patient AS (
    SELECT DISTINCT person.person_key
    FROM source.src_person AS person
)

SELECT
    cast(record.source_part_no AS integer) AS source_part_no,
    cast(record.source_row_id AS bigint) AS source_row_id,
    cast(
        CASE
            WHEN patient.person_key IS NULL THEN 'person_unknown'
            WHEN person.person_key IS NULL THEN 'person_without_birth_year'
            ELSE record.own_rule
        END AS varchar
    ) AS rule
FROM record
LEFT JOIN map.person AS person ON record.person_key = person.person_key
LEFT JOIN patient ON record.person_key = patient.person_key
WHERE person.person_key IS NULL OR record.own_rule IS NOT NULL
