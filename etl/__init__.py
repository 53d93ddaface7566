"""cdmflow: EHR tables to the OMOP Common Data Model v5.4."""

__version__ = "0.1.0"
