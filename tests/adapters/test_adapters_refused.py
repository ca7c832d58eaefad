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
from cachedsl.matching.reading import adapter_findings, load_adapters, read_adapter
from cachedsl.text.document import parse_document

make: Any = StackAdapter  # the type checker would find these too
transformer: Any = TransformerAdapter
family: Any = Adapter
taken: Any = InputAdapter
modulated: Any = ModulatedInput
ONE = StackAdapter("hidden_only")
GOOD = "family: mine\ntransformers:\n  A:\n    cfg: fused\n    stacks: {b: {pattern: hidden_only}}\n"
COUNT = "expected a whole number of at least 1, got"
KNOWN = "(leave it out where it is not known)"
ALONE = "ModulatedInput: takes `module` and `arguments`, or `argument` alone; got"
PATTERN = (
    "expected `hidden_encoder`, `hidden_encoder_swapped`, `hidden_with_context`, `hidden_only`, `hidden_makes_encoder` or "
    "`hidden_makes_encoder_swapped`, got"
)
STACK_KEYS = "pattern, hidden, encoder, between, joins, long_skips, modulated_input, blocks"

IN_PYTHON: list[tuple[Callable[[], object], str]] = [
    (
        lambda: make("hidden_onyl"),
        f"StackAdapter.pattern: {PATTERN} `hidden_onyl` (did you mean `hidden_only`?)",
    ),
    (lambda: make(3), f"StackAdapter.pattern: {PATTERN} `3`"),
    (lambda: make("hidden_only", hidden=""), 'StackAdapter.hidden: expected the name of an argument, got `""`'),
    (lambda: make(None), f"StackAdapter.pattern: {PATTERN} nothing"),
    (
        lambda: make("hidden_only", between="aply"),
        "StackAdapter.between: expected `apply`, `reuse` or `keep`, got `aply` (did you mean `apply`?)",
    ),
    (lambda: make("hidden_only", long_skips="yes"), "StackAdapter.long_skips: expected true or false, got `yes`"),
    (lambda: make("hidden_only", blocks=-3), f"StackAdapter.blocks: {COUNT} `-3` {KNOWN}"),
    (lambda: make("hidden_only", blocks=0), f"StackAdapter.blocks: {COUNT} `0` {KNOWN}"),
    (lambda: make("hidden_only", blocks=True), f"StackAdapter.blocks: {COUNT} `True` {KNOWN}"),
    (lambda: make("hidden_only", blocks=2.7), f"StackAdapter.blocks: {COUNT} `2.7` {KNOWN}"),
    (
        lambda: make("hidden_only", modulated_input="norm1"),
        "StackAdapter.modulated_input: expected a mapping of module, arguments, output, argument, got `norm1`",
    ),
    (lambda: evolve(ONE, between="never"), "StackAdapter.between: expected `apply`, `reuse` or `keep`, got `never`"),
    (
        lambda: transformer("Fused", {"b": ONE}),
        "TransformerAdapter.cfg: expected `fused` or `separate`, got `Fused` (did you mean `fused`?)",
    ),
    (
        lambda: transformer("fused", {}),
        "TransformerAdapter.stacks: expected a mapping of block lists, at least one, got an empty one (name the model's, "
        "or give no adapter, and they are learned at its first call)",
    ),
    (
        lambda: transformer("fused", ["b"]),
        "TransformerAdapter.stacks: expected a mapping of block lists, got a list of 1",
    ),
    (
        lambda: transformer("fused", {"": ONE}),
        'TransformerAdapter.stacks: expected the attribute path of a block list, got `""`',
    ),
    (
        lambda: transformer("fused", {"b": "hidden_only"}),
        f"TransformerAdapter.stacks.b: expected a mapping of {STACK_KEYS}, got `hidden_only`",
    ),
    (
        lambda: transformer("fused", {"b": ONE}, pipelines="FluxPipeline"),
        "TransformerAdapter.pipelines: expected a list of pipeline classes' names, got `FluxPipeline`",
    ),
    (
        lambda: transformer("fused", {"b": ONE}, input="x"),
        "TransformerAdapter.input: expected a mapping of latent, positions, axes, got `x`",
    ),
    (
        lambda: family("", {"A": transformer("fused", {"b": ONE})}),
        'Adapter.family: expected what the models are called together, got `""`',
    ),
    (
        lambda: family("mine", {}),
        "Adapter.transformers: expected a mapping of transformer classes, at least one, got an empty one (name the class "
        "that it is for)",
    ),
    (
        lambda: family("mine", {"A": ONE}),
        "Adapter.transformers.A: expected a mapping of cfg, stacks, pipelines, input, tensor, got `StackAdapter(",
    ),
    (
        lambda: family("mine", {Path: transformer("fused", {"b": ONE})}),
        "Adapter.transformers: expected the name of a class, got `<class 'pathlib.Path'>` (write 'Path')",
    ),
    (
        lambda: family("mine", {"A": transformer("fused", {"b": ONE})}, verified=0.42),
        "Adapter.verified: expected a version of diffusers, as text, got `0.42`",
    ),
    (
        lambda: family("mine", {"A": transformer("fused", {"b": ONE})}, models={"m": {"transformer": {"b": 0}}}),
        f"Adapter.models.m.transformer.b: {COUNT} `0`",
    ),
    (
        lambda: family("mine", {"A": transformer("fused", {"b": ONE})}, models={"m": {}}),
        "Adapter.models.m: expected a mapping of the pipeline's components, at least one, got an empty one",
    ),
    (
        lambda: family("mine", {"A": transformer("fused", {"b": ONE})}, models={"m": {"": {"b": 2}}}),
        'Adapter.models.m: expected the name of a component, got `""`',
    ),
    (lambda: taken(latent=3), "InputAdapter.latent: expected the name of an argument, got `3`"),
    (lambda: taken(positions="img ids"), "InputAdapter.positions: expected the name of an argument, got `img ids`"),
    (lambda: taken(axes=(2, 2)), "InputAdapter.axes.1: `2` stands twice (keep one of the two)"),
    (lambda: taken(axes=(0,)), "InputAdapter.axes.0: expected an axis from 1 to 9, got `0`"),
    (lambda: taken(axes=3), "InputAdapter.axes: expected a list of axes, each at least 1 and once, got `3`"),
    (lambda: modulated(), f"{ALONE} nothing"),
    (lambda: modulated(module="norm1"), f"{ALONE} module"),
    (
        lambda: modulated(module="n", arguments={"x": "x"}, argument="temb"),
        f"{ALONE} module and arguments and argument",
    ),
    (lambda: modulated(argument="temb", output=0), f"{ALONE} output and argument"),
    (lambda: modulated(module=3), "ModulatedInput.module: expected the path of a module in the block, got `3`"),
    (
        lambda: modulated(module="n", arguments=["x"]),
        "ModulatedInput.arguments: expected a mapping of the norm's arguments to the block's, got a list of 1",
    ),
    (
        lambda: modulated(module="n", arguments={"x": "x"}, output=-1),
        "ModulatedInput.output: expected an index of at least 0, got `-1`",
    ),
    (
        lambda: make("hidden_only", modulated_input={"module": "n"}),
        "StackAdapter.modulated_input: takes `module` and `arguments`, or `argument` alone; got module",
    ),
]


