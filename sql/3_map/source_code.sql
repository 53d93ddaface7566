-- one row per code that the source uses anywhere: what was done, units, answers, kinds of visits, sexes, specialties …
-- keeps:    codes as written, letter case too; a code belongs to its vocabulary, so the same text in two vocabularies is
--           two rows
-- excludes: blanks and the word null in any case: a code that is absent
WITH used AS (
    SELECT DISTINCT event.source_vocabulary, event.source_code
    FROM source.src_event AS event
    UNION ALL
    SELECT DISTINCT event.unit_vocabulary, event.unit_code
    FROM source.src_event AS event
    UNION ALL
    SELECT DISTINCT event.value_vocabulary, event.value_code
    FROM source.src_event AS event
    UNION ALL
    SELECT DISTINCT event.route_vocabulary, event.route_code
    FROM source.src_event AS event
    UNION ALL
    SELECT DISTINCT event.modifier_vocabulary, event.modifier_code
    FROM source.src_event AS event
    UNION ALL
    SELECT DISTINCT event.status_vocabulary, event.status_code
    FROM source.src_event AS event
    UNION ALL
    SELECT DISTINCT visit.visit_vocabulary, visit.visit_code
    FROM source.src_visit AS visit
    UNION ALL
    SELECT DISTINCT visit.admitted_from_vocabulary, visit.admitted_from_code
    FROM source.src_visit AS visit
    UNION ALL
    SELECT DISTINCT visit.discharged_to_vocabulary, visit.discharged_to_code
    FROM source.src_visit AS visit
    UNION ALL
    SELECT DISTINCT detail.visit_detail_vocabulary, detail.visit_detail_code
    FROM source.src_visit_detail AS detail
    UNION ALL
    SELECT DISTINCT detail.admitted_from_vocabulary, detail.admitted_from_code
    FROM source.src_visit_detail AS detail
    UNION ALL
    SELECT DISTINCT detail.discharged_to_vocabulary, detail.discharged_to_code
    FROM source.src_visit_detail AS detail
    UNION ALL
    SELECT person.gender_vocabulary, person.gender_code
    FROM source.src_person AS person
    UNION ALL
    SELECT person.race_vocabulary, person.race_code
    FROM source.src_person AS person
    UNION ALL
    SELECT person.ethnicity_vocabulary, person.ethnicity_code
    FROM source.src_person AS person
    UNION ALL
    SELECT death.cause_vocabulary, death.cause_code
    FROM source.src_death AS death
    UNION ALL
    SELECT provider.specialty_vocabulary, provider.specialty_code
    FROM source.src_provider AS provider
    UNION ALL
    SELECT provider.gender_vocabulary, provider.gender_code
    FROM source.src_provider AS provider
    UNION ALL
    SELECT care_site.place_of_service_vocabulary, care_site.place_of_service_code
    FROM source.src_care_site AS care_site
    UNION ALL
    SELECT DISTINCT plan.payer_vocabulary, plan.payer_code
    FROM source.src_payer_plan AS plan
    UNION ALL
    SELECT DISTINCT plan.plan_vocabulary, plan.plan_code
    FROM source.src_payer_plan AS plan
    UNION ALL
    SELECT DISTINCT note.class_vocabulary, note.class_code
    FROM source.src_note AS note
    UNION ALL
    SELECT DISTINCT note.language_vocabulary, note.language_code
    FROM source.src_note AS note
)

SELECT DISTINCT
    used.source_vocabulary,
    used.source_code
FROM used
WHERE used.source_vocabulary IS NOT NULL AND lower(trim(used.source_code)) NOT IN ('', 'null')
