"""Measure on a pipeline what a policy needs to know of it."""
