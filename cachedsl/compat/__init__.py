"""Interfaces of other engines on top of cachedsl, so that code written for them runs by changing its import."""
