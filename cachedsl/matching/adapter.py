"""What an adapter is: per transformer class its block lists, how their blocks are called, and how guidance runs.

An adapter is data, checked where it is made: its block lists in order of execution, the pattern of their blocks, and
how its pipelines run classifier-free guidance. Declared facts are verified at run time against the actual tensors.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import attrs
import yaml
from attrs import field, frozen

from cachedsl.matching.patterns import PATTERNS, Stream
from cachedsl.plan.model_shape import ModelShape, StackShape
from cachedsl.text.document import printable
from cachedsl.text.finding import CachedslError


class UnsupportedModel(CachedslError):
    """No adapter knows this model."""


class AdapterError(CachedslError):
    """An adapter, or the file of one, does not hold."""


Check = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def _bad(of: object, key: str, expected: str, value: object, hint: str = "") -> AdapterError:
    """Say what is wrong with a value; `_build` puts the place in the file for the name of the class."""
    return AdapterError(f"{type(of).__name__}.{key}: expected {expected}, got {reprlib.repr(value)}{hint}")


def _check(holds: Callable[[Any], bool], expected: str, hint: str = "") -> Check:
    def check(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not holds(value):
            raise _bad(instance, attribute.name, expected, value, hint)

    return check


def _one_of(*choices: str) -> Check:
    def check(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, str) or value not in choices:
            expected = f"{', '.join(choices[:-1])} or {choices[-1]}"
            raise _bad(instance, attribute.name, expected, value, guess(value, choices))

    return check


def _mapping_of(what: str, part: type, key: str, hint: str) -> Check:
    """Check a mapping of names to `part`, and that it has any."""

    def check(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, dict):
            raise _bad(instance, attribute.name, f"a mapping of {what}", value)
        if not value:
            raise _bad(instance, attribute.name, f"a mapping of {what}, at least one", value, hint)
        for name, item in value.items():
            if not _is_text(name):
                way_out = f"; write {name.__name__!r}" if isinstance(name, type) else ""
                raise _bad(instance, attribute.name, key, name, way_out)
            if not isinstance(item, part):
                raise _bad(instance, f"{attribute.name}.{printable(name)}", f"a {part.__name__}", item)

    return check


def _check_models(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Check published models: component, block list, block count."""

    def check(place: str, tree: Any, levels: tuple[str, ...]) -> None:
        if not levels:
            if not _is_count(tree):
                raise _bad(instance, place, "a whole number of at least 1", tree)
            return
        if not isinstance(tree, dict) or not (tree or place == attribute.name):
            raise _bad(instance, place, f"a mapping of {levels[0]}", tree)
        for name, inner in tree.items():
            if not _is_text(name):
                raise _bad(instance, place, f"a mapping of {levels[0]} by name", name)
            check(f"{place}.{printable(name)}", inner, levels[1:])

    check(attribute.name, value, ("published models", "the pipeline's components", "block lists"))


def guess(value: object, choices: Iterable[str]) -> str:
    near = difflib.get_close_matches(value.lower(), choices, n=1, cutoff=0.5) if isinstance(value, str) else []
    return f"; did you mean {near[0]!r}?" if near else ""


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.isidentifier()


