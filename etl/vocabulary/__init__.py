"""Vocabulary: an Athena bundle as Parquet in the lake, the concepts that SQL may name, and custom maps."""
