-- one row per key by which records name their visit: a visit's own, or a visit detail's. One join finds both ids.
-- keeps:    a key that visit and detail share, once, with both ids
SELECT
    visit.visit_key,
    visit.person_id,
    visit.visit_occurrence_id,
    detail.visit_detail_id,
    cast(coalesce(detail.provider_id, visit.provider_id) AS bigint) AS provider_id
FROM map.visit AS visit
LEFT JOIN map.visit_detail AS detail ON visit.visit_key = detail.visit_detail_key

UNION ALL

SELECT
    detail.visit_detail_key AS visit_key,
    detail.person_id,
    detail.visit_occurrence_id,
    detail.visit_detail_id,
    detail.provider_id
FROM map.visit_detail AS detail
ANTI JOIN map.visit AS visit ON detail.visit_detail_key = visit.visit_key
