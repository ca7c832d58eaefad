"""Models of one's own do with their blocks what they like: compare them, mark them, write into what they take."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from cachedsl import Adapter, StackAdapter, TransformerAdapter
from cachedsl.language.parts import Cfg, Compute, Predict, Prune, Reuse, Signal, Warmup
from cachedsl.language.policy import Policy
from tests.tiny import inputs, tiny_transformer

DIM = 16
BLOCKS = 6


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Sequential(nn.Linear(DIM, DIM), nn.GELU(), nn.Linear(DIM, DIM))

    def forward(self, x: torch.Tensor, c: float) -> torch.Tensor:
        added: torch.Tensor = self.mix(x) + c
        return x + added


class Model(nn.Module):
    """Five tokens through six blocks, by a loop that is the test's."""

    def __init__(self, loop: Callable[[Any, torch.Tensor], torch.Tensor], block: Callable[[], nn.Module] = Block):
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList([block() for _ in range(BLOCKS)])
        self.loop = loop
        self.eval().requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.loop(self, x)


def own(names: tuple[str, ...] = ("blocks",), **declared: Any) -> Adapter:
    stack = StackAdapter("hidden_only", hidden="x", **declared)
    return Adapter("own", {"Model": TransformerAdapter("fused", dict.fromkeys(names, stack))})


def policy(front: int = 1, back: int = 0, threshold: Any = "always", signal: str = "residual", **rest: Any) -> Policy:
    rest = {"warmup": Warmup(1), **rest}
    reuse = Reuse(threshold, Signal(signal))  # type: ignore[arg-type]
    return Policy(compute=Compute(front, back), reuse=reuse, cfg=Cfg("fused"), **rest)


def tokens() -> torch.Tensor:
    return torch.randn(1, 5, DIM, generator=torch.Generator().manual_seed(1))


def plain(model: Any, x: torch.Tensor) -> torch.Tensor:
    for block in model.blocks:
        x = block(x, 0.5)
    return x


def by_class(model: Any, x: torch.Tensor) -> torch.Tensor:
    for block in model.blocks:
        assert type(block).__name__ == "Block"
        x = block(x, 0.5) if isinstance(block, Block) and block.__class__ is Block else x
    return x


def by_identity(model: Any, x: torch.Tensor) -> torch.Tensor:
    for block in model.blocks:
        x = block(x, 0.5)
        if block is model.blocks[-1]:
            x = 2 * x
    return x


def by_key(model: Any, x: torch.Tensor) -> torch.Tensor:
    order = {block: index / 9 for index, block in enumerate(model.blocks._modules.values())}  # the blocks themselves
    for block in model.blocks:
        assert block in order
        assert block in model.blocks
        x = block(x, order[block])
    return x


def marking(model: Any, x: torch.Tensor) -> torch.Tensor:
    for index, block in enumerate(model.blocks):
        block.scale = index / 9
        x = block(x, model.blocks._modules[str(index)].scale)
        del block.scale
        assert not hasattr(block, "scale")
    return x


def by_forward(model: Any, x: torch.Tensor) -> torch.Tensor:
    for block in model.blocks:
        x = block.forward(x, 0.5)
    return x


def by_children(model: Any, x: torch.Tensor) -> torch.Tensor:
    named = dict(model.blocks.named_children())
    for name, block in zip(named, model.blocks.children(), strict=True):
        assert block is named[name]
        x = block(x, 0.5)
    return x


def by_slices(model: Any, x: torch.Tensor) -> torch.Tensor:
    first, rest = model.blocks[:2], model.blocks[2:]
    assert isinstance(first, nn.ModuleList)
    for block in first + rest:
        x = block(x, 0.5)
    assert rest[-1] is model.blocks[-1]
    return x


def by_pairs(model: Any, x: torch.Tensor) -> torch.Tensor:
    for one, other in zip(model.blocks[::2], model.blocks[1::2], strict=True):
        x = other(one(x, 0.5), 0.25)
    return x


def by_index(model: Any, x: torch.Tensor) -> torch.Tensor:
    assert list(reversed(model.blocks)) == list(model.blocks)[::-1]
    for index in range(len(model.blocks)):
        x = model.blocks[index - BLOCKS](x, 0.5)
    return x


