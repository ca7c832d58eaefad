"""Learning a model disturbs neither what it is called with nor what it remembers, and says truly what is wrong."""

from __future__ import annotations

import random
from collections import OrderedDict, UserDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from attrs import define
from click.testing import CliRunner
from diffusers.configuration_utils import FrozenDict
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from torch import nn
from transformers.modeling_outputs import BaseModelOutput

from cachedsl.cli.main import main
from cachedsl.infer import copied
from cachedsl.language.parts import Cfg, Compute, Reuse, Warmup
from cachedsl.language.policy import Policy
from cachedsl.matching.adapter import UnsupportedModel
from cachedsl.runtime.learn import learn
from tests.strangers import DIM, Mixer, Stranger


class Plain(Stranger):
    def make(self) -> None:
        self.blocks = nn.ModuleList([Mixer() for _ in range(4)])

    def forward(self, sample: torch.Tensor, t: torch.Tensor, **more: Any) -> Any:
        for block in self.blocks:
            sample = block(sample, self.condition(t))
        return sample


def once(model: Stranger, **more: Any) -> Any:
    """Learn the model at its first call, and return what that call returns."""
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse("always"), cfg=Cfg("fused"))
    with policy.apply(model, num_inference_steps=4) as cached, torch.no_grad():
        output = model(**model.example_inputs(), **more)
        assert cached.learnt is not None
    return output


# What the model is called with.


class Attributes(dict[str, Any]):
    __getattr__ = dict.__getitem__


class Mirrored(dict[str, Any]):
    def __init__(self, **items: Any) -> None:
        super().__init__(**items)
        self.__dict__ = self


class Lenient(dict[str, Any]):
    __getattr__ = dict.get  # answers None to whatever `copy` asks of it


class Pair(NamedTuple):
    bias: torch.Tensor


@dataclass(frozen=True)
class Frozen:
    bias: torch.Tensor


@define
class Slotted:
    bias: torch.Tensor


@define(frozen=True)
class FrozenSlotted:
    bias: torch.Tensor


def held(value: Any) -> torch.Tensor:
    found: torch.Tensor = value.bias if hasattr(value, "bias") else value["bias"]
    return found


class Conditioned(Plain):
    """Writes into what it is given."""

    def forward(self, sample: torch.Tensor, t: torch.Tensor, cond: Any = None) -> Any:  # type: ignore[override]
        bias = held(cond)
        output = super().forward(sample + bias, t)
        bias.add_(1)
        return output


@pytest.mark.parametrize(
    "make",
    [
        dict,
        OrderedDict,
        UserDict,
        Attributes,
        Mirrored,
        FrozenDict,
        lambda bias: defaultdict(list, bias=bias),
        SimpleNamespace,
        Pair,
        Frozen,
        Slotted,
        FrozenSlotted,
    ],
)
def test_an_argument_stays_what_it_is_and_is_written_into_once(make: Callable[..., Any]) -> None:
    model = Conditioned()
    bias = torch.full((DIM,), 0.5)
    with torch.no_grad():
        expected = model(**model.example_inputs(), cond={"bias": bias.clone()})
    cond = make(bias=bias)
    assert torch.equal(once(model, cond=cond), expected)
    assert torch.equal(bias, torch.full((DIM,), 1.5)), "by the user's own call alone"
    twin = copied(cond)
    assert type(twin) is type(cond)
    assert held(twin) is not bias
    assert torch.equal(held(twin), bias)


@pytest.mark.parametrize("output", [BaseModelOutput, Transformer2DModelOutput])
def test_an_output_of_another_model_is_copied_with_its_attributes(output: Callable[..., Any]) -> None:
    name = "last_hidden_state" if output is BaseModelOutput else "sample"
    before = output(**{name: torch.ones(2)})
    twin = copied(before)
    assert type(twin) is type(before)
    assert getattr(twin, name) is twin[name]
    assert twin[name] is not before[name]
    assert torch.equal(twin[0], before[0])


