"""A model that no adapter knows is learned at its first call, checked, and driven from then on."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from attrs import evolve
from click.testing import CliRunner
from torch import nn

from cachedsl import Adapter, PolicyError, StackAdapter, TransformerAdapter, attached, load_adapter
from cachedsl.cli.main import main
from cachedsl.language.parts import Cfg, Compute, Prune, Reuse, Warmup
from cachedsl.language.policy import Policy
from cachedsl.matching import reading as matching
from cachedsl.matching.adapter import UnsupportedModel
from cachedsl.matching.reading import match_transformer
from cachedsl.runtime.learn import learn
from tests.strangers import STRANGERS, Hourglass, Noisy, Sealed, Stranger, Terraces, TwoRivers
from tests.tiny import call, tiny_pipeline
from tests.zoo.base import tensors

STEPS = 6
FUSED = Cfg("fused")


def static(front: int = 1, back: int = 0, **more: Any) -> Policy:
    return Policy(compute=Compute(front, back), warmup=Warmup(2), reuse=Reuse("always"), cfg=FUSED, **more)


def run(model: Stranger, *, fixed: bool = False) -> list[torch.Tensor]:
    with torch.no_grad():
        return [tensors(model(**model.example_inputs(2 if fixed else step, STEPS)))[0] for step in range(STEPS)]


@pytest.fixture(params=STRANGERS, ids=lambda cls: cls.__name__)
def model(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.fixture
def adapter(model: Stranger, tmp_path: Path) -> Adapter:
    """What the command prints, read back from a file."""
    result = CliRunner().invoke(main, ["adapters", "probe", f"tests.strangers:{type(model).__name__}"])
    assert result.exit_code == 0, result.output
    (tmp_path / "inferred.yaml").write_text(result.output)
    assert CliRunner().invoke(main, ["check", str(tmp_path / "inferred.yaml")]).exit_code == 0
    return load_adapter(tmp_path / "inferred.yaml")


def test_a_probed_adapter_is_exact_at_threshold_0(model: Stranger, adapter: Adapter) -> None:
    plain = run(model)
    policy = Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(0.0), cfg=FUSED)
    with policy.apply(model, num_inference_steps=STEPS, adapter=adapter):
        assert all(torch.equal(a, b) for a, b in zip(run(model), plain, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(run(model), plain, strict=True))


@pytest.mark.parametrize(("front", "back"), [(1, 0), (1, 1)])
def test_a_probed_adapter_passes_the_stationary_test(model: Stranger, adapter: Adapter, front: int, back: int) -> None:
    expected = run(model, fixed=True)[0]
    with static(front, back).apply(model, num_inference_steps=STEPS, adapter=adapter) as cached:
        outputs = run(model, fixed=True)
        assert any(s.outcome == "reused" for s in cached.trace.steps())
    assert all(torch.allclose(output, expected, atol=1e-4) for output in outputs)


@pytest.mark.parametrize("kind", ["F1B0", "F1B1", "prune"])
def test_a_probed_adapter_reuses_what_is_planned(model: Stranger, adapter: Adapter, kind: str) -> None:
    policy = {
        "F1B0": static(),
        "F1B1": static(1, 1),
        "prune": Policy(compute=Compute(1, 1), warmup=Warmup(2), reuse=Reuse(1e9), prune=Prune(), cfg=FUSED),
    }[kind]
    counts: Counter[tuple[str, int]] = Counter()
    for path in adapter.transformers[type(model).__name__].stacks:
        for index, block in enumerate(model.get_submodule(path)):  # type: ignore[arg-type]
            block.register_forward_hook(lambda *_, key=(path, index): counts.update([key]))
    run(model)
    every = {key: count // STEPS for key, count in counts.items()}
    counts.clear()
    with policy.apply(model, num_inference_steps=STEPS, adapter=adapter) as cached:
        first = run(model)
        for stack in cached.plan(STEPS).stacks:
            middle = {(stack.name, i) for unit in stack.units for i in range(unit.start, unit.stop)}
            for key in (key for key in every if key[0] == stack.name):
                assert counts[key] == every[key] * (2 if key in middle else STEPS), key
        assert all(torch.equal(a, b) for a, b in zip(run(model), first, strict=True))


def test_what_is_inferred_of_each() -> None:
    found = {cls.__name__: learn(cls(), (), cls().example_inputs()).stacks for cls in STRANGERS}
    skipping = StackAdapter("hidden_only", hidden="x", long_skips=True, blocks=4)
    assert found["Hourglass"] == {"trunk.down": skipping, "trunk.up": skipping}
    assert found["TwoRivers"] == {
        "pairs": StackAdapter("hidden_encoder_swapped", hidden="img", encoder="txt", blocks=4),
        "joint": StackAdapter("hidden_only", hidden="x", blocks=4),
    }
    assert found["Terraces"] == dict.fromkeys(
        ["levels.0.steps", "levels.1.steps"], StackAdapter("hidden_only", hidden="x", blocks=4)
    )


def test_apply_learns_at_the_first_call_and_caches_that_run_already() -> None:
    model = TwoRivers()
    plain = run(model, fixed=True)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    with static().apply(model, num_inference_steps=STEPS) as cached:
        assert cached.learnt is None
        with pytest.raises(UnsupportedModel, match="no plan before that"):
            cached.plan(STEPS)
        assert attached(model) is cached
        outputs = run(model, fixed=True)
        assert torch.equal(torch.rand(1), expected), "learning draws no random numbers of the user's"
        assert [s.outcome[0] for s in cached.trace.steps(stack="pairs")] == list("ccrrrr")
        assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(outputs, plain, strict=True))
        assert cached.learnt is not None
        assert cached.learnt.transformers["TwoRivers"].stacks.keys() == {"pairs", "joint"}
        assert attached(model) is cached
        assert all(torch.equal(a, b) for a, b in zip(run(model, fixed=True), outputs, strict=True))
    assert type(model) is TwoRivers
    assert not model._forward_pre_hooks
    assert not model._forward_hooks
    assert attached(model) is None


def test_removed_before_its_first_call_leaves_no_trace() -> None:
    model = Hourglass()
    cached = static().apply(model, num_inference_steps=STEPS)
    twin = copy.deepcopy(model)
    assert type(twin) is Hourglass
    assert not twin._forward_pre_hooks
    cached.remove()
    assert type(model) is Hourglass
    assert not model._forward_pre_hooks


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Noisy(), "two calls with the same input gave different outputs"),
        (Sealed(), r"blocks: 4 blocks \(Block\), left out: its blocks return a dict"),
    ],
)
def test_what_cannot_be_learned_is_refused_with_a_report(model: Stranger, message: str) -> None:
    with static().apply(model, num_inference_steps=STEPS) as cached, torch.no_grad():
        for _ in range(2):
            with pytest.raises(UnsupportedModel, match=message):
                model(**model.example_inputs())
        assert not cached.trace.steps()
    with torch.no_grad():
        assert tensors(model(**model.example_inputs()))


def test_a_policy_that_does_not_fit_what_was_learned_is_refused_there() -> None:
    model = Hourglass()
    refused = pytest.raises(PolicyError, match="long-skips")
    with static(1, 2).apply(model, num_inference_steps=STEPS), torch.no_grad(), refused:
        model(**model.example_inputs())
    assert type(model) is Hourglass


def test_a_signal_that_needs_places_is_refused_where_the_learned_latent_has_none() -> None:
    model = TwoRivers()
    plain = run(model)
    policy = Policy(compute=Compute(0, 0), span="joined", reuse=Reuse(signal="filtered_latent"), cfg=FUSED)
    with policy.apply(model, num_inference_steps=STEPS) as cached, torch.no_grad():
        for _ in range(2):
            with pytest.raises(PolicyError, match="signal-needs-places"):
                model(**model.example_inputs(0, STEPS))
        assert not cached.trace.steps()
    assert all(torch.equal(a, b) for a, b in zip(run(model), plain, strict=True))


def test_a_module_without_lists_of_blocks_is_refused_at_once() -> None:
    with pytest.raises(UnsupportedModel, match="none of them is a transformer with lists of blocks"):
        static().apply(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))


@pytest.mark.parametrize("name", ["flux", "wan22", "dit"])
def test_a_pipeline_whose_transformers_no_adapter_knows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They give what they give with their adapters."""
    pipe = tiny_pipeline(name)
    policy = evolve(static(), cfg=Cfg())
    with policy.apply(pipe) as cached:
        expected = call(pipe, STEPS)
        steps = [(s.transformer, s.stack, s.branch, s.step, s.outcome) for s in cached.trace.steps()]
    plain = call(pipe, STEPS)
    monkeypatch.setattr(matching, "load_adapters", lambda: ())
    with policy.apply(pipe) as cached:
        assert torch.equal(call(pipe, STEPS), expected)
        learnt = [(s.transformer, s.stack, s.step, s.outcome) for s in cached.trace.steps(run=0)]
        assert learnt == [(transformer, stack, step, outcome) for transformer, stack, _, step, outcome in steps]
        assert torch.equal(call(pipe, STEPS), expected)
        assert cached.held_bytes() == 0
    with evolve(policy, reuse=Reuse(0.0)).apply(pipe):
        assert torch.equal(call(pipe, STEPS), plain)