@pytest.mark.parametrize(("made", "message"), IN_PYTHON, ids=[message[:60] for _, message in IN_PYTHON])
def test_an_adapter_made_in_python_is_checked(made: Callable[[], object], message: str) -> None:
    with pytest.raises(AdapterError) as caught:
        made()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_what_was_made_in_python_stands_in_no_file() -> None:
    with pytest.raises(AdapterError) as caught:
        make("hidden_only", modulated_input={"modul": "n", "output": "x"})
    found = {(found.code, found.span.file) for found in caught.value.findings}
    assert found == {("bad-value", ""), ("unknown-key", "")}


def test_parts_may_be_given_as_mappings() -> None:
    given = transformer("fused", {"b": {"pattern": "hidden_only", "modulated_input": {"argument": "temb"}}})
    assert given == TransformerAdapter(
        "fused", {"b": StackAdapter("hidden_only", modulated_input=ModulatedInput(argument="temb"))}
    )
    assert hash(given) == hash(pickle.loads(pickle.dumps(given)))


def test_an_argument_may_be_called_in_letters_of_every_script() -> None:
    assert make("hidden_only", hidden="σ_2", encoder="_0").names == {"hidden": "σ_2", "encoder": "_0"}
    for name in ("2x", "a.b", "a b", "a-b", "x\n", "\u2028"):
        with pytest.raises(AdapterError):
            make("hidden_only", hidden=name)


def test_lists_are_taken_for_tuples() -> None:
    assert transformer("fused", {"b": ONE}, pipelines=["P"]) == transformer("fused", {"b": ONE}, ("P",))
    assert taken(axes=[2, 3]) == InputAdapter(axes=(2, 3))


