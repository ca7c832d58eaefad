"""Know which models there are: adapters, read from `adapters/*.yaml` and matched by transformer class name.

An adapter is data: per transformer class its block lists in execution order, the pattern of their blocks, and how its
pipelines run classifier-free guidance. Declared facts are verified at run time against the actual tensors.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import attrs
import cattrs
import yaml
from attrs import field, frozen
from cattrs.v import transform_error

from cachedsl.diagnostics import CachedslError
from cachedsl.machine.shape import ModelShape, StackShape
from cachedsl.patterns import PATTERNS, Stream

ENTRY_POINTS = "cachedsl.adapters"
VERIFIED = "0.42.1"
"""The version of diffusers on which the tests run every class of the bundled adapters."""


class UnsupportedModel(CachedslError):
    """No adapter knows this model."""


class AdapterError(CachedslError):
    """An adapter file does not hold."""


@frozen
class ModulatedInput:
    """How a block's modulated input is had from the arguments of its call, for the signal of that name.

    Attributes:
        module: the path in the block of the norm that modulates; it is called.
        arguments: of the norm, each with the argument of the block that it is given.
        output: which of the norm's outputs it is, where there are several.
        argument: or the argument of the block that stands for it, such as the embedded timestep.
    """

    module: str = ""
    arguments: dict[str, str] = field(factory=dict)
    output: int | None = None
    argument: str | None = None


@frozen
class InputAdapter:
    """Which argument of the transformer's forward is the noisy latent, and where its tokens belong.

    `positions` is an argument `(tokens, 2 or more)` of which the last two columns are row and column. `axes` are the
    latent's axes that are places, where they are not all after the first two.
    """

    latent: str = "hidden_states"
    positions: str | None = None
    axes: tuple[int, ...] | None = None


@frozen
class StackAdapter:
    """One block list: the pattern of its blocks, and the arguments that carry the streams where they differ.

    `between` says what becomes of what the model's loop itself does between two blocks. `apply` takes it for something
    that comes from elsewhere, such as a ControlNet's residuals, and lets it happen on reused steps as on computed ones;
    `reuse` takes it for a part of what the blocks do, right where it reads `hidden_states` itself. `keep` is for loops
    that also hand on what blocks return, to other lists or into a state of their own: every block of a reused middle
    then returns what it did, at the price of one more tensor held per block and stream. `long_skips`: the last blocks
    read again what the first ones return, so that no more may run behind a reused middle than before it. `blocks` is
    how many there are by the class's default configuration (by a published one where the default is no model's), for
    `explain` and golden plans; a policy that is applied counts the model's own.
    """

    pattern: str
    hidden: str = "hidden_states"
    encoder: str = "encoder_hidden_states"
    between: Literal["apply", "reuse", "keep"] = "apply"
    long_skips: bool = False
    modulated_input: ModulatedInput | None = None
    blocks: int | None = None

    @property
    def names(self) -> Mapping[Stream, str]:
        return {"hidden": self.hidden, "encoder": self.encoder}


@frozen
class TransformerAdapter:
    """One transformer class.

    `cfg` is what its pipelines do with guidance on; `stacks` are in execution order; `pipelines` are the pipeline
    classes that have it.
    """

    cfg: Literal["fused", "separate"]
    stacks: dict[str, StackAdapter]
    pipelines: tuple[str, ...] = ()
    input: InputAdapter = InputAdapter()


@frozen
class Adapter:
    """One family.

    `models` are published models: component, block list, block count; for `explain` and golden plans. `verified` is the
    diffusers version on which its classes were tested.
    """

    family: str
    transformers: dict[str, TransformerAdapter]
    verified: str = ""
    models: dict[str, dict[str, dict[str, int]]] = field(factory=dict)

    def shape(self, name: str | None = None) -> ModelShape:
        """Return the shape of one of `models` or of a transformer class; by default of the first model, or class.

        Raises:
            UnsupportedModel: the adapter does not say how many blocks it has.
        """
        name = name or next(iter((*self.models, *self.transformers)))
        if name in self.models:
            lists = [(of, path, n, self._stack(path)) for of, m in self.models[name].items() for path, n in m.items()]
        else:
            stacks = self.transformers[name].stacks
            lists = [("transformer", path, stack.blocks or 0, stack) for path, stack in stacks.items()]
        if not all(blocks for _, _, blocks, _ in lists):
            raise UnsupportedModel(
                f"{self.family}: how many blocks {name} has is not in the adapter; give every block list its `blocks`, "
                "or name the model under `models`"
            )
        return ModelShape([stack_shape(*one) for one in lists], name)

    def to_yaml(self) -> str:
        """Write YAML that loads as an equal adapter; what is as by default is left out."""
        tree = attrs.asdict(self, filter=lambda field, value: not _default(field, value))
        return yaml.safe_dump(_listed(tree), sort_keys=False, width=116)

    def _stack(self, path: str) -> StackAdapter | None:
        """Return the list's adapter; of several classes, of the one that says most."""
        found = (adapter.stacks[path] for adapter in self.transformers.values() if path in adapter.stacks)
        return max(found, key=lambda stack: stack.modulated_input is not None, default=None)


