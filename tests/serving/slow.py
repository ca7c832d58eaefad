"""A pipeline that another process can make by its name, slow enough to be stopped in the middle."""

from __future__ import annotations

from typing import Any

import torch

from tests.tiny import tiny_pipeline


def make() -> tuple[Any, dict[str, Any]]:
    torch.set_num_threads(1)
    return tiny_pipeline("dit", blocks=12), {"class_labels": [1], "guidance_scale": 1.5}
