"""Vocabulary: an Athena bundle as Parquet in the lake, the concepts that SQL may name, and custom maps."""

from etl.vocabulary.custom_maps import custom_maps
from etl.vocabulary.load import VocabularyVersion, load_bundle, loaded_versions
from etl.vocabulary.named import NamedConcept, named_concepts, variables

__all__ = [
    "NamedConcept",
    "VocabularyVersion",
    "custom_maps",
    "load_bundle",
    "loaded_versions",
    "named_concepts",
    "variables",
]