def stack_shape(component: str, path: str, blocks: int, stack: StackAdapter | None) -> StackShape:
    """Return the shape of one list as its adapter says."""
    modulated = stack is not None and stack.modulated_input is not None
    skips = stack is not None and stack.long_skips
    keeps = stack is not None and stack.between == "keep"
    return StackShape(path, blocks, component, modulated=modulated, long_skips=skips, keeps=keeps)


def _default(field: Any, value: Any) -> bool:
    made = field.default
    return value in (None, "") or value == (made.factory() if isinstance(made, attrs.Factory) else made)  # type: ignore[arg-type]


def _listed(tree: Any) -> Any:
    """Return a tree with lists for tuples, as YAML has them."""
    if isinstance(tree, dict):
        return {key: _listed(value) for key, value in tree.items()}
    return [_listed(item) for item in tree] if isinstance(tree, (list, tuple)) else tree


@lru_cache(maxsize=1)
def load_adapters() -> tuple[Adapter, ...]:
    """Read the bundled adapters, in the order of their file names, and those that other packages offer.

    Another package offers an `Adapter`, or the path of its YAML, under the entry point group `cachedsl.adapters`; of
    two that name one class, the later holds.

    Raises:
        AdapterError: a file has an unknown key, a missing one, a wrong type or an unknown pattern.
    """
    folder = files("cachedsl.adapters")
    paths = sorted((p for p in folder.iterdir() if p.name.endswith(".yaml")), key=lambda p: p.name)
    bundled = [read_adapter(path.read_text(encoding="utf-8"), path.name) for path in paths]
    bundled = [attrs.evolve(adapter, verified=VERIFIED) for adapter in bundled]
    return (*bundled, *(_load_entry(point) for point in entry_points(group=ENTRY_POINTS)))


def _load_entry(point: EntryPoint) -> Adapter:
    found = point.load()
    if isinstance(found, Adapter):
        return found
    if not isinstance(found, str | Path):
        raise AdapterError(
            f"entry point {point.name!r} of {ENTRY_POINTS}: expected an Adapter or the path of its YAML, got "
            f"{type(found).__name__}"
        )
    return load_adapter(found)


def load_adapter(path: str | Path) -> Adapter:
    """Read an adapter of your own from a YAML file, for `policy.apply(target, adapter=...)`.

    Raises:
        AdapterError: the file cannot be read, or does not hold.
    """
    try:
        return read_adapter(Path(path).read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise AdapterError(f"{path}: the file cannot be read: {error.strerror}") from error


def read_adapter(text: str, name: str) -> Adapter:
    """Read one adapter from YAML; `name` stands in messages. Raises `AdapterError`."""
    tree: Any = yaml.safe_load(text)
    converter = cattrs.Converter(forbid_extra_keys=True)
    try:
        adapter: Adapter = converter.structure(tree, Adapter)
    except Exception as error:
        raise AdapterError(f"{name}: " + "; ".join(transform_error(error))) from error
    for class_name, transformer in adapter.transformers.items():
        for path, stack in transformer.stacks.items():
            if stack.modulated_input is not None and bool(stack.modulated_input.argument) == bool(
                stack.modulated_input.module
            ):
                raise AdapterError(
                    f"{name}: {class_name}.{path}: modulated_input takes `module` and `arguments`, or `argument` alone"
                )
            if stack.pattern not in PATTERNS:
                raise AdapterError(
                    f"{name}: {class_name}.{path}: unknown pattern {stack.pattern!r}; the patterns are "
                    f"{', '.join(PATTERNS)}"
                )
    return adapter


def match_transformer(class_names: Sequence[str], own: Adapter | None = None) -> TransformerAdapter | None:
    """Return the adapter of the first class in `class_names` (a class and its bases, nearest first) that has one.

    `own` is asked before all others.
    """
    families = load_adapters() if own is None else (*load_adapters(), own)
    known = {name: adapter for family in families for name, adapter in family.transformers.items()}
    return next((known[name] for name in class_names if name in known), None)


def supported_families() -> tuple[str, ...]:
    return tuple(adapter.family for adapter in load_adapters())


@frozen
class NamedModel:
    """A published model, or a transformer class with its default configuration, as named on the command line."""

    adapter: Adapter
    name: str

    def shape(self) -> ModelShape:
        return self.adapter.shape(self.name)


def find_adapter(name: str) -> NamedModel:
    """Find a model by family, by published model, or by transformer class.

    Raises:
        UnsupportedModel: nothing has that name; the message lists what there is.
    """
    names: dict[str, NamedModel] = {}
    for adapter in load_adapters():
        own = (*adapter.models, *adapter.transformers)
        names[adapter.family.lower()] = NamedModel(adapter, own[0])
        names.update({name.lower(): NamedModel(adapter, name) for name in own})
    if name.lower() in names:
        return names[name.lower()]
    near = difflib.get_close_matches(name.lower(), names, n=1)
    guess = f", did you mean {near[0]!r}?" if near else ";"
    listed = ", ".join(a.family + (f" ({', '.join(a.models)})" if a.models else "") for a in load_adapters())
    raise UnsupportedModel(f"no adapter is called {name!r}{guess} there are: {listed}")
