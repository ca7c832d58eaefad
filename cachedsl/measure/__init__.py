"""Measure what a policy does to a pipeline; extras, imported when they are used."""
