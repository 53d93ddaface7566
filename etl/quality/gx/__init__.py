"""The only package that imports Great Expectations (4 s), itself imported inside functions only."""
