"""The pytest plugin: one fixture. Loading it imports nothing of cachedsl but two empty packages."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="session")
def cachedsl_pipeline() -> Any:
    """The bundled `DiTPipeline`, which draws digits: 32 x 32 pixels, float32, on the CPU, loaded once a session.

    A test that attaches a policy takes it off again: `with load_policy(...).apply(cachedsl_pipeline) as cached:`.
    Skips the test where torch or diffusers is not installed.
    """
    from cachedsl.extras import MissingPackages, need

    try:
        need("torch", "diffusers", to="load the bundled pipeline", extra="demo")
    except MissingPackages as error:
        pytest.skip(str(error))
    from cachedsl.measure.digits import load_digits_pipeline

    return load_digits_pipeline()
