-- one row per cost record, with the id of the event or visit that it belongs to
-- keeps:    the event's first row (target_no 0), whose table gives the cost's domain; else the visit
-- excludes: costs of unknown or excluded persons, and costs of events and visits that the CDM does not have
--           (map.excluded: cost_event_unknown)
SELECT
    cast(cost.source_row_id * 100000 + cost.source_part_no * 100 AS bigint) AS cost_id,
    person.person_id,
    cast(coalesce(event.event_id, visit.visit_occurrence_id) AS bigint) AS cost_event_id,
    cast(
        CASE event.target_table
            WHEN 'condition_occurrence' THEN 'Condition'
            WHEN 'drug_exposure' THEN 'Drug'
            WHEN 'procedure_occurrence' THEN 'Procedure'
            WHEN 'device_exposure' THEN 'Device'
            WHEN 'measurement' THEN 'Measurement'
            WHEN 'specimen' THEN 'Specimen'
            WHEN 'observation' THEN 'Observation'
            ELSE 'Visit'
        END AS varchar
    ) AS cost_domain_id,
    cost.type_concept_id,
    cost.currency_concept_id,
    cost.total_charge,
    cost.total_cost,
    cost.total_paid,
    cost.paid_by_payer,
    cost.paid_by_patient,
    cost.paid_patient_copay
FROM source.src_cost AS cost
INNER JOIN map.person AS person ON cost.person_key = person.person_key
LEFT JOIN map.event AS event
    ON cost.event_source_row_id * 100000 + cost.event_part_no * 100 = event.event_id
LEFT JOIN map.visit_key AS visit
    ON cost.visit_key = visit.visit_key
    AND person.person_id = visit.person_id
WHERE event.event_id IS NOT NULL OR visit.visit_occurrence_id IS NOT NULL