def test_copies_keep_what_is_there_twice_and_hand_on_what_cannot_be_rebuilt(tmp_path: Path) -> None:
    tensor, module, numbers = torch.ones(2), nn.Linear(2, 2), (i for i in range(3))
    twice: list[Any] = [tensor, {"again": tensor}]
    twice.append(twice)
    with (tmp_path / "open").open("w") as file:
        holder = SimpleNamespace(module=module, file=file, numbers=numbers, call=tensor.add, queue=deque([tensor]))
        twin = copied(holder)
        assert twin.file is file
    assert twin is not holder
    assert (twin.module, twin.numbers, twin.call) == (module, numbers, holder.call)
    assert twin.queue[0] is not tensor
    around = copied(twice)
    assert around[2] is around
    assert around[0] is around[1]["again"]
    assert around[0] is not tensor
    computed = (torch.ones(2, requires_grad=True) * 2,)  # no leaf: `copy.deepcopy` refuses it
    assert copied(SimpleNamespace(x=computed)).x[0] is not computed[0]
    assert type(copied(Lenient(x=tensor))) is Lenient
    size = torch.Size([2, 3])
    assert copied(size) is size


# Random numbers.


class Drawing(Plain):
    def forward(self, sample: torch.Tensor, t: torch.Tensor, source: Any = None) -> Any:  # type: ignore[override]
        return super().forward(sample, t) + self.draw(source)

    def draw(self, source: Any) -> torch.Tensor:
        while not isinstance(source, torch.Generator):
            source = source["generator"] if isinstance(source, dict) else source[0]
        return torch.rand(DIM, generator=source)


@pytest.mark.parametrize("wrap", [lambda g: g, lambda g: [g], lambda g: {"generator": (g,)}])
def test_a_generator_among_the_arguments_is_drawn_from_by_the_users_own_call_alone(wrap: Callable[..., Any]) -> None:
    model, generator = Drawing(), torch.Generator().manual_seed(3)
    with torch.no_grad():
        expected = model(**model.example_inputs(), source=wrap(torch.Generator().manual_seed(3)))
    learn(model, (), {**model.example_inputs(), "source": wrap(generator)})
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(3).get_state())
    assert torch.equal(once(model, source=wrap(generator)), expected)


class DrawingEverywhere(Drawing):
    def make(self) -> None:
        super().make()
        self.own = torch.Generator().manual_seed(4)

    def draw(self, source: Any) -> torch.Tensor:
        torch.rand(1)  # the output does not depend on it
        return torch.rand(1, generator=self.own) + random.random() + np.random.rand() + source.random()


def test_the_generators_of_everybody_and_of_the_model_are_as_before() -> None:
    model, source = DrawingEverywhere(), np.random.default_rng(5)

    def state() -> tuple[Any, ...]:
        own = model.own.get_state().tolist(), torch.get_rng_state().tolist()
        return *own, random.getstate(), str(np.random.get_state()), str(source.bit_generator.state)

    before = state()
    assert learn(model, (), {**model.example_inputs(), "source": source}).stacks
    assert state() == before


# What the model remembers.


class Counting(Plain):
    def make(self) -> None:
        super().make()
        self.calls, self.ratio, self.warm = 0, 1.0, False
        self.inner = nn.Module()
        for name in ("written", "replaced"):
            self.inner.register_buffer(name, torch.zeros(3))
        self.register_buffer("late", None)

    def forward(self, sample: torch.Tensor, t: torch.Tensor) -> Any:  # type: ignore[override]
        sample = super().forward(sample, t) * self.ratio + self.inner.written[0]
        self.calls += 1
        self.ratio, self.warm = self.ratio / 2, True
        self.inner.written += 1
        self.inner.replaced = self.inner.replaced + 1
        self.late = t
        return sample


def test_learning_does_not_count() -> None:
    model, written, replaced = Counting(), None, None
    written, replaced = model.inner.written, model.inner.replaced
    learn(model, (), model.example_inputs())
    assert (model.calls, model.ratio, model.warm, model.late) == (0, 1.0, False, None)
    assert model.inner.written is written
    assert model.inner.replaced is replaced
    assert not written.any()
    assert not replaced.any()
    once(model)
    assert model.calls == 1
    assert torch.equal(model.inner.written, torch.ones(3))
    assert torch.equal(model.inner.replaced, torch.ones(3))


class Failing(Counting):
    def forward(self, sample: torch.Tensor, t: torch.Tensor) -> Any:  # type: ignore[override]
        super().forward(sample, t)
        raise ArithmeticError("of the model's own")


