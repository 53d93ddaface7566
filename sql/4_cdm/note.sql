-- one row per note of the source: letters, reports, what was written down at a visit
-- keeps:    a note without a text, as an empty one; a class or language that the vocabulary does not know as 0
-- keeps:    the visit only if it is the same person's; the visit's provider where the note names none
-- excludes: notes of unknown or excluded persons and notes without a date (map.excluded)
-- note:     texts reach the engine decoded, so there is no encoding to tell
WITH told AS (
    SELECT
        note.*,
        cast(note.note_datetime AS date) AS note_date,
        CASE WHEN lower(trim(note.title)) NOT IN ('', 'null') THEN note.title END AS known_title,
        CASE WHEN lower(trim(note.note_text)) NOT IN ('', 'null') THEN note.note_text END AS known_text,
        CASE WHEN lower(trim(note.note_source_value)) NOT IN ('', 'null') THEN note.note_source_value END
            AS known_source_value,
        person.person_id
    FROM source.src_note AS note
    INNER JOIN map.person AS person ON note.person_key = person.person_key
    WHERE note.note_datetime IS NOT NULL
)

SELECT
    cast(note.source_row_id * 100000 + note.source_part_no * 100 AS bigint) AS note_id,
    cast(note.person_id AS integer) AS person_id,
    cast(note.note_date AS date) AS note_date,
    cast(note.note_datetime AS timestamp) AS note_datetime,
    cast(note.type_concept_id AS integer) AS note_type_concept_id,
    cast(coalesce(class.target_concept_id, 0) AS integer) AS note_class_concept_id,
    cast(left(note.known_title, 250) AS varchar) AS note_title,
    cast(coalesce(note.known_text, '') AS varchar) AS note_text,
    cast({{ concept.no_matching_concept }} AS integer) AS encoding_concept_id,
    cast(coalesce(language.target_concept_id, 0) AS integer) AS language_concept_id,
    cast(coalesce(provider.provider_id, visit.provider_id) AS bigint) AS provider_id,
    cast(visit.visit_occurrence_id AS bigint) AS visit_occurrence_id,
    cast(visit.visit_detail_id AS bigint) AS visit_detail_id,
    cast(left(note.known_source_value, 50) AS varchar) AS note_source_value,
    cast(NULL AS bigint) AS note_event_id,
    cast(NULL AS integer) AS note_event_field_concept_id
FROM told AS note
LEFT JOIN map.visit_key AS visit
    ON note.visit_key = visit.visit_key
    AND note.person_id = visit.person_id
LEFT JOIN map.provider AS provider ON note.provider_key = provider.provider_key
LEFT JOIN map.map_source_code AS class
    ON note.class_vocabulary = class.source_vocabulary
    AND note.class_code = class.source_code
    AND note.note_date BETWEEN class.valid_start_date AND class.valid_end_date
    AND class.target_no = 0
LEFT JOIN map.map_source_code AS language
    ON note.language_vocabulary = language.source_vocabulary
    AND note.language_code = language.source_code
    AND note.note_date BETWEEN language.valid_start_date AND language.valid_end_date
    AND language.target_no = 0
