"""The executor. What is in here needs torch and diffusers, and says so where they are missing."""

from __future__ import annotations

from cachedsl.extras import need

need("torch", "diffusers", to="drive a model", extra="diffusers")