def test_a_model_that_raises_is_left_as_it_was() -> None:
    model = Failing()
    with pytest.raises(ArithmeticError, match="of the model's own"):
        learn(model, (), model.example_inputs())
    assert model.calls == 0
    assert not model.inner.written.any()


# What the model returns.


class Returning(Plain):
    def __init__(self, make: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.wrap = make

    def forward(self, sample: torch.Tensor, t: torch.Tensor) -> Any:  # type: ignore[override]
        return self.wrap(super().forward(sample, t))


def holed(x: torch.Tensor) -> torch.Tensor:
    x = x.clone()
    x[..., 0], x[..., 1] = float("nan"), float("inf")
    return x


def cyclic(x: torch.Tensor) -> SimpleNamespace:
    output = SimpleNamespace(x=x)
    output.back = output
    return output


@pytest.mark.parametrize(
    "make",
    [
        Frozen,
        Slotted,
        Pair,
        cyclic,
        lambda x: SimpleNamespace(inner=Frozen([x])),  # type: ignore[arg-type]
        lambda x: (x, None),
        lambda x: (x, SimpleNamespace(cache=torch.rand(1))),
        lambda x: UserDict(x=x),
        lambda x: deque([x]),
        holed,
    ],
)
def test_a_model_is_learned_whatever_holds_its_output(make: Callable[[torch.Tensor], Any]) -> None:
    assert learn(Returning(make), (), Plain().example_inputs()).stacks.keys() == {"blocks"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: float(x.sum()), r"Returning: there is no tensor in its output \(a float\)"),
        (lambda x: (None, "x"), r"there is no tensor in its output \(a tuple of NoneType, str\)"),
        (lambda x: None, r"there is no tensor in its output \(a NoneType\).*give an adapter"),
        (lambda x: x * float("nan"), "every number in its output is NaN or infinite"),
        (lambda x: x + torch.rand(1), "two calls with the same input gave different outputs.*it draws random numbers"),
    ],
)
def test_a_refusal_says_what_is_so(make: Callable[[torch.Tensor], Any], message: str) -> None:
    with pytest.raises(UnsupportedModel, match=message) as refused:
        learn(Returning(make), (), Plain().example_inputs())
    assert ("different outputs" in str(refused.value)) == ("different outputs" in message)
    assert "eval mode" not in str(refused.value), "it is in eval mode"


def test_eval_mode_is_the_way_out_of_training_mode() -> None:
    with pytest.raises(UnsupportedModel, match=r"different outputs.*put it in eval mode"):
        learn(Returning(nn.Dropout()).train(), (), Plain().example_inputs())


def test_a_nan_that_reuse_makes_is_no_equal() -> None:
    class Spoiling(Plain):
        def forward(self, sample: torch.Tensor, t: torch.Tensor) -> Any:  # type: ignore[override]
            ran: list[int] = []
            hooks = [block.register_forward_hook(lambda *_: ran.append(1)) for block in self.blocks]
            output = super().forward(sample, t)
            for hook in hooks:
                hook.remove()
            return output if len(ran) == len(self.blocks) else holed(output)

    with pytest.raises(UnsupportedModel, match=r"left out: .*the output is another one"):
        learn(Spoiling(), (), Plain().example_inputs())


# The command.


class NoInputs(Plain):
    example_inputs = None  # type: ignore[assignment]


class NoDummies(Plain):
    example_inputs = None  # type: ignore[assignment]

    @property
    def dummy_inputs(self) -> None:
        return None


class ReturnsNone(Plain):
    def example_inputs(self) -> Any:  # type: ignore[override]
        return None


class Dummies(Plain):
    example_inputs = None  # type: ignore[assignment]

    @property
    def dummy_inputs(self) -> Any:
        return Plain().example_inputs()


class BadDummies(Plain):
    example_inputs = None  # type: ignore[assignment]

    @property
    def dummy_inputs(self) -> Any:
        raise RuntimeError("no dummies today")


class AskingDummies(BadDummies):
    @property
    def dummy_inputs(self) -> Any:
        return self.forgotten


class Unmade(Plain):
    def make(self) -> None:
        raise RuntimeError("no weights here")


class Strict(Plain):
    def forward(self, sample: torch.Tensor, t: torch.Tensor) -> Any:  # type: ignore[override]
        return super().forward(sample, t)


class NoTensor(Plain):
    def forward(self, sample: torch.Tensor, t: torch.Tensor, **more: Any) -> Any:
        return None


