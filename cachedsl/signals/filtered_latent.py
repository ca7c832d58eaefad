"""The model's input behind a filter that lets the signal through and the noise not: SeaCache (arXiv 2602.18993).

With a latent a · signal + b · noise and a signal whose power falls as |f|^-p, the optimal linear denoiser has the gain
G(f) = a S(f) / (a² S(f) + b²), S(f) = |f|^-p: along each axis here, as in the paper's implementation, and divided by
its mean so that the filter's scale does not change from step to step.
"""

from __future__ import annotations

import torch

from cachedsl.language.parts import Signal
from cachedsl.signals.base import ModelInput, StepView
from cachedsl.text.finding import CachedslError

TINY = 1e-6
"""Keeps a and b off 0, and the power of the zero frequency finite."""


class NoGrid(CachedslError):
    """The latent comes as a row of tokens, and nothing says where in the picture they belong."""


def filtered_latent(view: StepView, signal: Signal) -> torch.Tensor:
    """Return the filtered latent in float32, in the latent's shape, tokens put on their grid.

    Of tokens of several images, the first image's are filtered: the others are references, which stay as they are.

    With a stride its channels come last: that is where the meter takes every k-th entry, whatever the tap.
    """
    latent, axes, channels = _on_grid(view.model())
    a, b = (min(max(part, TINY), 1.0) for part in view.mixing())
    spectrum = torch.fft.fftn(latent, dim=axes)
    gain = torch.ones((), device=latent.device)
    for axis in axes:
        frequency = torch.fft.fftfreq(latent.shape[axis], device=latent.device).abs()
        power = 1 / (frequency**signal.exponent + TINY)
        along = a * power / (a * a * power + b * b)
        gain = gain * along.reshape([-1 if i == axis % latent.ndim else 1 for i in range(latent.ndim)])
    filtered: torch.Tensor = torch.fft.ifftn(spectrum * (gain / gain.mean()), dim=axes).real
    if signal.stride > 1:
        return filtered.movedim(channels, -1)  # the meter copies what it takes of it
    # the real part is a view: without a copy a reference would keep the imaginary one too
    return filtered.clone(memory_format=torch.contiguous_format)


def _on_grid(model_input: ModelInput) -> tuple[torch.Tensor, tuple[int, ...], int]:
    """Return the latent in float32, which of its axes are places, and which its channels."""
    latent = model_input.latent.float()
    if model_input.axes or (model_input.axes is None and latent.ndim > 3):
        axes = model_input.axes or tuple(range(2, latent.ndim))
        return latent, axes, next((axis for axis in range(1, latent.ndim) if axis not in axes), -1)
    grid = model_input.on_grid()
    if grid is None:
        raise NoGrid(_missing(tuple(latent.shape), model_input.positions))
    height, width = grid
    return latent[:, : height * width].reshape(latent.shape[0], height, width, -1), (1, 2), -1


def _missing(shape: tuple[int, ...], positions: str) -> str:
    """Say what is not known of tokens of this shape: an adapter names no positions, or a call has others."""
    why = (
        "nothing says on which grid; let the adapter name the argument with their positions (`input: {positions: ...}`)"
    )
    if positions:
        why = (
            f"in this call `{positions}` does not give them the places of one whole picture, from the first on; "
            "give the picture's places first, and those of references behind them"
        )
    return (
        f"reuse.signal: filtered_latent needs places, but the model takes tokens {shape} and {why}, or take another "
        "signal"
    )
