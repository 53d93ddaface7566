-- one row per source column, source vocabulary and code that the source uses there: its rows, and those that are mapped
-- keeps:    all rows of the source, also of persons that are excluded: a code is to be mapped whoever has it
-- keeps:    codes that mean something only in a stretch of time: a row counts as mapped by its own date, a row without
--           one (sexes, specialties …) as of the cut-off
-- excludes: texts, numbers and names: only columns that hold codes are read; blanks and the word null are no codes
-- note:     a source column is a part of a source table and what its code says (role); targets are distinct concepts,
--           target_concept_id is the smallest. 2 million events take 0.3 s: they are counted, then joined
WITH dated AS (
    SELECT DISTINCT
        code.source_vocabulary,
        code.source_code
    FROM map.map_source_code AS code
    WHERE code.valid_start_date > cast('1000-01-01' AS date)
),

record AS (
    SELECT
        event.source_part_no,
        'code' AS role,
        event.source_vocabulary,
        event.source_code,
        event.start_datetime AS record_datetime
    FROM source.src_event AS event
    UNION ALL
    SELECT event.source_part_no, 'value', event.value_vocabulary, event.value_code, event.start_datetime
    FROM source.src_event AS event
    WHERE event.value_code IS NOT NULL
    UNION ALL
    SELECT event.source_part_no, 'unit', event.unit_vocabulary, event.unit_code, event.start_datetime
    FROM source.src_event AS event
    WHERE event.unit_code IS NOT NULL
    UNION ALL
    SELECT event.source_part_no, 'route', event.route_vocabulary, event.route_code, event.start_datetime
    FROM source.src_event AS event
    WHERE event.route_code IS NOT NULL
    UNION ALL
    SELECT event.source_part_no, 'modifier', event.modifier_vocabulary, event.modifier_code, event.start_datetime
    FROM source.src_event AS event
    WHERE event.modifier_code IS NOT NULL
    UNION ALL
    SELECT event.source_part_no, 'status', event.status_vocabulary, event.status_code, event.start_datetime
    FROM source.src_event AS event
    WHERE event.status_code IS NOT NULL
    UNION ALL
    SELECT visit.source_part_no, 'visit_class', visit.visit_vocabulary, visit.visit_code, visit.start_datetime
    FROM source.src_visit AS visit
    UNION ALL
    SELECT
        visit.source_part_no,
        'admitted_from',
        visit.admitted_from_vocabulary,
        visit.admitted_from_code,
        visit.start_datetime
    FROM source.src_visit AS visit
    UNION ALL
    SELECT
        visit.source_part_no,
        'discharged_to',
        visit.discharged_to_vocabulary,
        visit.discharged_to_code,
        visit.start_datetime
    FROM source.src_visit AS visit
    UNION ALL
    SELECT
        detail.source_part_no,
        'detail_class',
        detail.visit_detail_vocabulary,
        detail.visit_detail_code,
        detail.start_datetime
    FROM source.src_visit_detail AS detail
    UNION ALL
    SELECT
        detail.source_part_no,
        'detail_admitted_from',
        detail.admitted_from_vocabulary,
        detail.admitted_from_code,
        detail.start_datetime
    FROM source.src_visit_detail AS detail
    UNION ALL
    SELECT
        detail.source_part_no,
        'detail_discharged_to',
        detail.discharged_to_vocabulary,
        detail.discharged_to_code,
        detail.start_datetime
    FROM source.src_visit_detail AS detail
    UNION ALL
    SELECT person.source_part_no, 'gender', person.gender_vocabulary, person.gender_code, NULL
    FROM source.src_person AS person
    UNION ALL
    SELECT person.source_part_no, 'race', person.race_vocabulary, person.race_code, NULL
    FROM source.src_person AS person
    UNION ALL
    SELECT person.source_part_no, 'ethnicity', person.ethnicity_vocabulary, person.ethnicity_code, NULL
    FROM source.src_person AS person
    UNION ALL
    SELECT death.source_part_no, 'cause_of_death', death.cause_vocabulary, death.cause_code, death.death_datetime
    FROM source.src_death AS death
    UNION ALL
    SELECT provider.source_part_no, 'specialty', provider.specialty_vocabulary, provider.specialty_code, NULL
    FROM source.src_provider AS provider
    UNION ALL
    SELECT provider.source_part_no, 'gender', provider.gender_vocabulary, provider.gender_code, NULL
    FROM source.src_provider AS provider
    UNION ALL
    SELECT
        care_site.source_part_no,
        'place_of_service',
        care_site.place_of_service_vocabulary,
        care_site.place_of_service_code,
        NULL
    FROM source.src_care_site AS care_site
    UNION ALL
    SELECT plan.source_part_no, 'payer', plan.payer_vocabulary, plan.payer_code, plan.start_datetime
    FROM source.src_payer_plan AS plan
    UNION ALL
    SELECT plan.source_part_no, 'plan', plan.plan_vocabulary, plan.plan_code, plan.start_datetime
    FROM source.src_payer_plan AS plan
    UNION ALL
    SELECT note.source_part_no, 'note_class', note.class_vocabulary, note.class_code, note.note_datetime
    FROM source.src_note AS note
    UNION ALL
    SELECT note.source_part_no, 'note_language', note.language_vocabulary, note.language_code, note.note_datetime
    FROM source.src_note AS note
),