BAD = "error[bad-value]"
B = "transformers.A.stacks.b"
IN_YAML: dict[str, tuple[str, list[str]]] = {
    "pattern": (
        GOOD.replace("hidden_only", "hidden_onyl"),
        [f"a.yaml:5:27: {BAD}: {B}.pattern: {PATTERN} `hidden_onyl` (did you mean `hidden_only`?)"],
    ),
    "two-wrong-values": (
        GOOD.replace("cfg: fused", "cfg: both").replace("hidden_only", "hidden_only, blocks: -3"),
        [
            f"a.yaml:4:10: {BAD}: transformers.A.cfg: expected `fused` or `separate`, got `both`",
            f"a.yaml:5:48: {BAD}: {B}.blocks: {COUNT} `-3` {KNOWN}",
        ],
    ),
    "no-stacks": (
        GOOD.replace("{b: {pattern: hidden_only}}", "{}"),
        [
            f"a.yaml:5:13: {BAD}: transformers.A.stacks: expected a mapping of block lists, at least one, got an empty "
            "one (name the model's, or give no adapter, and they are learned at its first call)"
        ],
    ),
    "no-transformers": (
        "family: mine\ntransformers: {}\n",
        [
            f"a.yaml:2:15: {BAD}: transformers: expected a mapping of transformer classes, at least one, got an empty "
            "one (name the class that it is for)"
        ],
    ),
    "no-truth-value": (
        GOOD.replace("hidden_only", "hidden_only, long_skips: no"),
        [f"a.yaml:5:52: {BAD}: {B}.long_skips: expected true or false, got `no`"],
    ),
    "part-of-a-block": (
        GOOD.replace("hidden_only", "hidden_only, blocks: 2.7"),
        [f"a.yaml:5:48: {BAD}: {B}.blocks: {COUNT} `2.7` {KNOWN}"],
    ),
    "stack-is-no-mapping": (
        GOOD.replace("{pattern: hidden_only}", "hidden_only"),
        [f"a.yaml:5:17: {BAD}: {B}: expected a mapping of {STACK_KEYS}, got `hidden_only`"],
    ),
    "no-stack": (
        GOOD.replace("{pattern: hidden_only}", ""),
        [f"a.yaml:5:16: {BAD}: {B}: expected a mapping of {STACK_KEYS}, got nothing"],
    ),
    "transformers-is-a-list": (
        "family: mine\ntransformers: [A]\n",
        [f"a.yaml:2:15: {BAD}: transformers: expected a mapping of transformer classes, got a list of 1"],
    ),
    "blank-in-a-path": (
        GOOD.replace("{b: {pattern: hidden_only}}", "{b c: {pattern: x}, d: {pattern: hidden_only, blocks: 0}}"),
        [
            f"a.yaml:5:14: {BAD}: transformers.A.stacks: expected the attribute path of a block list, got `b c`",
            f"a.yaml:5:67: {BAD}: transformers.A.stacks.d.blocks: {COUNT} `0` {KNOWN}",
        ],
    ),
    "unknown-key": (
        GOOD.replace("pattern:", "pattern: hidden_only, betwen:"),
        [
            f"a.yaml:5:40: error[unknown-key]: unknown key `betwen` in `{B}` (did you mean `between`? allowed: "
            f"{STACK_KEYS})"
        ],
    ),
    "unknown-key-at-the-top": (
        GOOD + "zzz: 1\n",
        ["a.yaml:6:1: error[unknown-key]: unknown key `zzz` (allowed: family, transformers, verified, models)"],
    ),
    "missing-key": (
        GOOD.replace("    cfg: fused\n", ""),
        ["a.yaml:4:5: error[missing-key]: key `cfg` is missing in `transformers.A` (expected `fused` or `separate`)"],
    ),
    "modulated-input": (
        GOOD.replace("hidden_only", "hidden_only, modulated_input: {output: 0}"),
        [
            f"a.yaml:5:57: error[adapter]: {B}.modulated_input: takes `module` and `arguments`, or `argument` alone; got "
            "output"
        ],
    ),
    "everywhere": (
        "family: 7\ntransformers:\n  A:\n    cfg: 1\n    stacks: {b: {pattern: x, modulated_input: {}, zzz: 1}}\n"
        "models: {m: {t: {b: x}}}\n",
        [
            f"a.yaml:1:9: {BAD}: family: expected what the models are called together, got `7` "
            '(quote it, it is text and not a number: "7")',
            f"a.yaml:4:10: {BAD}: transformers.A.cfg: expected `fused` or `separate`, got `1`",
            f"a.yaml:5:27: {BAD}: {B}.pattern: {PATTERN} `x`",
            f"a.yaml:5:47: error[adapter]: {B}.modulated_input: takes `module` and `arguments`, or `argument` alone; got "
            "nothing",
            f"a.yaml:5:51: error[unknown-key]: unknown key `zzz` in `{B}` (allowed: {STACK_KEYS})",
            f"a.yaml:6:21: {BAD}: models.m.t.b: {COUNT} `x`",
        ],
    ),
    "models": (
        GOOD + "models:\n  m: {transformer: {b: many}}\n",
        [f"a.yaml:7:24: {BAD}: models.m.transformer.b: {COUNT} `many`"],
    ),
    "broken": (
        "family: mine\ntransformers: {A: [\n",
        [
            f"a.yaml:2:19: {BAD}: transformers.A: expected a mapping of cfg, stacks, pipelines, input, tensor, got an empty list",
            "a.yaml:3:1: error[syntax]: not valid YAML: while parsing a flow node, expected the node content, but found "
            "'<stream end>'",
        ],
    ),
    "tabs": (
        "family: mine\n\tx: 1\n",
        [
            "a.yaml:2:1: error[tab-indent]: a tab in the indentation; YAML is indented with spaces (use two spaces)",
        ],
    ),
    "duplicate-key": (
        GOOD + "family: twice\n",
        [
            "a.yaml:6:1: error[duplicate-key]: duplicate key `family`; line 1 has it already (keep one of the two)",
        ],
    ),
    "duplicate-list": (
        GOOD.replace("{b: {pattern: hidden_only}}", "{b: {pattern: hidden_only}, b: {pattern: hidden_encoder}}"),
        [
            "a.yaml:5:41: error[duplicate-key]: duplicate key `b`; line 5 has it already (keep one of the two)",
        ],
    ),
    "empty": ("", ["a.yaml: the file is empty (`cachedsl adapters probe` writes an adapter)"]),
    "only-a-comment": ("# soon\n", ["a.yaml: the file is empty (`cachedsl adapters probe` writes an adapter)"]),
    "a-list": (
        "- a\n",
        ["a.yaml:1:1: error[not-mapping]: the file holds a list; expected a mapping of keys to values"],
    ),
    "a-tag": (
        "family: !!python/name:os.system x\n",
        [
            "a.yaml:1:1: error[missing-key]: key `transformers` is missing (expected a mapping of transformer classes)",
            "a.yaml:1:9: error[tag]: tag `tag:yaml.org,2002:python/name:os.system` is not allowed (leave the tag out)",
        ],
    ),
    "a-number-as-a-key": (
        GOOD.replace("  A:", "  7:"),
        [
            'a.yaml:3:3: error[bad-key]: key `7` is not a string; keys are strings (quote it: "7")',
            f"a.yaml:3:3: {BAD}: transformers: expected a mapping of transformer classes, at least one, got an empty one "
            "(name the class that it is for)",
        ],
    ),
}


