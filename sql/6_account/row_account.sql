-- one row per source table, kind and detail: the ledger of the landed rows, which must add up
--   landed       rows of the table in this run
--   used         rows that a CDM row's id decodes to, a person, or the kept record of a death; besides, by detail:
--                merged    rows that went into another row of their kind (map.merged), whose CDM row there is
--                supports  rows of another kind that went into a used or merged row (src_support)
--   excluded     rows that are not used, by rule (map.excluded, supports_nothing); of several the first by name
--   unaccounted  rows that nothing explains: must be 0, and is always there to say so
--   cdm          rows of a CDM table (detail) that come from this table; not part of the sum
--   flagged      rows in the CDM about which something is odd, by flag (map.flagged); not part of the sum
--   not_landed   CDM rows whose id decodes to no landed row: must not be there
-- holds:        landed = used + excluded + unaccounted
-- note:         semi and anti joins over keys (row * 1000 + table): 5 million landed rows take about 2 s
WITH cdm_row AS (
    SELECT 'person' AS cdm_table, person.source_part_no, person.source_row_id
    FROM map.person AS person
    WHERE person.is_survivor
    UNION ALL
    SELECT 'death', death.source_part_no, death.source_row_id
    FROM cdm.death AS t
    INNER JOIN map.death AS death
        ON t.person_id = death.person_id
        AND death.is_kept
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
    SELECT 'note', (t.note_id // 100) % 1000, t.note_id // 100000
    FROM cdm.note AS t
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

landed AS (
    SELECT
        landed.table_no,
        landed.source_row_id * 1000 + landed.table_no AS row_key
    FROM source.src_landed AS landed
),

merged AS (
    SELECT merge.row_key
    FROM (
        SELECT
            merged.source_row_id * 1000 + part.table_no AS row_key,
            merged.into_source_row_id * 1000 + into_part.table_no AS into_key
        FROM map.merged AS merged
        INNER JOIN source.src_part AS part ON merged.source_part_no = part.source_part_no
        INNER JOIN source.src_part AS into_part ON merged.into_part_no = into_part.source_part_no
    ) AS merge
    SEMI JOIN used ON merge.into_key = used.row_key
),

present AS (
    SELECT used.row_key
    FROM used
    UNION ALL
    SELECT merged.row_key
    FROM merged
),

support AS (
    SELECT
        support.source_row_id * 1000 + part.table_no AS row_key,
        support.supports_source_row_id * 1000 + supported.table_no AS supported_key
    FROM source.src_support AS support
    INNER JOIN source.src_part AS part ON support.source_part_no = part.source_part_no
    LEFT JOIN source.src_part AS supported ON support.supports_part_no = supported.source_part_no
),

useful AS (
    SELECT support.row_key
    FROM support
    SEMI JOIN present ON support.supported_key = present.row_key
),

excluded AS (
    SELECT
        rule.row_key,
        min(rule.rule) AS rule
    FROM (
        SELECT
            excluded.source_row_id * 1000 + part.table_no AS row_key,
            excluded.rule
        FROM map.excluded AS excluded
        INNER JOIN source.src_part AS part ON excluded.source_part_no = part.source_part_no
        UNION ALL
        SELECT
            support.row_key,
            'supports_nothing' AS rule
        FROM support
        ANTI JOIN present ON support.supported_key = present.row_key
    ) AS rule
    GROUP BY rule.row_key
),

unused AS (
    SELECT
        landed.table_no,
        landed.row_key
    FROM landed
    ANTI JOIN used ON landed.row_key = used.row_key
),

unmerged AS (
    SELECT
        unused.table_no,
        unused.row_key
    FROM unused
    ANTI JOIN merged ON unused.row_key = merged.row_key
),

unexplained AS (
    SELECT
        unmerged.table_no,
        unmerged.row_key
    FROM unmerged
    ANTI JOIN useful ON unmerged.row_key = useful.row_key
),

counted AS (
    SELECT
        landed.table_no,
        'landed' AS kind,
        '' AS detail,
        count(*) AS row_count
    FROM landed
    GROUP BY landed.table_no
    UNION ALL
    SELECT landed.table_no, 'used', '', count(*)
    FROM landed
    SEMI JOIN used ON landed.row_key = used.row_key
    GROUP BY landed.table_no
    UNION ALL
    SELECT unused.table_no, 'used', 'merged', count(*)
    FROM unused
    SEMI JOIN merged ON unused.row_key = merged.row_key
    GROUP BY unused.table_no
    UNION ALL
    SELECT unmerged.table_no, 'used', 'supports', count(*)
    FROM unmerged
    SEMI JOIN useful ON unmerged.row_key = useful.row_key
    GROUP BY unmerged.table_no
    UNION ALL
    SELECT
        unexplained.table_no,
        CASE WHEN excluded.row_key IS NULL THEN 'unaccounted' ELSE 'excluded' END,
        coalesce(excluded.rule, ''),
        count(*)
    FROM unexplained
    LEFT JOIN excluded ON unexplained.row_key = excluded.row_key
    GROUP BY ALL
    UNION ALL
    SELECT used.table_no, 'not_landed', '', count(*)
    FROM used
    ANTI JOIN landed ON used.row_key = landed.row_key
    GROUP BY used.table_no
),

line AS (
    SELECT counted.table_no, counted.kind, counted.detail, counted.row_count
    FROM counted
    UNION ALL
    SELECT used.table_no, 'cdm', used.cdm_table, count(*)
    FROM used
    GROUP BY used.table_no, used.cdm_table
    UNION ALL
    SELECT flag.table_no, 'flagged', flag.flag, count(*)
    FROM (
        SELECT DISTINCT part.table_no, flagged.source_row_id, flagged.flag
        FROM map.flagged AS flagged
        INNER JOIN source.src_part AS part ON flagged.source_part_no = part.source_part_no
    ) AS flag
    GROUP BY flag.table_no, flag.flag
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