LOOPS = [by_class, by_identity, by_key, marking, by_forward, by_children, by_slices, by_pairs, by_index]


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_a_loop_sees_the_blocks_themselves(loop: Any) -> None:
    model, x = Model(loop), tokens()
    expected = model(x)
    for threshold in (0.0, "always"):
        with policy(threshold=threshold).apply(model, adapter=own()) as cached, torch.no_grad():
            with cached.run(steps=3):
                outputs = [model(x) for _ in range(3)]
            ran = [step.blocks_run for step in cached.trace.steps()]
        assert ran == ([BLOCKS] * 3 if threshold == 0 else [BLOCKS, 1, 1])
        assert torch.equal(outputs[0], expected)
        exact = {"atol": 0.0, "rtol": 0.0} if threshold == 0 else {"atol": 1e-5}
        assert all(torch.allclose(output, expected, **exact) for output in outputs)


@pytest.mark.parametrize("loop", [by_class, by_identity, marking, by_children], ids=lambda loop: loop.__name__)
def test_such_a_model_can_be_learned(loop: Any) -> None:
    model, x = Model(loop), tokens()
    with policy().apply(model, num_inference_steps=2) as cached, torch.no_grad():
        expected = model(x)
        assert cached.learnt
        assert torch.allclose(model(x), expected, atol=1e-5)
        assert any(step.outcome == "reused" for step in cached.trace.steps())


@pytest.mark.parametrize("loop", [by_class, marking, by_forward], ids=lambda loop: loop.__name__)
def test_such_a_model_compiled_as_a_whole(loop: Any) -> None:
    model, x = Model(loop), tokens()
    expected = model(x)
    torch._dynamo.reset()
    call = compiled(model)
    with policy().apply(model, adapter=own()) as cached, torch.no_grad(), cached.run(steps=2):
        outputs = [call(x) for _ in range(2)]
    torch._dynamo.reset()
    assert [step.blocks_run for step in cached.trace.steps()] == [BLOCKS, 1]
    assert all(torch.allclose(output, expected, atol=1e-5) for output in outputs)


def test_a_loop_that_calls_forward_passes_by_the_hooks() -> None:
    model, x = Model(by_forward), tokens()
    expected = model(x)
    for block in model.blocks:
        block.register_forward_hook(lambda *_: pytest.fail("the plain model calls no hook"))
    with policy(threshold=0.0).apply(model, adapter=own()) as cached, torch.no_grad(), cached.run(steps=1):
        assert torch.equal(model(x), expected)


def test_a_block_that_is_a_sequence_is_one_in_the_loop() -> None:
    class Pair(nn.Sequential):
        def forward(self, x: torch.Tensor, c: float) -> torch.Tensor:
            added: torch.Tensor = super().forward(x) * c
            return x + added

    def loop(model: Any, x: torch.Tensor) -> torch.Tensor:
        for block in model.blocks:
            assert bool(block) == (len(block) == 2)
            assert [*block] == [block[0], block[1]]
            x = block(x, float(block[0].weight.abs().max()))
        return x

    model, x = Model(loop, lambda: Pair(nn.Linear(DIM, DIM), nn.GELU())), tokens()
    expected = model(x)
    with policy(threshold=0.0).apply(model, adapter=own()) as cached, torch.no_grad(), cached.run(steps=1):
        assert torch.equal(model(x), expected)


def test_what_the_loop_saw_does_not_stay() -> None:
    seen: list[Any] = []
    copies: list[Any] = []

    def loop(model: Any, x: torch.Tensor) -> torch.Tensor:
        seen.extend(weakref.ref(block) for block in model.blocks)
        copies.extend([copy.deepcopy(model.blocks[0]), pickle.loads(pickle.dumps(model.blocks[0]))])
        return plain(model, x)

    model = Model(loop)
    before = [sorted(module.__dict__) for module in model.modules()]
    cached = policy().apply(model, adapter=own())
    with torch.no_grad(), cached.run(steps=2):
        model(tokens())
        assert all(ref() is not None and type(ref()) is not Block for ref in seen)  # else this would test nothing
    assert [type(block) for block in copies] == [Block, Block]
    twin = copy.deepcopy(model.blocks)
    assert [type(module) for module in twin] == [Block] * BLOCKS
    cached.remove()
    del cached
    gc.collect()
    assert all(ref() is None for ref in seen)
    assert [sorted(module.__dict__) for module in model.modules()] == before


class Writing(Block):
    def forward(self, x: torch.Tensor, c: float) -> torch.Tensor:
        x += self.mix(x) + c
        return x


