"""Texts and what is found in them: reading YAML, saying what is wrong where, and mending it."""
