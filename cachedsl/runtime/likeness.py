"""Which calls are of one image, one step, one branch, by what they were given. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cachedsl.runtime.observation import CallFingerprint, PlacedCall

_SAME_IMAGE = 0.3
"""Cosine of two latents below which they are of different noise; from step to step it is close to 1."""

_NEXT_STEP = 0.9
"""Cosine above which two latents at one timestep are two steps, and not two windows of one step."""

_FEW = 0.02
"""A share of elements that are not equal, below which two latents are the same image however they differ."""


def same_timestep(one: CallFingerprint, other: CallFingerprint) -> bool:
    return bool(one.timestep == other.timestep)


def same_latent(one: CallFingerprint, other: CallFingerprint) -> bool:
    return bool(one.latent == other.latent) and one.sample == other.sample


def same_arguments(one: CallFingerprint, other: CallFingerprint, moving: frozenset[str] = frozenset()) -> bool:
    """Tell whether all but the latent and the timestep is the same, and but for what moves from step to step."""
    return one.others == other.others or not changed(one, other) - moving


def changed(one: CallFingerprint, other: CallFingerprint) -> frozenset[str]:
    """Return the arguments that are not the same."""
    mine, theirs = dict(one.others), dict(other.others)
    return frozenset(name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name))


def repeats(one: CallFingerprint, other: CallFingerprint) -> bool:
    """Tell whether two calls were given the same."""
    return same_timestep(one, other) and same_latent(one, other) and same_arguments(one, other)


def shares_noise(one: CallFingerprint, other: CallFingerprint) -> bool:
    """Tell whether a part of the latents is the same and a part is not: a call without the image, or with fewer tokens.

    The noisy part moves as a whole from step to step, so that two steps share none.
    """
    return bool(set(one.parts) & set(other.parts))


def same_image(one: CallFingerprint, other: CallFingerprint, least: float = _SAME_IMAGE) -> bool:
    """Tell whether the latents are near each other, as those of two steps are and those of two images are not.

    What is equal to the last bit (an image to begin with, a mask) is left out: another image may have it too.
    """
    if one.shape != other.shape or len(one.sample) != len(other.sample):
        return False
    moved = [(a, b) for a, b in zip(one.sample, other.sample, strict=True) if a != b]
    if len(moved) <= _FEW * len(one.sample):
        return True
    if not all(math.isfinite(a) and math.isfinite(b) for a, b in moved):
        return True  # no likeness can be had of such values, and the run goes on with them
    dot = math.fsum(a * b for a, b in moved)
    norms = math.sqrt(math.fsum(a * a for a, _ in moved)) * math.sqrt(math.fsum(b * b for _, b in moved))
    return dot > least * norms


def next_step(one: CallFingerprint, other: CallFingerprint) -> bool:
    """Tell whether the latents are as near as those of two steps in a row, at one timestep too."""
    return same_image(one, other, _NEXT_STEP)


def alike(one: CallFingerprint, other: CallFingerprint) -> int:
    """Count the arguments that are the same."""
    others = dict(other.others)
    return sum(name in others and content == others[name] for name, content in one.others)


def best_match(call: CallFingerprint, candidates: Sequence[PlacedCall]) -> PlacedCall | None:
    """Return the call that this one goes on from: by shape, by arguments, by latent, the first of equals."""

    def score(candidate: PlacedCall) -> tuple[bool, int, bool]:
        known = candidate.fingerprint
        if known is None:
            return False, 0, False
        return known.shape == call.shape, alike(call, known), same_image(call, known)

    return max(candidates, key=score, default=None)


def is_stranger(call: CallFingerprint, known: Sequence[PlacedCall], moving: frozenset[str]) -> bool:
    """Tell whether a call is of another image and was given other things than each of those that are known."""
    prints = [one.fingerprint for one in known if one.fingerprint is not None and one.fingerprint.shape == call.shape]
    return bool(prints) and not any(same_image(call, one) or same_arguments(call, one, moving) for one in prints)
