"""What one unit keeps between steps: its anchors, and the reference that its signal is compared with."""

from __future__ import annotations

import torch
from attrs import define, field

from cachedsl.patterns import Stream
from cachedsl.policy.model import Predict
from cachedsl.predictors import Predictor, build_predictor
from cachedsl.runtime.block_io import Streams


@define
class UnitFeatures:
    """Anchors of one unit in one CFG branch.

    A stream that goes in and comes out with one shape is kept as a residual, exit minus entry, behind a predictor. A
    stream that the unit makes, or whose shape it changes, is kept as a value and returned as it is.
    """

    predict: Predict
    reference: torch.Tensor | None = None
    residuals: dict[Stream, Predictor] = field(factory=dict)
    values: Streams = field(factory=dict)
    shapes: dict[Stream, torch.Size | None] = field(factory=dict)

    def shape_changed(self, entry: Streams) -> bool:
        """Tell whether any stream enters with another shape than at the last anchor; False without one."""
        return bool(self.shapes) and self.shapes != _shapes(entry)

    def store(self, position: int, entry: Streams, exit: Streams, tap: torch.Tensor | None) -> None:
        """Keep what was just computed at step `position` as the newest anchor, and `tap` as the new reference."""
        self.reference = tap
        self.shapes = _shapes(entry)
        self.values = {}
        for stream, after in exit.items():
            before = entry.get(stream)
            if after is None or before is None or before.shape != after.shape:
                self.residuals.pop(stream, None)
                self.values[stream] = None if after is None else after.detach().clone()
                continue
            if stream not in self.residuals:
                self.residuals[stream] = build_predictor(self.predict)
            self.residuals[stream].update((after - before).detach(), float(position))

    def approximate(self, position: int, entry: Streams) -> Streams:
        """Return the streams that the unit would return at step `position`: entry plus predicted residual."""
        streams: Streams = dict(self.values)
        for stream, predictor in self.residuals.items():
            before = entry[stream]
            assert before is not None, "a stream with a residual had an entry, and shapes are checked"
            streams[stream] = before + predictor.predict(float(position))
        return streams

    def clear(self) -> None:
        """Forget everything; buffers are freed when nothing else holds them."""
        self.reference = None
        self.residuals, self.values, self.shapes = {}, {}, {}

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Return every tensor that is held."""
        held = [t for p in self.residuals.values() for t in p.tensors()]
        held += [v for v in self.values.values() if v is not None]
        return (*held, *(() if self.reference is None else (self.reference,)))


def _shapes(streams: Streams) -> dict[Stream, torch.Size | None]:
    return {stream: None if tensor is None else tensor.shape for stream, tensor in streams.items()}
