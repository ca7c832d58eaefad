"""Images as bytes."""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np
from PIL import Image

MEDIA = {"png": "image/png", "npy": "application/x-npy"}


def encode(images: Any, format: Literal["png", "npy"]) -> bytes:
    """Write images; a picture has them side by side, a `.npy` file has them as they are.

    Args:
        images: `(n, height, width, channels)` in [0, 1], with 1, 3 or 4 channels, for `png`; any array for `npy`.
        format: which.

    Raises:
        ValueError: it is no such array, a video say.
    """
    buffer = io.BytesIO()
    if format == "npy":
        np.save(buffer, images)
        return buffer.getvalue()
    if images.ndim != 4 or images.shape[-1] not in (1, 3, 4):
        raise ValueError(f"no picture can be made of an array of shape {images.shape}; ask for format npy")
    row = (np.concatenate(list(images), axis=1) * 255).round().astype(np.uint8)
    Image.fromarray(row.squeeze(-1) if row.shape[-1] == 1 else row).save(buffer, "PNG")
    return buffer.getvalue()
