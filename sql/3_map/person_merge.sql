-- one row per person key that was merged into another, with the key that stands for both in the end
-- keeps:    of several rows of one key the newest (merge_date, then the later row); chains are followed to their end
-- excludes: keys merged into themselves, and circles: those keys stand for themselves (map.excluded: merge_not_applied)
-- note:     map.person decides whether the last key is a person of the CDM; if not, the merge is not applied either
WITH RECURSIVE newest AS (
    SELECT
        merge.source_part_no,
        merge.source_row_id,
        merge.old_person_key,
        merge.person_key
    FROM source.src_person_merge AS merge
    WHERE merge.old_person_key <> merge.person_key
    QUALIFY
        row_number() OVER (
            PARTITION BY merge.old_person_key
            ORDER BY merge.merge_date DESC NULLS LAST, merge.source_row_id DESC, merge.source_part_no DESC
        ) = 1
),

followed AS (
    SELECT
        newest.old_person_key,
        newest.person_key
    FROM newest
    UNION
    SELECT
        followed.old_person_key,
        newest.person_key
    FROM followed
    INNER JOIN newest ON followed.person_key = newest.old_person_key
)

SELECT
    cast(newest.source_part_no AS integer) AS source_part_no,
    cast(newest.source_row_id AS bigint) AS source_row_id,
    cast(followed.old_person_key AS varchar) AS old_person_key,
    cast(followed.person_key AS varchar) AS person_key
FROM followed
INNER JOIN newest ON followed.old_person_key = newest.old_person_key
ANTI JOIN newest AS further ON followed.person_key = further.old_person_key