class Needs(Plain):
    def __init__(self, width: int) -> None:
        super().__init__()


def raising() -> dict[str, Any]:
    raise KeyError("prompt")


def no_mapping() -> Any:
    return [1, 2]


def no_names() -> Any:
    return {0: torch.ones(1)}


def lacking() -> dict[str, Any]:
    return {"sample": torch.ones(1, 2, DIM)}


def too_wide() -> dict[str, Any]:
    return {"sample": torch.ones(1, 2, DIM + 1), "t": torch.ones(1)}


def a_dict() -> Any:
    return {}


NOT_A_MODEL = 3
HERE = "tests.runtime.test_learning_hostile"


@pytest.mark.parametrize(
    ("target", "inputs", "status", "parts"),
    [
        ("Strict", "raising", 2, ["--inputs", f"'{HERE}:raising'", "KeyError: 'prompt'", f"{Path(__file__).name}:"]),
        ("Strict", "absent", 2, ["--inputs", "AttributeError", "'absent'"]),
        ("Strict", "no_mapping", 2, [f"--inputs {HERE}:no_mapping gives a list, expected a mapping"]),
        ("Strict", "no_names", 2, ["gives a dict whose keys are not all strings"]),
        ("Strict", "lacking", 2, ["(sample Tensor (1, 2, 16))", "Strict.forward", "TypeError: missing", "'t'"]),
        ("Strict", "too_wide", 2, ["Strict cannot be called with what --inputs", "RuntimeError: ", "t Tensor (1,)"]),
        ("NoInputs", None, 2, ["NoInputs has no `example_inputs()`", "its example_inputs is None", "give --inputs"]),
        ("NoDummies", None, 2, ["its dummy_inputs is None", "give --inputs MODULE:FUNCTION"]),
        ("ReturnsNone", None, 2, ["its example_inputs() is None", "give --inputs MODULE:FUNCTION"]),
        ("BadDummies", None, 2, ["BadDummies.dummy_inputs raised RuntimeError: no dummies today", "give --inputs"]),
        ("AskingDummies", None, 2, ["AskingDummies.dummy_inputs raised AttributeError: ", "give --inputs"]),
        ("Unmade", None, 2, ["MODULE:CLASS", f"'{HERE}:Unmade'", "RuntimeError: no weights here", "takes none"]),
        ("Needs", None, 2, ["TypeError: ", "'width'", "name a function that takes none"]),
        ("Strct", None, 2, ["AttributeError", "did you mean Strict?"]),
        ("NOT_A_MODEL", None, 2, ["it is of type int, not a class or function"]),
        ("a_dict", None, 2, ["gives a dict, expected a torch.nn.Module"]),
        ("NoTensor", None, 1, ["NoTensor: there is no tensor in its output"]),
        ("Dummies", None, 0, ["family: dummies"]),
    ],
)
def test_probing_says_in_one_error_what_is_wrong(
    target: str, inputs: str | None, status: int, parts: list[str]
) -> None:
    arguments = [f"{HERE}:{target}", *(["--inputs", f"{HERE}:{inputs}"] if inputs else [])]
    result = CliRunner().invoke(main, ["adapters", "probe", *arguments])
    assert result.exit_code == status, result.output
    assert status == 0 or isinstance(result.exception, SystemExit), "no traceback"
    for part in parts:
        assert part in result.output


@pytest.mark.parametrize(
    ("target", "source", "parts"),
    [
        ("broken_here:Model", "raise OSError('no disk')\n", ["OSError: no disk", "broken_here.py:1"]),
        ("unwritten_here:Model", "def (:\n", ["SyntaxError"]),
        ("leaving_here:Model", "raise SystemExit(0)\n", ["SystemExit: 0"]),
        ("missing_here:Model", None, ["ModuleNotFoundError: No module named 'missing_here'", "looked for in"]),
        ("only_a_module", None, ["expected a module and a name in it with a colon between"]),
    ],
)
def test_probing_what_cannot_be_imported(
    target: str, source: str | None, parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    if source is not None:
        (tmp_path / f"{target.partition(':')[0]}.py").write_text(source)
    result = CliRunner().invoke(main, ["adapters", "probe", target])
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    for part in ["MODULE:CLASS", repr(target), *parts]:
        assert part in result.output
