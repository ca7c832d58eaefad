"""A model is found by any of its names, or by a part that only one of them has."""

from __future__ import annotations

import pytest

from cachedsl.matching.adapter import UnsupportedModel
from cachedsl.matching.reading import find_adapter, load_adapters


@pytest.mark.parametrize(
    ("name", "family", "model"),
    [
        ("flux", "flux", "flux.1-dev"),
        (" FLUX.1-DEV ", "flux", "flux.1-dev"),
        ("FluxTransformer2DModel", "flux", "FluxTransformer2DModel"),
        ("FluxPipeline", "flux", "FluxTransformer2DModel"),
        ("pixartalphapipeline", "pixart", "PixArtTransformer2DModel"),
        ("wan2.2-t2v", "wan", "wan2.2-t2v-a14b"),
        ("HunyuanVideo15", "hunyuan_video15", "HunyuanVideo15Transformer3DModel"),
        ("FluxKon", "flux", "FluxTransformer2DModel"),
        ("cogvideo", "cogvideox", ""),  # of all families only this one has the part
    ],
)
def test_a_name_or_a_part_of_one_is_enough(name: str, family: str, model: str) -> None:
    found = find_adapter(name)
    assert found.adapter.family == family
    assert found.name == (model or next(iter((*found.adapter.models, *found.adapter.transformers))))
    assert found.shape().stacks


def test_every_name_finds_its_own() -> None:
    for adapter in load_adapters():
        assert find_adapter(adapter.family).adapter is adapter
        for name in adapter.models:
            assert find_adapter(name) == find_adapter(name.upper())
            assert (find_adapter(name).adapter, find_adapter(name).name) == (adapter, name)
        for name, transformer in adapter.transformers.items():
            assert name in find_adapter(name).adapter.transformers
            assert all(find_adapter(pipeline).name in adapter.transformers for pipeline in transformer.pipelines)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "hunyuan",
            "'hunyuan' is a part of several names: HunyuanVideoFramepackTransformer3DModel, "
            "HunyuanVideoTransformer3DModel, hunyuan_dit, hunyuan_image, hunyuan_video, hunyuan_video15",
        ),
        (
            "flx",
            "no adapter is called 'flx', did you mean 'flux'? (also near: flux3, flux2, ltx); `cachedsl adapters list` "
            "lists them",
        ),
        ("qzqzqz", "no adapter is called 'qzqzqz'; `cachedsl adapters list` lists them"),
        ("", "no adapter is called ''; `cachedsl adapters list` lists them"),
        ("a\0\n", "no adapter is called 'a\\x00\\n'; `cachedsl adapters list` lists them"),
    ],
)
def test_what_has_no_such_name_says_what_is_near(name: str, said: str) -> None:
    with pytest.raises(UnsupportedModel) as caught:
        find_adapter(name)
    assert str(caught.value) == said


def test_no_message_lists_more_than_a_few_names() -> None:
    with pytest.raises(
        UnsupportedModel, match=r"^'transformer' is a part of several names: (\w+, ){9}\w+ and \d+ more$"
    ):
        find_adapter("transformer")
    with pytest.raises(
        UnsupportedModel, match=r"^no adapter is called 'cogview5', near are cogview\d, cogview\d, cogvideox"
    ):
        find_adapter("cogview5")
    with pytest.raises(UnsupportedModel) as caught:
        find_adapter("x" * 10_000)
    assert len(str(caught.value)) < 250
