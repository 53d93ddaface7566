"""PostgreSQL advisory locks of cdmflow, one number each, so that no two mean the same."""

CREATE_TABLES_LOCK = 0x63646D01  # schema `etl` is made once
RUN_LOCK = 0x63646D02  # held by a command line run
PERSON_LOCK = 0x63646D03  # person ids are given by one at a time
LANDING_LOCK = 0x63646D04  # first key; the second is a hash of source and table
VOCABULARY_LOCK = 0x63646D05  # bundles share a scratch folder
# The first of these is held by one session for a whole publish and runs its switch; the second is shared by its loading
# sessions, so that a successor waits until the last of a killed publisher's is gone.
PUBLISH_LOCK = 0x63646D06
LOADERS_LOCK = 0x63646D07
OPEN_LOCK = 0x63646D08  # who opens a run looks for others at work first