-- dates are kept apart only for the few codes whose meaning depends on them
counted AS (
    SELECT
        record.source_part_no,
        record.role,
        record.source_vocabulary,
        record.source_code,
        CASE WHEN dated.source_code IS NOT NULL THEN cast(record.record_datetime AS date) END AS record_date,
        count(*) AS row_count
    FROM record
    LEFT JOIN dated
        ON record.source_vocabulary = dated.source_vocabulary
        AND record.source_code = dated.source_code
    WHERE record.source_vocabulary IS NOT NULL AND record.source_code IS NOT NULL
    GROUP BY ALL
),

stretch AS (
    SELECT
        code.source_vocabulary,
        code.source_code,
        code.valid_start_date,
        code.valid_end_date,
        max(code.source_concept_id) AS source_concept_id,
        count(DISTINCT CASE WHEN code.target_concept_id <> 0 THEN code.target_concept_id END) AS target_count,
        min(CASE WHEN code.target_concept_id <> 0 THEN code.target_concept_id END) AS target_concept_id,
        min(CASE WHEN code.target_concept_id <> 0 THEN code.mapping_path END) AS mapping_path
    FROM map.map_source_code AS code
    GROUP BY code.source_vocabulary, code.source_code, code.valid_start_date, code.valid_end_date
),

coverage AS (
    SELECT
        counted.source_part_no,
        counted.role,
        counted.source_vocabulary,
        counted.source_code,
        sum(counted.row_count) AS row_count,
        sum(CASE WHEN stretch.target_count > 0 THEN counted.row_count ELSE 0 END) AS mapped_row_count,
        coalesce(max(stretch.target_count), 0) AS target_count,
        coalesce(min(stretch.mapping_path), 'unmapped') AS mapping_path,
        coalesce(max(stretch.source_concept_id), 0) AS source_concept_id,
        coalesce(min(stretch.target_concept_id), 0) AS target_concept_id
    FROM counted
    CROSS JOIN run.parameter AS parameter
    LEFT JOIN stretch
        ON counted.source_vocabulary = stretch.source_vocabulary
        AND counted.source_code = stretch.source_code
        AND coalesce(counted.record_date, parameter.cutoff_date)
        BETWEEN stretch.valid_start_date AND stretch.valid_end_date
    WHERE lower(trim(counted.source_code)) NOT IN ('', 'null')
    GROUP BY counted.source_part_no, counted.role, counted.source_vocabulary, counted.source_code
),

named AS (
    SELECT coverage.target_concept_id AS concept_id
    FROM coverage
    UNION
    SELECT coverage.source_concept_id
    FROM coverage
),

concept AS (
    SELECT
        concept.concept_id,
        concept.concept_name,
        concept.domain_id
    FROM vocabulary.concept AS concept
    SEMI JOIN named ON concept.concept_id = named.concept_id
    WHERE concept.concept_id <> 0
),

code_name AS (
    SELECT
        name.source_vocabulary,
        name.source_code,
        min(name.source_code_name) AS source_code_name
    FROM source.src_code_name AS name
    WHERE trim(name.source_code_name) <> ''
    GROUP BY name.source_vocabulary, name.source_code
)

SELECT
    cast(coverage.source_part_no AS integer) AS source_part_no,
    cast(coverage.role AS varchar) AS role,
    cast(coverage.source_vocabulary AS varchar) AS source_vocabulary,
    cast(coverage.source_code AS varchar) AS source_code,
    cast(coalesce(code_name.source_code_name, own.concept_name) AS varchar) AS source_name,
    cast(coverage.row_count AS bigint) AS row_count,
    cast(coverage.mapped_row_count AS bigint) AS mapped_row_count,
    cast(coverage.target_count AS integer) AS target_count,
    cast(coverage.mapping_path AS varchar) AS mapping_path,
    cast(coverage.source_concept_id AS integer) AS source_concept_id,
    cast(coverage.target_concept_id AS integer) AS target_concept_id,
    cast(target.concept_name AS varchar) AS target_name,
    cast(target.domain_id AS varchar) AS target_domain
FROM coverage
LEFT JOIN concept AS target ON coverage.target_concept_id = target.concept_id
LEFT JOIN concept AS own ON coverage.source_concept_id = own.concept_id
LEFT JOIN code_name
    ON coverage.source_vocabulary = code_name.source_vocabulary
    AND coverage.source_code = code_name.source_code
