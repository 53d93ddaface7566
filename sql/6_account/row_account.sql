-- one row per source table, kind and detail: the ledger of the landed rows, which must add up
--   landed       rows of the table in this run
--   used         rows that a CDM row's id decodes to, or a person; detail 'supports': rows that went into a used row
--   excluded     rows that are not used, by rule (map.excluded, supports_nothing); of several the first by name
--   unaccounted  rows that nothing explains: must be 0, and is always there to say so
--   cdm          rows of a CDM table (detail) that come from this table; not part of the sum
--   not_landed   CDM rows whose id decodes to no landed row: must not be there
-- holds:        landed = used + excluded + unaccounted
-- note:         one pass over keys (row * 1000 + table) instead of a join per table: 12 million keys take about 1 s
WITH cdm_row AS (
    SELECT 'person' AS cdm_table, person.source_part_no, person.source_row_id
    FROM map.person AS person
    UNION ALL
    SELECT 'death', death.source_part_no, death.source_row_id
    FROM source.src_death AS death
    INNER JOIN map.person AS person ON death.person_key = person.person_key
    INNER JOIN cdm.death AS dead
        ON person.person_id = dead.person_id
        AND death.death_datetime = dead.death_datetime
    UNION ALL
    SELECT 'visit_occurrence', (t.visit_occurrence_id // 100) % 1000, t.visit_occurrence_id // 100000
    FROM cdm.visit_occurrence AS t
    UNION ALL
    SELECT 'visit_detail', (t.visit_detail_id // 100) % 1000, t.visit_detail_id // 100000
    FROM cdm.visit_detail AS t
    UNION ALL
    SELECT 'condition_occurrence', (t.condition_occurrence_id // 100) % 1000, t.condition_occurrence_id // 100000
    FROM cdm.condition_occurrence AS t
    UNION ALL
    SELECT 'drug_exposure', (t.drug_exposure_id // 100) % 1000, t.drug_exposure_id // 100000
    FROM cdm.drug_exposure AS t
    UNION ALL
    SELECT 'procedure_occurrence', (t.procedure_occurrence_id // 100) % 1000, t.procedure_occurrence_id // 100000
    FROM cdm.procedure_occurrence AS t
    UNION ALL
    SELECT 'device_exposure', (t.device_exposure_id // 100) % 1000, t.device_exposure_id // 100000
    FROM cdm.device_exposure AS t
    UNION ALL
    SELECT 'measurement', (t.measurement_id // 100) % 1000, t.measurement_id // 100000
    FROM cdm.measurement AS t
    UNION ALL
    SELECT 'observation', (t.observation_id // 100) % 1000, t.observation_id // 100000
    FROM cdm.observation AS t
    UNION ALL
    SELECT 'specimen', (t.specimen_id // 100) % 1000, t.specimen_id // 100000
    FROM cdm.specimen AS t
    UNION ALL
    SELECT 'location', (t.location_id // 100) % 1000, t.location_id // 100000
    FROM cdm.location AS t
    UNION ALL
    SELECT 'care_site', (t.care_site_id // 100) % 1000, t.care_site_id // 100000
    FROM cdm.care_site AS t
    UNION ALL
    SELECT 'provider', (t.provider_id // 100) % 1000, t.provider_id // 100000
    FROM cdm.provider AS t
    UNION ALL
    SELECT 'payer_plan_period', (t.payer_plan_period_id // 100) % 1000, t.payer_plan_period_id // 100000
    FROM cdm.payer_plan_period AS t
    UNION ALL
    SELECT 'cost', (t.cost_id // 100) % 1000, t.cost_id // 100000
    FROM cdm.cost AS t
),

used AS (
    SELECT
        cdm_row.cdm_table,
        part.table_no,
        cdm_row.source_row_id * 1000 + part.table_no AS row_key
    FROM cdm_row
    INNER JOIN source.src_part AS part ON cdm_row.source_part_no = part.source_part_no
),

support AS (
    SELECT
        support.source_row_id * 1000 + part.table_no AS row_key,
        CASE WHEN used.row_key IS NULL THEN 0 ELSE 1 END AS is_support,
        CASE WHEN used.row_key IS NULL THEN 'supports_nothing' END AS rule
    FROM source.src_support AS support
    INNER JOIN source.src_part AS part ON support.source_part_no = part.source_part_no
    LEFT JOIN source.src_part AS supported ON support.supports_part_no = supported.source_part_no
    LEFT JOIN (SELECT DISTINCT used.row_key FROM used) AS used
        ON support.supports_source_row_id * 1000 + supported.table_no = used.row_key
),

evidence AS (
    SELECT
        landed.source_row_id * 1000 + landed.table_no AS row_key,
        1 AS is_landed,
        0 AS is_used,
        0 AS is_support,
        NULL AS rule
    FROM source.src_landed AS landed
    UNION ALL
    SELECT used.row_key, 0, 1, 0, NULL
    FROM used
    UNION ALL
    SELECT support.row_key, 0, 0, support.is_support, support.rule
    FROM support
    UNION ALL
    SELECT excluded.source_row_id * 1000 + part.table_no, 0, 0, 0, excluded.rule
    FROM map.excluded AS excluded
    INNER JOIN source.src_part AS part ON excluded.source_part_no = part.source_part_no
),

judged AS (
    SELECT
        evidence.row_key % 1000 AS table_no,
        max(evidence.is_landed) AS is_landed,
        max(evidence.is_used) AS is_used,
        max(evidence.is_support) AS is_support,
        min(evidence.rule) AS rule
    FROM evidence
    GROUP BY evidence.row_key
),

counted AS (
    SELECT
        judged.table_no,
        CASE
            WHEN judged.is_landed = 0 THEN 'not_landed'
            WHEN judged.is_used = 1 OR judged.is_support = 1 THEN 'used'
            WHEN judged.rule IS NOT NULL THEN 'excluded'
            ELSE 'unaccounted'
        END AS kind,
        CASE
            WHEN judged.is_landed = 0 OR judged.is_used = 1 THEN ''
            WHEN judged.is_support = 1 THEN 'supports'
            ELSE coalesce(judged.rule, '')
        END AS detail,
        count(*) AS row_count
    FROM judged
    GROUP BY ALL
),

line AS (
    SELECT counted.table_no, counted.kind, counted.detail, counted.row_count
    FROM counted
    UNION ALL
    SELECT landed.table_no, 'landed', '', count(*)
    FROM source.src_landed AS landed
    GROUP BY landed.table_no
    UNION ALL
    SELECT used.table_no, 'cdm', used.cdm_table, count(*)
    FROM used
    GROUP BY used.table_no, used.cdm_table
    UNION ALL
    SELECT part.table_no, basic.kind, '', 0
    FROM source.src_part AS part
    CROSS JOIN (VALUES ('landed'), ('used'), ('unaccounted')) AS basic (kind)
)

SELECT
    cast(part.table_name AS varchar) AS table_name,
    cast(line.kind AS varchar) AS kind,
    cast(line.detail AS varchar) AS detail,
    cast(sum(line.row_count) AS bigint) AS rows
FROM line
INNER JOIN source.src_part AS part ON line.table_no = part.source_part_no
GROUP BY part.table_name, line.kind, line.detail
