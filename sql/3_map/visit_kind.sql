-- one row per visit concept that is a stay in a hospital (inpatient) or care in an emergency room (emergency)
-- keeps:    the concepts named here and their descendants in the vocabulary; of both kinds: inpatient
-- excludes: all other visit concepts (outpatient, home, nursing facility, hospice …): map.encounter calls them other
-- note:     in OMOP's hierarchy a skilled nursing facility and a hospice are below "Non-hospital institution Visit",
--           not below "Inpatient Visit"; a bundle that says otherwise is followed
WITH root AS (
    SELECT
        named.concept_id,
        named.visit_kind
    FROM (
        VALUES
        ({{ concept.visit_inpatient }}, 'inpatient'),
        ({{ concept.visit_emergency_and_inpatient }}, 'inpatient'),
        ({{ concept.visit_inpatient_hospital }}, 'inpatient'),
        ({{ concept.visit_intensive_care }}, 'inpatient'),
        ({{ concept.visit_emergency }}, 'emergency')
    ) AS named (concept_id, visit_kind)
),

below AS (
    SELECT
        root.concept_id,
        root.visit_kind
    FROM root
    UNION ALL
    SELECT
        ancestor.descendant_concept_id AS concept_id,
        root.visit_kind
    FROM vocabulary.concept_ancestor AS ancestor
    INNER JOIN root ON ancestor.ancestor_concept_id = root.concept_id
)

SELECT
    cast(below.concept_id AS integer) AS visit_concept_id,
    cast(CASE WHEN bool_or(below.visit_kind = 'inpatient') THEN 'inpatient' ELSE 'emergency' END AS varchar)
        AS visit_kind
FROM below
GROUP BY below.concept_id