def test_several_modules_and_no_pipeline_by_declaration_in_python() -> None:
    """As a user interface of nodes would: two models in one run, each with an adapter written out."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = Terraces(), TwoRivers()

        def forward(self, **inputs: Any) -> torch.Tensor:
            (sample,) = self.first(inputs["sample"], inputs["t"])
            return self.second(torch.cat([sample, sample], dim=1), inputs["t"], inputs["text"], inputs["control"])

    model = Both()
    only, pair = StackAdapter("hidden_only", hidden="x"), StackAdapter("hidden_encoder_swapped", "img", "txt")
    stacks = {"first.levels.0.steps": only, "second.pairs": pair, "second.joint": only}
    adapter = Adapter("nodes", {"Both": TransformerAdapter("fused", stacks)})
    inputs = TwoRivers().example_inputs()
    with torch.no_grad():
        expected = model(**inputs)
        with static().apply(model, num_inference_steps=4, adapter=adapter) as cached:
            outputs = [model(**inputs) for _ in range(4)]
        assert {s.stack for s in cached.trace.steps() if s.outcome == "reused"} >= stacks.keys()
    assert all(torch.allclose(output, expected, atol=1e-4) for output in outputs)


def test_an_adapter_written_is_read_as_it_was() -> None:
    known = match_transformer(["FluxTransformer2DModel"])
    assert known is not None
    skips = evolve(known.stacks["transformer_blocks"], between="keep", long_skips=True)
    adapter = Adapter("mine", {"Mine": evolve(known, stacks={"a.b": skips})}, verified="1.2", models={})
    assert matching.read_adapter(adapter.to_yaml(), "mine.yaml") == adapter


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tests.strangers:Missing"], "cannot be imported and called"),
        (["tests.strangers:Mixer"], "has no `example_inputs()`; give --inputs"),
        (["tests.strangers:Sealed"], "left out: its blocks return a dict"),
    ],
)
def test_probing_says_what_is_wrong(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["adapters", "probe", *arguments])
    assert result.exit_code in (1, 2)
    assert message in result.output


def test_probing_with_inputs_and_a_family() -> None:
    arguments = ["tests.strangers:Terraces", "--inputs", "tests.runtime.test_learning:some_inputs", "--family", "steps"]
    result = CliRunner().invoke(main, ["adapters", "probe", *arguments])
    assert "family: steps" in result.output
    assert "# levels: 2 blocks (Level), left out: its blocks return a dict" in result.output


def some_inputs() -> dict[str, Any]:
    return Terraces().example_inputs()


def test_the_command_finds_what_lies_in_the_working_directory(tmp_path: Path) -> None:
    source = "from tests.strangers import Terraces\n\n\nclass Local(Terraces):\n    pass\n"
    (tmp_path / "lying_here.py").write_text(source)
    command = [Path(sys.executable).with_name("cachedsl"), "adapters", "probe", "lying_here:Local"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "  Local:\n" in done.stdout


class Pipe:
    """A pipeline of nobody's library, with a helper network beside its transformer."""

    scheduler = None

    def __init__(self, **components: nn.Module) -> None:
        self.components = components

    def __call__(self, steps: int) -> torch.Tensor:
        model = self.components["denoiser"]
        with torch.no_grad():
            if "refiner" in self.components:
                self.components["refiner"](**model.example_inputs())  # type: ignore[operator]
            for step in range(steps):
                output = model(**model.example_inputs(step, steps))  # type: ignore[operator]
        return tensors(output)[0]


