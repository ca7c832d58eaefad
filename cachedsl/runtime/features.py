"""What one unit keeps between steps: its anchors, and the meter of its signal."""

from __future__ import annotations

import torch
from attrs import define, evolve, field, frozen

from cachedsl.language.parts import Predict
from cachedsl.matching.patterns import Stream
from cachedsl.plan.rules import PredictPlan
from cachedsl.predictors import CopyPredictor, Predictor, build_predictor
from cachedsl.runtime.ports import Streams
from cachedsl.runtime.storage import Storage
from cachedsl.signals import Meter

Shapes = dict[Stream, tuple[torch.Size, torch.dtype] | None]

_AS_IT_COMES = Storage()


@frozen
class Position:
    """Where a step is: `step` is the run's index, `clock` the same place on the clock that the predictor goes by."""

    step: int
    clock: float


@frozen
class Changes:
    """What a computed unit did to its streams.

    Attributes:
        moved: what was added to a stream that goes in and comes out with one shape, or its output.
        made: the other streams as they came out.
    """

    moved: dict[Stream, torch.Tensor]
    made: Streams


@define
class UnitFeatures:
    """Anchors of one unit in one CFG branch.

    A stream that goes in and comes out with one shape is kept as a residual, exit minus entry, behind a predictor. A
    stream that the unit makes, or whose shape it changes, is kept as a value and returned as it is. `_inner` has what
    the blocks before the last one added to the unit's entry, by index, where they return it on reused steps too.
    """

    predict: Predict | PredictPlan
    meter: Meter | None = None
    storage: Storage = _AS_IT_COMES
    last_step: int = -1
    exit_index: int = -1
    newest: dict[Stream, torch.Tensor] = field(factory=dict)
    residuals: dict[Stream, Predictor] = field(factory=dict)
    _values: Streams = field(factory=dict)
    home: torch.device | None = None
    shapes: Shapes = field(factory=dict)
    _inner: dict[int, Streams] = field(factory=dict)

    def shape_changed(self, entry: Streams) -> bool:
        """Tell whether any stream enters with another shape or dtype than at the last anchor; False without one."""
        if not self.shapes:
            return False
        if len(self.shapes) != len(entry):
            return True
        for stream, tensor in entry.items():
            if self.shapes.get(stream) != (None if tensor is None else (tensor.shape, tensor.dtype)):
                return True
        return False

    def store(
        self,
        at: Position,
        entry: Streams,
        exit: Streams,
        probe: torch.Tensor | None = None,
        exit_index: int = -1,
        joined: torch.Tensor | None = None,
    ) -> None:
        """Keep what was just computed as the newest anchor.

        Args:
            at: the step.
            entry: the streams that entered the unit.
            exit: the streams that left it.
            probe: what the front blocks added.
            exit_index: the last block of the unit that the model's loop called.
            joined: what `hidden` is compared with instead, where the lists of a chain concatenate streams.
        """
        known = {**entry, "hidden": joined} if joined is not None else entry
        self.keep(at, shapes_of(entry), changes(known, exit, self.predict.target), probe, exit_index)

    def keep(
        self,
        at: Position,
        shapes: Shapes,
        found: Changes,
        probe: torch.Tensor | None,
        exit_index: int,
    ) -> None:
        """Keep what `store` keeps, where it is known what the unit changed; `shapes` are those that entered."""
        self.exit_index = exit_index
        self.last_step = at.step
        self.shapes = shapes
        put = self.storage.put
        probe = None if probe is None else put(probe)
        self._values = {name: None if value is None else put(value) for name, value in found.made.items()}
        self.home = next((t.device for t in (*found.moved.values(), *found.made.values()) if t is not None), None)
        for stream in found.made:
            self.residuals.pop(stream, None)
        for stream, value in found.moved.items():
            if stream not in self.residuals:
                self.residuals[stream] = self._predictor(stream)
            self.newest[stream] = put(value)
            predictor = self.residuals[stream]
            _show(predictor, probe)
            predictor.update(self.newest[stream], at.clock)

    def predicted(self, at: Position, probe: torch.Tensor | None = None) -> dict[Stream, torch.Tensor]:
        """Return what every stream with a predictor is expected to have been changed by, or its output, at `at`."""
        horizon = self.predict.horizon
        far = horizon is not None and at.step - self.last_step > horizon
        found = {}
        probe = None if probe is None else self.storage.put(probe)
        for stream, predictor in self.residuals.items():
            _show(predictor, probe)
            if far:
                predictor.copied(self.newest[stream], at.clock)
            predicted = self.newest[stream] if far else predictor.predict(at.clock)
            found[stream] = self.storage.get(predicted, self.home)
        return found

    def approximate(self, at: Position, entry: Streams, probe: torch.Tensor | None = None) -> Streams:
        """Return the streams that the unit would return at `at`: entry plus predicted residual, or predicted output."""
        # copies, for the next block may write into what it gets
        streams: Streams = {stream: None if value is None else value.clone() for stream, value in self.values.items()}
        for stream, predicted in self.predicted(at, probe).items():
            before = entry[stream]
            assert before is not None, "a stream with a residual had an entry, and shapes are checked"
            streams[stream] = before + predicted if self.adds else predicted.clone()
        return streams

    @property
    def values(self) -> Streams:
        """The streams that are returned as they came out, where the blocks are."""
        return {name: None if v is None else self.storage.get(v, self.home) for name, v in self._values.items()}

    def keep_inside(self, inner: dict[int, Streams]) -> None:
        """Keep what the blocks before the last one added, by index."""
        put = self.storage.put
        self._inner = {
            index: {name: None if value is None else put(value) for name, value in streams.items()}
            for index, streams in inner.items()
        }

    @property
    def adds(self) -> bool:
        """Whether what is predicted is added to what enters the unit; else it is what leaves it."""
        return self.predict.target == "residual"

    @property
    def distrusted(self) -> bool:
        """Whether what is held must not be reused."""
        return "hidden" in self.shapes and self.shapes["hidden"] is None

    def distrust(self) -> None:
        """Let the next step count as one whose shapes have changed, so that what is held is not reused."""
        self.shapes = {"hidden": None}

    def inside(self, index: int, entry: Streams) -> Streams:
        """Return what block `index` before the unit's last one would return: entry plus what it added when computed."""
        streams: Streams = {}
        for stream, kept in self._inner[index].items():
            kept = None if kept is None else self.storage.get(kept, self.home)
            before = entry.get(stream)
            moves = kept is not None and before is not None and before.shape == kept.shape
            streams[stream] = before + kept if moves else kept  # type: ignore[operator]
        return streams

    def _predictor(self, stream: Stream) -> Predictor:
        wanted = self.predict.streams
        if wanted is not None and stream not in wanted:
            return CopyPredictor()
        # what a sampler adds up, and so can be paid back, is the stream that becomes the model's output
        return build_predictor(self.predict if stream == "hidden" else evolve(self.predict, repay=0.0))

    def clear(self) -> None:
        """Forget everything; buffers are freed when nothing else holds them."""
        if self.meter is not None:
            self.meter.clear()
        self.newest, self.residuals, self._values, self.shapes, self._inner = {}, {}, {}, {}, {}

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Return every tensor that is held."""
        held = [t for p in self.residuals.values() for t in p.tensors()]
        held += [v for v in self._values.values() if v is not None]
        held += [v for streams in self._inner.values() for v in streams.values() if v is not None]
        held += () if self.meter is None else self.meter.tensors()
        return tuple({id(tensor): tensor for tensor in held}.values())


def changes(entry: Streams, exit: Streams, target: str) -> Changes:
    """Compare what entered a unit with what left it; `target` says what of a moved stream is predicted."""
    found = Changes({}, {})
    for stream, after in exit.items():
        before = entry.get(stream)
        if after is None or before is None or before.shape != after.shape:
            found.made[stream] = None if after is None else after.detach().clone()
        else:
            found.moved[stream] = (after - before).detach() if target == "residual" else after.detach().clone()
    return found


def _show(predictor: Predictor, probe: torch.Tensor | None) -> None:
    if predictor.needs_probe:
        assert probe is not None, "the step taps the front for a predictor that goes by it"
        predictor.see(probe)


def shapes_of(streams: Streams) -> Shapes:
    """Return what streams must have in common with those that another step entered with."""
    return {stream: None if tensor is None else (tensor.shape, tensor.dtype) for stream, tensor in streams.items()}
