"""Pictures of a comparison."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cachedsl.measure.compare import Row


def save_grid(rows: list[Row], path: Path, *, columns: int = 10, scale: int = 2) -> None:
    """Write one picture row per entry of `rows`, its name at the left, the first `columns` images beside it."""
    side = rows[0].images.shape[1] * scale
    margin, gap = 150, 4
    canvas = Image.new("L", (margin + columns * (side + gap), len(rows) * (side + gap)), 255)
    draw = ImageDraw.Draw(canvas)
    for y, row in enumerate(rows):
        draw.text((6, y * (side + gap) + side // 2 - 5), row.name, fill=0)
        for x, image in enumerate(row.images[:columns]):
            pixels = (np.clip(image[..., 0], 0, 1) * 255).round().astype(np.uint8)
            tile = Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)
            canvas.paste(tile, (margin + x * (side + gap), y * (side + gap)))
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(path)