def test_what_cannot_be_learned_beside_a_transformer_runs_uncached(caplog: pytest.LogCaptureFixture) -> None:
    pipe = Pipe(refiner=Sealed(), denoiser=Terraces())
    plain = pipe(STEPS)
    with static().apply(pipe) as cached:
        pipe(STEPS)
        assert "Pipe.refiner runs uncached: Sealed: no adapter knows it" in caplog.text
        assert {s.transformer for s in cached.trace.steps()} == {"denoiser"}
        assert any(s.outcome == "reused" for s in cached.trace.steps())
        assert attached(pipe.components["refiner"]) is None
    assert torch.equal(pipe(STEPS), plain)
    assert type(pipe.components["refiner"]) is Sealed


class Remembering(Terraces):
    """Appends to a list that it is given, as a model appends to a cache of keys and values."""

    def forward(self, sample: torch.Tensor, t: torch.Tensor, seen: Any = None) -> tuple[torch.Tensor]:  # type: ignore[override]
        if seen is not None:
            seen.steps.append(float(t))
        return super().forward(sample, t)


def test_learning_writes_into_copies_of_the_arguments() -> None:
    model, seen = Remembering(), SimpleNamespace(steps=[])
    with static().apply(model, num_inference_steps=STEPS), torch.no_grad():
        for step in range(STEPS):
            model(**model.example_inputs(step, STEPS), seen=seen)
    assert len(seen.steps) == STEPS
