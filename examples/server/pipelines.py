"""What is served: the bundled pipeline, or the one that a function of the user's returns."""

from __future__ import annotations

from typing import Any

import torch

from cachedsl.cli.importing import call_named
from cachedsl.measure.digits import GUIDANCE_SCALE, load_digits_pipeline


def digits() -> tuple[Any, dict[str, Any]]:
    """Return the bundled pipeline, which draws handwritten digits, and what its call is given by default."""
    torch.set_num_threads(1)  # the model is tiny: more threads spend their time on waiting for each other
    return load_digits_pipeline(), {"class_labels": [3], "guidance_scale": GUIDANCE_SCALE}


def load(pipeline: str) -> tuple[Any, dict[str, Any]]:
    """Call `module:function`, which returns a pipeline, or a pipeline and arguments of its call."""
    made = call_named(pipeline)
    pipe, arguments = made if isinstance(made, tuple) else (made, {})
    pipe.set_progress_bar_config(disable=True)
    return pipe, arguments
