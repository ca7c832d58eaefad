"""All entries of the zoo: every class that an adapter names has one, and every transformer class of diffusers."""

from __future__ import annotations

from tests.zoo import (
    acestep_to_cogview3,
    cogview4_to_hidream,
    families,
    hunyuan_to_kandinsky,
    krea_to_qwenimage21,
    loops_of_their_own,
    more_kandinsky_and_joy,
    qwenimage_to_zimage,
)
from tests.zoo.base import Entry

PARTS = (
    families,
    acestep_to_cogview3,
    cogview4_to_hidream,
    hunyuan_to_kandinsky,
    krea_to_qwenimage21,
    loops_of_their_own,
    more_kandinsky_and_joy,
    qwenimage_to_zimage,
)
ENTRIES: dict[str, Entry] = {entry.name: entry for part in PARTS for entry in part.ENTRIES}

NO_DENOISERS = {
    "DreamLiteTransformer2DModel": "a part of a UNet, whose lists are of one block at every level",
    "MiniMaxMusic3RVQDepthDecoder": "an autoregressive decoder of codes, called once per code and not per step",
    "TransformerTemporalModel": "a part of a UNet, one block at every level",
}
"""Classes that diffusers keeps with its transformers, and why no adapter names them."""