def _is_count(value: object, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_axes(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and all(map(_is_count, value)) and len({*value}) == len(value)


def _tupled(value: Any) -> Any:
    """Return a tuple for a list, as YAML has them; a string is no list of its characters."""
    return tuple(value) if isinstance(value, list) else value


_ARGUMENT = _check(_is_name, "the name of an argument")
_OPTIONAL_ARGUMENT = _check(lambda value: value is None or _is_name(value), "the name of an argument")


@frozen
class ModulatedInput:
    """How a block's modulated input is had from the arguments of its call, for the signal of that name.

    Attributes:
        module: the path in the block of the norm that modulates; it is called.
        arguments: of the norm, each with the argument of the block that it is given.
        output: which of the norm's outputs it is, where there are several.
        argument: or the argument of the block that stands for it, such as the embedded timestep.
    """

    module: str = field(
        default="", validator=_check(lambda value: isinstance(value, str), "the path of a module in the block")
    )
    arguments: dict[str, str] = field(
        factory=dict,
        validator=_check(
            lambda value: isinstance(value, dict) and all(map(_is_name, (*value, *value.values()))),
            "a mapping of the norm's arguments to the block's",
        ),
    )
    output: int | None = field(
        default=None,
        validator=_check(lambda value: value is None or _is_count(value, 0), "an index of at least 0"),
    )
    argument: str | None = field(default=None, validator=_OPTIONAL_ARGUMENT)

    def __attrs_post_init__(self) -> None:
        given = [one.name for one in attrs.fields(type(self)) if not _default(one, getattr(self, one.name))]
        if given != ["argument"] and given not in (["module", "arguments"], ["module", "arguments", "output"]):
            raise AdapterError(
                f"{type(self).__name__}: takes `module` and `arguments`, or `argument` alone; got "
                f"{' and '.join(given) or 'nothing'}"
            )


@frozen
class InputAdapter:
    """Which argument of the transformer's forward is the noisy latent, and where its tokens belong.

    `positions` is an argument `(tokens, 2 or more)` of which the last two columns are row and column. `axes` are the
    latent's axes that are places, where they are not all after the first two.
    """

    latent: str = field(default="hidden_states", validator=_ARGUMENT)
    positions: str | None = field(default=None, validator=_OPTIONAL_ARGUMENT)
    axes: tuple[int, ...] | None = field(
        default=None,
        converter=_tupled,
        validator=_check(lambda value: value is None or _is_axes(value), "a list of axes, each at least 1 and once"),
    )


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

    pattern: str = field(validator=_one_of(*PATTERNS))
    hidden: str = field(default="hidden_states", validator=_ARGUMENT)
    encoder: str = field(default="encoder_hidden_states", validator=_ARGUMENT)
    between: Literal["apply", "reuse", "keep"] = field(default="apply", validator=_one_of("apply", "reuse", "keep"))
    long_skips: bool = field(default=False, validator=_check(lambda value: isinstance(value, bool), "true or false"))
    modulated_input: ModulatedInput | None = field(
        default=None,
        validator=_check(lambda value: value is None or isinstance(value, ModulatedInput), "a ModulatedInput"),
    )
    blocks: int | None = field(
        default=None,
        validator=_check(
            lambda value: value is None or _is_count(value),
            "a whole number of at least 1",
            "; leave it out where it is not known",
        ),
    )

    @property
    def names(self) -> Mapping[Stream, str]:
        return {"hidden": self.hidden, "encoder": self.encoder}


@frozen
class TransformerAdapter:
    """One transformer class.

    `cfg` is what its pipelines do with guidance on; `stacks` are in execution order; `pipelines` are the pipeline
    classes that have it.
    """

    cfg: Literal["fused", "separate"] = field(validator=_one_of("fused", "separate"))
    stacks: dict[str, StackAdapter] = field(
        validator=_mapping_of(
            "block lists",
            StackAdapter,
            "the attribute path of a block list",
            "; name the model's, or give no adapter, and they are learned at its first call",
        )
    )
    pipelines: tuple[str, ...] = field(
        default=(),
        converter=_tupled,
        validator=_check(
            lambda value: isinstance(value, tuple) and all(map(_is_text, value)), "a list of pipeline classes' names"
        ),
    )
    input: InputAdapter = field(
        default=InputAdapter(), validator=_check(lambda value: isinstance(value, InputAdapter), "an InputAdapter")
    )


@frozen
class Adapter:
    """One family.

    `models` are published models: component, block list, block count; for `explain` and golden plans. `verified` is the
    diffusers version on which its classes were tested.
    """

    family: str = field(validator=_check(_is_text, "what the models are called together"))
    transformers: dict[str, TransformerAdapter] = field(
        validator=_mapping_of(
            "transformer classes", TransformerAdapter, "the name of a class", "; name the class that it is for"
        )
    )
    verified: str = field(
        default="", validator=_check(lambda value: isinstance(value, str), "a version of diffusers, as text")
    )
    models: dict[str, dict[str, dict[str, int]]] = field(factory=dict, validator=_check_models)

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
