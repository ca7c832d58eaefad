"""All entries of the zoo: every class that an adapter names has one, and every transformer class of diffusers."""

from __future__ import annotations

from tests.zoo import (
    audio,
    families,
    image_cross_attention,
    image_flux,
    image_joint_attention,
    image_joint_then_single,
    image_one_sequence,
    video_cross_attention,
    video_joint_attention,
    video_kandinsky,
    video_wan,
    video_with_sound,
    worlds_proteins_embeddings,
)
from tests.zoo.base import Entry

PARTS = (
    families,
    audio,
    image_cross_attention,
    image_flux,
    image_joint_attention,
    image_joint_then_single,
    image_one_sequence,
    video_cross_attention,
    video_joint_attention,
    video_kandinsky,
    video_wan,
    video_with_sound,
    worlds_proteins_embeddings,
)
ENTRIES: dict[str, Entry] = {entry.name: entry for part in PARTS for entry in part.ENTRIES}

NO_DENOISERS = {
    "DreamLiteTransformer2DModel": "a part of a UNet, whose lists are of one block at every level",
    "MiniMaxMusic3RVQDepthDecoder": "an autoregressive decoder of codes, called once per code and not per step",
    "TransformerTemporalModel": "a part of a UNet, one block at every level",
}
"""Classes that diffusers keeps with its transformers, and why no adapter names them."""
