"""The JSON Schemas that are published: what they say, and what they accept."""