@pytest.mark.parametrize("kind", IN_YAML)
def test_a_file_that_does_not_hold_says_where(kind: str, tmp_path: Path) -> None:
    text, lines = IN_YAML[kind]
    with pytest.raises(AdapterError) as caught:
        read_adapter(text, "a.yaml")
    assert str(caught.value).splitlines() == lines
    assert adapter_findings(parse_document(text, "a.yaml")) == caught.value.findings
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(AdapterError) as caught:
        load_adapter(tmp_path / "a.yaml")
    assert str(caught.value).splitlines() == [f"{tmp_path}/{line}" for line in lines]


def test_null_is_the_default_of_a_key_that_has_one() -> None:
    assert make("hidden_only", encoder=None, between=None, blocks=None) == ONE
    null = "{b: {pattern: hidden_only, hidden: null, blocks: ~, between: , modulated_input: null}}"
    assert read_adapter(GOOD.replace("{b: {pattern: hidden_only}}", null), "a.yaml") == read_adapter(GOOD, "b.yaml")


def test_what_is_no_file_of_text_says_so_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"family: mine\nverified: \xff\n")
    with pytest.raises(AdapterError) as caught:
        load_adapter(path)
    assert str(caught.value) == f"{path}:2:11: error[not-text]: the file is not UTF-8 text: byte 0xff at offset 23"
    for name, said in {
        str(tmp_path): f"{tmp_path}: the file cannot be read: is a directory",
        "a\0b.yaml": r"a\x00b.yaml: the file cannot be read: embedded null byte",
        "a\nb.yaml": r"a\nb.yaml: the file cannot be read: no such file or directory",
        "x" * 5000: f"{'x' * 5000}: the file cannot be read: file name too long",
        "": ".: the file cannot be read: is a directory",
        "/dev/null": "/dev/null: the file is empty (`cachedsl adapters probe` writes an adapter)",
        "/dev/zero": "/dev/zero: the document is larger than 1024 KiB",
    }.items():
        with pytest.raises(AdapterError) as caught:
            load_adapter(name)
        assert str(caught.value) == said


def test_what_a_file_says_does_not_steer_the_terminal() -> None:
    for text in (
        GOOD + '"\\e[31m": 1\n',
        GOOD + 'models: {"\\e[31m": {"\\e": {b: x}}}\n',
        GOOD.replace("{b:", '{"\\e": 1, b:'),
    ):
        with pytest.raises(AdapterError) as caught:
            read_adapter(text, "a.yaml")
        assert all(line.isprintable() for line in str(caught.value).splitlines())


def test_bundled_adapters_read_back_equal() -> None:
    assert all(read_adapter(adapter.to_yaml(), adapter.family) == adapter for adapter in load_adapters())
