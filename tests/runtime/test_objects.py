"""An attached object has a subclass of its class; whatever is made of it is of the class itself, and not attached."""

from __future__ import annotations

import copy
import gc
import logging
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import FluxImg2ImgPipeline, FluxPipeline, WanTransformer3DModel

from cachedsl import Policy, attached
from cachedsl.runtime.errors import AlreadyAttached, NotAttached
from cachedsl.runtime.objects import is_subclassed, restore, state_of, subclass_object
from tests.tiny import call, inputs, tiny_pipeline, tiny_transformer

POLICY = Policy.from_notation("F1B0_W1_S")


def objects(pipe: Any) -> list[Any]:
    return [pipe, pipe.transformer, pipe.transformer.transformer_blocks]


def test_attaching_again_gives_the_same_classes() -> None:
    pipe, other = tiny_pipeline("flux"), tiny_pipeline("flux")
    with POLICY.apply(pipe):
        first = [type(each) for each in objects(pipe)]
    with POLICY.apply(pipe), POLICY.apply(other):
        for mine, theirs, cls in zip(objects(pipe), objects(other), first, strict=True):
            assert type(mine) is type(theirs) is cls
            assert state_of(mine) is not state_of(theirs)
            assert cls == cls.__base__
            assert hash(cls) == hash(cls.__base__)
    assert not any(is_subclassed(each) or state_of(each) for each in [*objects(pipe), *objects(other)])


def test_a_pipeline_made_of_an_attached_ones_components_is_plain() -> None:
    pipe = tiny_pipeline("flux")
    plain = call(pipe, 4)
    with POLICY.apply(pipe) as cached:
        expected = call(pipe, 4)
        made = type(pipe)(**pipe.components)
        made.set_progress_bar_config(disable=True)
        assert type(made) is FluxPipeline
        assert isinstance(made, type(pipe))
        assert isinstance(pipe, FluxPipeline)
        assert attached(made) is None
        records = len(cached.trace)
        assert torch.equal(call(made, 4), plain)
        assert len(cached.trace) == records
        with pytest.raises(AlreadyAttached, match="transformer already runs"):
            POLICY.apply(made)
    with POLICY.apply(made):
        assert torch.equal(call(made, 4), expected)


@pytest.mark.parametrize("cls", [FluxPipeline, FluxImg2ImgPipeline])
def test_from_pipe_takes_the_attached_transformer_over(cls: Any) -> None:
    pipe = tiny_pipeline("flux")
    with POLICY.apply(pipe):
        given = {} if cls is FluxPipeline else {"image_encoder": None, "feature_extractor": None}
        made = cls.from_pipe(pipe, **given)
        assert type(made) is cls
        assert made.transformer is pipe.transformer
        assert attached(made) is None
    with POLICY.apply(made) as cached:
        assert attached(made) is cached


def test_a_model_made_from_an_attached_ones_config_is_plain() -> None:
    model: Any = tiny_transformer("wan")
    with POLICY.apply(model, num_inference_steps=3) as cached, torch.no_grad():
        other = type(model).from_config(model.config)
        assert type(other) is WanTransformer3DModel
        assert attached(other) is None
        other(**inputs("wan", 0, 3))
        assert len(cached.trace) == 0
        with POLICY.apply(other, num_inference_steps=3) as second:
            other(**inputs("wan", 0, 3))
            assert len(cached.trace) == 0
            assert len(second.trace.steps()) == 1


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_and_pickles_are_plain(duplicate: Any) -> None:
    model: Any = tiny_transformer("dit")
    with POLICY.apply(model, num_inference_steps=3):
        made = duplicate(model)
        blocks = duplicate(model.transformer_blocks)
    for each, original in ((made, model), (blocks, model.transformer_blocks)):
        assert type(each) is type(original)
        assert sorted(vars(each)) == sorted(vars(original))
        assert attached(each) is None


def _loud(base: type) -> dict[str, Any]:
    return {"speak": lambda self: state_of(self)}


def test_a_subclass_of_a_subclass_is_a_class_of_its_own() -> None:
    class Base:
        pass

    target: Any = Base()
    subclass_object(target, _loud, "hello")
    assert target.speak() == "hello"

    class Further(type(target)):  # type: ignore[misc]
        pass

    further: Any = Further()
    assert type(further) is Further
    assert isinstance(further, Further)
    assert not isinstance(target, Further)
    assert Further != Base
    assert {Further: 1}[Further] == 1
    restore(target)
    assert type(target) is Base
    assert not vars(target)


CHANGES: dict[str, Callable[[Any], None]] = {
    "one less": lambda model: model.transformer_blocks.__delitem__(1),
    "one more": lambda model: model.transformer_blocks.append(tiny_transformer("flux").transformer_blocks[0]),
    "another list": lambda model: setattr(
        model, "single_transformer_blocks", tiny_transformer("flux", seed=1).single_transformer_blocks
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_list_of_other_blocks_runs_uncached_and_is_named(change: str, caplog: pytest.LogCaptureFixture) -> None:
    pipe, plain = tiny_pipeline("flux"), tiny_pipeline("flux")
    CHANGES[change](plain.transformer)
    expected = call(plain, 4)
    with POLICY.apply(pipe):
        call(pipe, 4)
        CHANGES[change](pipe.transformer)
        with caplog.at_level(logging.WARNING, "cachedsl"):
            assert torch.equal(call(pipe, 4), expected)
            call(pipe, 4)
        named = [record.getMessage() for record in caplog.records if "apply the policy again" in record.getMessage()]
        assert len([message for message in named if "transformer_blocks are others" in message]) == 1
    assert torch.equal(call(pipe, 4), expected)
    with POLICY.apply(pipe) as cached:
        call(pipe, 4)
        assert "reused" in {step.outcome for step in cached.trace.steps()}


def test_a_removed_handle_keeps_what_happened_and_not_the_model() -> None:
    pipe = tiny_pipeline("flux")
    gone = [weakref.ref(pipe), weakref.ref(pipe.transformer)]
    cached = POLICY.apply(pipe)
    call(pipe, 4)
    cached.remove()
    del pipe
    gc.collect()
    assert [one() for one in gone] == [None, None]
    assert "reused" in str(cached.summary())
    assert cached.plan(4).stacks
    with pytest.raises(NotAttached, match="apply it again"), cached:
        pass


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_handle_is_not_copied(duplicate: Callable[[Any], Any]) -> None:
    with (
        POLICY.apply(tiny_transformer("dit")) as cached,
        pytest.raises(TypeError, match="apply the policy to the copy"),
    ):
        duplicate(cached)
