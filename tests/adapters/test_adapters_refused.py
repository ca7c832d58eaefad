"""Adapters are checked where they are made, in Python as in YAML, and say in one sentence what is wrong."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from cachedsl import load_adapter
from cachedsl.matching.adapter import (
    Adapter,
    AdapterError,
    InputAdapter,
    ModulatedInput,
    StackAdapter,
    TransformerAdapter,
)
from cachedsl.matching.reading import load_adapters, read_adapter

make: Any = StackAdapter  # the type checker would find these too
transformer: Any = TransformerAdapter
family: Any = Adapter
taken: Any = InputAdapter
modulated: Any = ModulatedInput
ONE = StackAdapter("hidden_only")
GOOD = "family: mine\ntransformers:\n  A:\n    cfg: fused\n    stacks: {b: {pattern: hidden_only}}\n"
COUNT = "expected a whole number of at least 1, got"
ALONE = "ModulatedInput: takes `module` and `arguments`, or `argument` alone; got"

IN_PYTHON: list[tuple[Callable[[], object], str]] = [
    (
        lambda: make("hidden_onyl"),
        "StackAdapter.pattern: expected hidden_encoder, hidden_encoder_swapped, hidden_with_context, hidden_only, "
        "hidden_makes_encoder or hidden_makes_encoder_swapped, got 'hidden_onyl'; did you mean 'hidden_only'?",
    ),
    (lambda: make(3), "hidden_makes_encoder_swapped, got 3"),
    (lambda: make("hidden_only", hidden=""), "StackAdapter.hidden: expected the name of an argument, got ''"),
    (lambda: make("hidden_only", encoder=None), "StackAdapter.encoder: expected the name of an argument, got None"),
    (
        lambda: make("hidden_only", between="aply"),
        "StackAdapter.between: expected apply, reuse or keep, got 'aply'; did you mean 'apply'?",
    ),
    (lambda: make("hidden_only", long_skips="yes"), "StackAdapter.long_skips: expected true or false, got 'yes'"),
    (lambda: make("hidden_only", blocks=-3), f"StackAdapter.blocks: {COUNT} -3; leave it out where it is not known"),
    (lambda: make("hidden_only", blocks=0), f"StackAdapter.blocks: {COUNT} 0; leave it out where it is not known"),
    (lambda: make("hidden_only", blocks=True), f"StackAdapter.blocks: {COUNT} True"),
    (lambda: make("hidden_only", blocks=2.7), f"StackAdapter.blocks: {COUNT} 2.7"),
    (
        lambda: make("hidden_only", modulated_input="norm1"),
        "StackAdapter.modulated_input: expected a ModulatedInput, got 'norm1'",
    ),
    (lambda: evolve(ONE, between="never"), "StackAdapter.between: expected apply, reuse or keep, got 'never'"),
    (
        lambda: transformer("Fused", {"b": ONE}),
        "TransformerAdapter.cfg: expected fused or separate, got 'Fused'; did you mean 'fused'?",
    ),
    (
        lambda: transformer("fused", {}),
        "TransformerAdapter.stacks: expected a mapping of block lists, at least one, got {}; name the model's, or give "
        "no adapter, and they are learned at its first call",
    ),
    (lambda: transformer("fused", ["b"]), "TransformerAdapter.stacks: expected a mapping of block lists, got ['b']"),
    (
        lambda: transformer("fused", {"": ONE}),
        "TransformerAdapter.stacks: expected the attribute path of a block list, got ''",
    ),
    (
        lambda: transformer("fused", {"b": "hidden_only"}),
        "TransformerAdapter.stacks.b: expected a StackAdapter, got 'hidden_only'",
    ),
    (
        lambda: transformer("fused", {"b": ONE}, pipelines="FluxPipeline"),
        "TransformerAdapter.pipelines: expected a list of pipeline classes' names, got 'FluxPipeline'",
    ),
    (
        lambda: transformer("fused", {"b": ONE}, input="x"),
        "TransformerAdapter.input: expected an InputAdapter, got 'x'",
    ),
    (lambda: family("", {"A": transformer("fused", {"b": ONE})}), "Adapter.family: expected what the models are"),
    (
        lambda: family("mine", {}),
        "Adapter.transformers: expected a mapping of transformer classes, at least one, got {}; name the class that it "
        "is for",
    ),
    (lambda: family("mine", {"A": ONE}), "Adapter.transformers.A: expected a TransformerAdapter, got StackAdapter"),
    (
        lambda: family("mine", {Path: transformer("fused", {"b": ONE})}),
        "Adapter.transformers: expected the name of a class, got <class 'pathlib",
    ),
    (
        lambda: family("mine", {"A": transformer("fused", {"b": ONE})}, verified=0.42),
        "Adapter.verified: expected a version of diffusers, as text, got 0.42",
    ),
    (
        lambda: family("mine", {"A": transformer("fused", {"b": ONE})}, models={"m": {"transformer": {"b": 0}}}),
        f"Adapter.models.m.transformer.b: {COUNT} 0",
    ),
    (
        lambda: family("mine", {"A": transformer("fused", {"b": ONE})}, models={"m": {}}),
        "Adapter.models.m: expected a mapping of the pipeline's components, got {}",
    ),
    (
        lambda: family("mine", {"A": transformer("fused", {"b": ONE})}, models={"m": {"": {"b": 2}}}),
        "Adapter.models.m: expected a mapping of the pipeline's components by name, got ''",
    ),
    (lambda: taken(latent=3), "InputAdapter.latent: expected the name of an argument, got 3"),
    (lambda: taken(positions="img ids"), "InputAdapter.positions: expected the name of an argument, got 'img ids'"),
    (lambda: taken(axes=(2, 2)), "InputAdapter.axes: expected a list of axes, each at least 1 and once, got (2, 2)"),
    (lambda: taken(axes=3), "InputAdapter.axes: expected a list of axes, each at least 1 and once, got 3"),
    (lambda: modulated(), f"{ALONE} nothing"),
    (lambda: modulated(module="norm1"), f"{ALONE} module"),
    (
        lambda: modulated(module="n", arguments={"x": "x"}, argument="temb"),
        f"{ALONE} module and arguments and argument",
    ),
    (lambda: modulated(argument="temb", output=0), f"{ALONE} output and argument"),
    (lambda: modulated(module=None), "ModulatedInput.module: expected the path of a module in the block, got None"),
    (lambda: modulated(module="n", arguments=["x"]), "ModulatedInput.arguments: expected a mapping of the norm's"),
    (
        lambda: modulated(module="n", arguments={"x": "x"}, output=-1),
        "ModulatedInput.output: expected an index of at least 0, got -1",
    ),
]


@pytest.mark.parametrize(("made", "message"), IN_PYTHON, ids=[message[:60] for _, message in IN_PYTHON])
def test_an_adapter_made_in_python_is_checked(made: Callable[[], object], message: str) -> None:
    with pytest.raises(AdapterError) as caught:
        made()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_class_in_place_of_its_name_is_told_the_name() -> None:
    with pytest.raises(AdapterError, match=r"; write 'Path'$"):
        family("mine", {Path: TransformerAdapter("fused", {"b": ONE})})


def test_lists_are_taken_for_tuples() -> None:
    assert transformer("fused", {"b": ONE}, pipelines=["P"]) == transformer("fused", {"b": ONE}, ("P",))
    assert taken(axes=[2, 3]) == InputAdapter(axes=(2, 3))


IN_YAML = {
    "pattern": (
        GOOD.replace("hidden_only", "hidden_onyl"),
        "a.yaml:5:27: transformers.A.stacks.b.pattern: expected hidden_encoder, hidden_encoder_swapped, "
        "hidden_with_context, hidden_only, hidden_makes_encoder or hidden_makes_encoder_swapped, got 'hidden_onyl'; "
        "did you mean 'hidden_only'?",
    ),
    "two-wrong-values": (
        GOOD.replace("cfg: fused", "cfg: both").replace("hidden_only", "hidden_only, blocks: -3"),
        "a.yaml:5:48: transformers.A.stacks.b.blocks: expected a whole number of at least 1, got -3; leave it out where "
        "it is not known",
    ),
    "cfg": (
        GOOD.replace("cfg: fused", "cfg: both"),
        "a.yaml:4:10: transformers.A.cfg: expected fused or separate, got 'both'",
    ),
    "no-stacks": (
        GOOD.replace("{b: {pattern: hidden_only}}", "{}"),
        "a.yaml:5:13: transformers.A.stacks: expected a mapping of block lists, at least one, got {}; name the model's, "
        "or give no adapter, and they are learned at its first call",
    ),
    "no-transformers": (
        "family: mine\ntransformers: {}\n",
        "a.yaml:2:15: transformers: expected a mapping of transformer classes, at least one, got {}; name the class that "
        "it is for",
    ),
    "no-truth-value": (
        GOOD.replace("hidden_only", "hidden_only, long_skips: no"),
        "a.yaml:5:52: transformers.A.stacks.b.long_skips: expected true or false, got 'no'",
    ),
    "part-of-a-block": (
        GOOD.replace("hidden_only", "hidden_only, blocks: 2.7"),
        "a.yaml:5:48: transformers.A.stacks.b.blocks: expected a whole number of at least 1, got 2.7; leave it out where "
        "it is not known",
    ),
    "stack-is-no-mapping": (
        GOOD.replace("{pattern: hidden_only}", "hidden_only"),
        "a.yaml:5:17: transformers.A.stacks.b: expected a mapping of pattern, hidden, encoder, between, long_skips, "
        "modulated_input, blocks, got 'hidden_only'",
    ),
    "transformers-is-a-list": (
        "family: mine\ntransformers: [A]\n",
        "a.yaml:2:15: transformers: expected a mapping of transformer classes, got ['A']",
    ),
    "unknown-key": (
        GOOD.replace("pattern:", "pattern: hidden_only, betwen:"),
        "a.yaml:5:40: transformers.A.stacks.b: unknown key 'betwen'; did you mean 'between'? there are pattern, hidden, "
        "encoder, between, long_skips, modulated_input, blocks",
    ),
    "unknown-key-at-the-top": (
        GOOD + "zzz: 1\n",
        "a.yaml:6:1: unknown key 'zzz'; there are family, transformers, verified, models",
    ),
    "missing-key": (GOOD.replace("    cfg: fused\n", ""), "a.yaml:4:5: transformers.A: key 'cfg' is missing"),
    "modulated-input": (
        GOOD.replace("hidden_only", "hidden_only, modulated_input: {output: 0}"),
        "a.yaml:5:57: transformers.A.stacks.b.modulated_input: takes `module` and `arguments`, or `argument` alone; got "
        "output",
    ),
    "models": (
        GOOD + "models:\n  m: {transformer: {b: many}}\n",
        "a.yaml:7:3: models.m.transformer.b: expected a whole number of at least 1, got 'many'",
    ),
    "family": (GOOD.replace("mine", "7"), "a.yaml:1:9: family: expected what the models are called together, got 7"),
    "broken": (
        "family: mine\ntransformers: {A: [\n",
        "a.yaml:3:1: not valid YAML: while parsing a flow node, expected the node content, but found '<stream end>'",
    ),
    "tabs": (
        "family: mine\n\tx: 1\n",
        "a.yaml:2:1: a tab in the indentation; YAML is indented with spaces; use two spaces",
    ),
    "duplicate-key": (
        GOOD + "family: twice\n",
        "a.yaml:6:1: duplicate key `family`; line 1 has it already; keep one of the two",
    ),
    "duplicate-list": (
        GOOD.replace("{b: {pattern: hidden_only}}", "{b: {pattern: hidden_only}, b: {pattern: hidden_encoder}}"),
        "a.yaml:5:41: duplicate key `b`; line 5 has it already; keep one of the two",
    ),
    "empty": ("", "a.yaml: the file is empty; `cachedsl adapters probe` writes an adapter"),
    "only-a-comment": ("# soon\n", "a.yaml: the file is empty; `cachedsl adapters probe` writes an adapter"),
    "a-list": ("- a\n", "a.yaml:1:1: the file holds a list; expected a mapping of keys to values"),
    "a-tag": (
        "family: !!python/name:os.system x\n",
        "a.yaml:1:9: tag `tag:yaml.org,2002:python/name:os.system` is not allowed; leave the tag out",
    ),
    "a-number-as-a-key": (
        GOOD.replace("  A:", "  7:"),
        'a.yaml:3:3: key `7` is not a string; keys are strings; quote it: "7"',
    ),
}


@pytest.mark.parametrize("kind", IN_YAML)
def test_a_file_that_does_not_hold_says_where(kind: str, tmp_path: Path) -> None:
    text, message = IN_YAML[kind]
    with pytest.raises(AdapterError) as caught:
        read_adapter(text, "a.yaml")
    assert str(caught.value) == message
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(AdapterError) as caught:
        load_adapter(tmp_path / "a.yaml")
    assert str(caught.value) == f"{tmp_path}/{message}"


def test_a_file_that_is_no_text_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"family: mine\nverified: \xff\n")
    with pytest.raises(AdapterError) as caught:
        load_adapter(path)
    assert str(caught.value) == f"{path}:2:11: the file is not UTF-8 text: byte 0xff at offset 23"
    with pytest.raises(AdapterError, match=f"^{tmp_path}: the file cannot be read: "):
        load_adapter(tmp_path)


def test_what_a_file_says_does_not_steer_the_terminal() -> None:
    for text in (
        GOOD + '"\\e[31m": 1\n',
        GOOD + 'models: {"\\e[31m": {"\\e": {b: x}}}\n',
        GOOD.replace("{b:", '{"\\e": 1, b:'),
    ):
        with pytest.raises(AdapterError) as caught:
            read_adapter(text, "a.yaml")
        assert str(caught.value).isprintable()


def test_bundled_adapters_read_back_equal() -> None:
    assert all(read_adapter(adapter.to_yaml(), adapter.family) == adapter for adapter in load_adapters())