class HalfWriting(Block):
    """Writes into its input, but returns another tensor."""

    def forward(self, x: torch.Tensor, c: float) -> torch.Tensor:
        x += self.mix(x)
        return x + c


class LaterOnly(Writing):
    """One that does not write, one that hands its input through, one that writes into it, and so on."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        self.place = LaterOnly.made % 3
        LaterOnly.made += 1

    def forward(self, x: torch.Tensor, c: float) -> torch.Tensor:
        return x if self.place == 1 else (Writing if self.place else Block).forward(self, x, c)


def on_a_copy(model: Any, x: torch.Tensor) -> torch.Tensor:
    return plain(model, x.clone())


WRITING = [
    policy(1, 0),
    policy(0, 0),
    policy(2, 2),
    policy(1, 0, 0.5),
    policy(1, 1, 0.5, predict=Predict(target="hidden_states")),
    policy(1, 1, predict=Predict(method="probe_gain"), warmup=Warmup(2)),
    policy(0, 0, 0.5, signal="block_input"),
    policy(1, 1, 0.5, prune=Prune()),
]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=lambda mode: mode.__name__)
@pytest.mark.parametrize("kind", [Writing, HalfWriting, LaterOnly], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("number", range(len(WRITING)))
def test_blocks_that_write_into_their_input_are_reused_as_others_are(number: int, kind: Any, mode: Any) -> None:
    model, x = Model(on_a_copy, kind), tokens()
    with mode():
        expected = model(x)
        with WRITING[number].apply(model, adapter=own()) as cached, cached.run(steps=4):
            outputs = [model(x) for _ in range(4)]
        outcomes = [step.outcome for step in cached.trace.steps()]
    computed = WRITING[number].warmup.steps  # type: ignore[union-attr]
    assert outcomes == ["computed"] * computed + ["reused"] * (4 - computed)
    assert all(torch.equal(output, expected) for output in outputs[:computed])
    assert all(torch.allclose(output, expected, atol=1e-4) for output in outputs)


@pytest.mark.parametrize("between", ["apply", "reuse", "keep"])
@pytest.mark.parametrize("span", ["stack", "joined"])
def test_such_blocks_in_two_lists(span: Any, between: Any) -> None:
    def loop(model: Any, x: torch.Tensor) -> torch.Tensor:
        x = plain(model, x.clone())
        for block in model.more:
            x = block(x, 0.25)
        return x

    model, x = Model(loop, Writing), tokens()
    model.more = copy.deepcopy(model.blocks)
    expected = model(x)
    adapter = own(("blocks", "more"), between=between)
    with policy(1, 1, span=span).apply(model, adapter=adapter) as cached, torch.no_grad():
        with cached.run(steps=3):
            outputs = [model(x) for _ in range(3)]
        assert {step.outcome for step in cached.trace.steps() if step.step} == {"reused"}
    assert all(torch.allclose(output, expected, atol=1e-4) for output in outputs)


def test_a_model_with_such_blocks_can_be_learned() -> None:
    model, x = Model(on_a_copy, Writing), tokens()
    with policy().apply(model, num_inference_steps=2) as cached, torch.no_grad():
        expected = model(x)
        assert cached.learnt
        assert torch.allclose(model(x), expected, atol=1e-5)


def test_blocks_that_begin_to_write_later_are_not_reused_by_a_spoilt_anchor() -> None:
    class Either(Block):
        writes = False

        def forward(self, x: torch.Tensor, c: float) -> torch.Tensor:
            return Writing.forward(self, x, c) if Either.writes else super().forward(x, c)  # type: ignore[arg-type]

    for front in (0, 1):
        Either.writes = False
        model, x = Model(on_a_copy, Either), tokens()
        expected = model(x)
        threshold = 0.5 if front else "always"
        with policy(front, 0, threshold, warmup=Warmup(2)).apply(model, adapter=own()) as cached, torch.no_grad():
            with cached.run(steps=5):
                outputs = [model(x)]
                Either.writes = True
                outputs += [model(x) for _ in range(4)]
            reasons = [step.reason for step in cached.trace.steps()]
        assert reasons[2] == "shape_changed"
        assert [step.outcome for step in cached.trace.steps()][3:] == ["reused", "reused"]
        assert all(torch.allclose(output, expected, atol=1e-4) for output in outputs)


def test_blocks_that_do_not_write_are_copied_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clones: list[int] = [0]
    clone = torch.Tensor.clone

    def counted(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        clones[0] += 1
        return clone(tensor, *args, **kwargs)

    model, x = Model(plain), tokens()
    monkeypatch.setattr(torch.Tensor, "clone", counted)
    with policy(1, 0, 0.5, warmup=Warmup(3)).apply(model, adapter=own()) as cached, torch.no_grad():
        with cached.run(steps=4):
            model(x)
            clones[0] = 0
            model(x)
            model(x)
            model(x)
        assert [step.outcome for step in cached.trace.steps()] == ["computed"] * 3 + ["reused"]
    assert clones[0] == 0


class Narrow(Block):
    def forward(self, x: torch.Tensor, c: float) -> torch.Tensor:
        return super().forward(x.float(), c).to(torch.bfloat16)


@pytest.mark.parametrize("target", ["residual", "hidden_states"])
@pytest.mark.parametrize("front", [0, 1])
def test_a_stand_in_has_the_dtype_of_what_it_stands_for(front: int, target: Any) -> None:
    between = nn.Linear(DIM, DIM, bias=False, dtype=torch.bfloat16).requires_grad_(False)
    nn.init.eye_(between.weight)
    seen: list[torch.dtype] = []

    def loop(model: Any, x: torch.Tensor) -> torch.Tensor:
        for block in model.blocks:
            x = between(block(x, 0.5))  # takes nothing but bfloat16
            seen.append(x.dtype)
        return x

    model, x = Model(loop, Narrow), tokens()
    expected = model(x)
    with policy(front, predict=Predict(target=target)).apply(model, adapter=own()) as cached, torch.no_grad():
        with cached.run(steps=3):
            outputs = [model(x) for _ in range(3)]
        assert [step.outcome for step in cached.trace.steps()] == ["computed", "reused", "reused"]
    assert set(seen) == {torch.bfloat16}
    assert all(torch.allclose(output, expected, atol=0.05) for output in outputs)


class Wrapper(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)


def compiled(block: nn.Module) -> Any:
    return torch.compile(block, backend="eager")


@pytest.mark.parametrize("wrap", [compiled, Wrapper, lambda block: Wrapper(compiled(block))], ids=["c", "w", "wc"])
def test_wrapped_blocks_take_their_arguments_by_position_as_the_block_does(wrap: Any) -> None:
    model, x = Model(plain), tokens()
    expected = model(x)
    for index in range(BLOCKS):
        model.blocks[index] = wrap(model.blocks[index])
    torch._dynamo.reset()
    with policy().apply(model, adapter=own()) as cached, torch.no_grad(), cached.run(steps=2):
        outputs = [model(x) for _ in range(2)]
    torch._dynamo.reset()
    assert all(torch.allclose(output, expected, atol=1e-5) for output in outputs)


def test_compiled_blocks_of_a_known_family_show_their_modulated_input() -> None:
    teacache = policy(0, 0, 0.5, signal="modulated_input")

    def drive(model: Any) -> list[tuple[str, float | None]]:
        with teacache.apply(model) as cached, torch.no_grad(), cached.run(steps=4):
            for step in range(4):
                model(**inputs("dit", step, 4))
        return [(step.outcome, step.value) for step in cached.trace.steps()]

    expected = drive(tiny_transformer("dit"))
    model: Any = tiny_transformer("dit")
    for index, block in enumerate(list(model.transformer_blocks)):
        model.transformer_blocks[index] = compiled(block)
    torch._dynamo.reset()
    got = drive(model)
    torch._dynamo.reset()
    assert [outcome for outcome, _ in got] == [outcome for outcome, _ in expected]
    assert [value for _, value in got] == pytest.approx([value for _, value in expected])


def test_runs_by_turns_know_that_the_loop_writes_into_what_blocks_return() -> None:
    def loop(model: Any, x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        for block in model.blocks:
            x = block(x, 0.5)
            x += 0.25
        return x

    model, x = Model(loop), tokens()
    with policy(1, 1, warmup=Warmup(3)).apply(model, adapter=own()) as cached, torch.no_grad():
        with cached.run(steps=5):
            expected = [model(x * (1 + 0.1 * step)) for step in range(5)]
        outputs: list[list[torch.Tensor]] = [[], []]
        for step in range(5):
            for number in (0, 1):
                with cached.run(steps=5, id=number):
                    outputs[number].append(model(x * (1 + 0.1 * step)))
        assert [s.outcome for s in cached.trace.steps(run=1)] == ["computed"] * 3 + ["reused"] * 2
    for got in outputs:
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
