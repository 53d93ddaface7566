"""`python -m etl.cli`: what ./cdmflow runs."""

from etl.cli import main

main()
