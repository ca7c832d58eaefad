"""Adapter files, checked like policies."""
