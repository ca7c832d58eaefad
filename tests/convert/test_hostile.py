"""Foreign settings that are odd, broken or meant to break the reader: nothing crashes, and nothing is lost in silence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cachedsl.convert.engine import Asked
from cachedsl.convert.registry import Conversion, convert
from cachedsl.language.dump import written_tree
from cachedsl.loading import parse_policy
from cachedsl.text.finding import CachedslError

FOREIGN = Path(__file__).parent / "foreign"
TREES = sorted(path for path in FOREIGN.iterdir() if path.suffix in (".yaml", ".json"))
ODD: tuple[Any, ...] = ([{}], {"a": []}, 1e308, "x" * 50, None)


def replaced(tree: Any, value: Any, depth: int = 3) -> Iterator[Any]:
    """Yield the tree with each of its values replaced, one at a time."""
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, below in list(entries):
        for inner in (value, *(replaced(below, value, depth - 1) if depth else ())):
            changed = tree.copy()
            changed[key] = inner
            yield changed


@pytest.mark.parametrize("path", TREES, ids=lambda path: path.name)
def test_values_of_any_kind_are_found_fault_with(path: Path) -> None:
    for value in ODD:
        for tree in replaced(yaml.safe_load(path.read_text()), value):
            try:
                found = convert(json.dumps(tree), f"{path.stem}.json", asked=Asked(28))
            except CachedslError:
                continue
            left = found.converted.without_errors()
            assert left.tree or found.findings
            for one in found.findings:
                one.render()


PROGRAM = "import cache_dit\n{}\ncache_dit.enable_cache(pipe, {})\n"
CONFIG = "cache_config=DBCacheConfig(residual_diff_threshold={})"


def program(before: str, arguments: str) -> Conversion:
    return convert(PROGRAM.format(before, arguments), "x.py")


@pytest.mark.parametrize(
    ("before", "arguments", "place", "said"),
    [
        ("t = 0.1\nt += 0.2", CONFIG.format("t"), "4:57", "expected a number, got `t`"),
        ("t = 0.1\nfor t in (0.2, 0.3): pass", CONFIG.format("t"), "4:57", "expected a number, got `t`"),
        ("t = 0.1\ndef run(t): pass", CONFIG.format("t"), "4:57", "expected a number, got `t`"),
        ("t = 0.1\ndel t", CONFIG.format("t"), "4:57", "expected a number, got `t`"),
        ("", CONFIG.format("read()"), "3:57", "expected a number, got `read(...)`"),
        ("c = DBCacheConfig()\nc.max_warmup_steps = 4", "cache_config=c", "3:1", "what `c.max_warmup_steps` does"),
        ("c = DBCacheConfig()\nsetattr(c, name, 4)", "cache_config=c", "3:1", "what `setattr(c, name, 4)` does"),
        ("o = {}\no['max_warmup_steps'] = 4", "**o", "3:1", "what `o['max_warmup_steps']` does"),
        ("o = dict()\no.update(max_warmup_steps=4)", "**o", "3:1", "what `o.update(max_warmup_steps=4)` does"),
        ("", "**options()", "3:32", "what `options()` does"),
        ("", "**options", "3:32", "what `options` does"),
        ("", "*options", "3:30", "what `*options` does"),
        ("", "**{KEY: 4}", "3:33", "what `KEY` does"),
        ("", "**{**more, 'max_warmup_steps': 4}", "3:35", "what `more` does"),
        ("", "cache_config=DBCacheConfig(**more)", "3:59", "what `more` does"),
        ("# a form\x0cfeed, \x85 and \u2028", "max_warmup_step=4", "5:30", "did you mean `max_warmup_steps`?"),
    ],
)
def test_what_of_a_program_cannot_be_told_is_an_error(before: str, arguments: str, place: str, said: str) -> None:
    found = program(before, arguments)
    assert found.errors, found.converted.tree
    text = "\n".join(one.render() for one in found.errors)
    assert said in text
    assert f"x.py:{place}: " in text


@pytest.mark.parametrize(
    ("before", "arguments"),
    [
        ("t: float = 0.1", CONFIG.format("t")),
        ("s = t = +0.1", CONFIG.format("t")),
        ("", "DBCacheConfig(residual_diff_threshold=0.1)"),
        ("", "**dict(residual_diff_threshold=0.1)"),
        ("o = {**{'residual_diff_threshold': 0.3}, 'residual_diff_threshold': 0.1}", "**o"),
        ("other = {}\nother['x'] = 1", CONFIG.format(0.1)),
    ],
)
def test_what_can_be_told_is_read(before: str, arguments: str) -> None:
    found = program(before, arguments)
    assert not found.findings
    assert found.converted.tree == {"version": 1, "reuse": {"threshold": 0.1}}


def test_a_byte_order_mark_and_a_call_inside_another() -> None:
    text = f"\ufeff{PROGRAM.format('', CONFIG.format(0.1))}".replace("cache_dit.enable", "run(cache_dit.enable")
    found = convert(text.replace("))\n", ")))\n"), "x.py")
    assert found.converted.tree == {"version": 1, "reuse": {"threshold": 0.1}}
    assert convert("\ufeffSGLANG_CACHE_DIT_ENABLED=1\n", "x").engine.name == "sglang"


def test_a_second_call_with_other_settings_is_told() -> None:
    call = "cache_dit.enable_cache({}, cache_config=DBCacheConfig(Fn_compute_blocks={}))\n"
    assert not convert(call.format("a", 1) + call.format("b", 1), "x.py").findings
    (told,) = convert(call.format("a", 1) + call.format("b", 4), "x.py").findings
    assert told.render() == (
        "x.py:2:1: warning[not-carried-over]: enable_cache: it is called again, with other settings; those in line 1 "
        "are read (convert each from a file of its own)"
    )


def test_a_program_is_never_run(tmp_path: Path) -> None:
    file = tmp_path / "was-run"
    touch = f"__import__('pathlib').Path({str(file)!r}).touch()"
    program(touch, f"max_warmup_steps={touch}")
    assert not file.exists()


def test_no_mask_is_too_long_to_be_told() -> None:
    bins = (
        "SGLANG_CACHE_DIT_ENABLED=1\nSGLANG_CACHE_DIT_SCM_COMPUTE_BINS=40000000000\nSGLANG_CACHE_DIT_SCM_CACHE_BINS=1\n"
    )
    (told,) = convert(bins, "x.env").errors
    assert (
        "SGLANG_CACHE_DIT_SCM_COMPUTE_BINS: the bins cover 40000000001 steps; at most 10000 are read" in told.render()
    )
    call = "cache_dit.steps_mask(compute_bins=[40000000000], cache_bins=[1])"
    assert "the bins cover" in program("", f"steps_computation_mask={call}").errors[0].message
    preset = convert("cache_config: {num_inference_steps: 900000, steps_computation_mask: fast}\n", "x.yaml")
    assert "at most 10000 steps" in preset.errors[0].message
    bits = ["--cache-mode dbcache --scm-mask " + ",".join("1" * 5000), "--cache-mode dbcache --scm-mask " + "1" * 5000]
    long, wrong = (convert(text, "x") for text in bits)
    text = written_tree(long.converted.tree)
    assert parse_policy(text).steps == long.converted.policy().steps
    assert "expected 0 and 1 with commas between" in wrong.errors[0].message


@pytest.mark.parametrize(
    ("text", "file", "said"),
    [
        ("--scm-mask 1,0,1\n", "x", "--scm-mask: without --cache-mode nothing is cached"),
        ("rel_l1_thresh: 0.1\nuse_fbcache: false\n", "x.yaml", "rel_l1_thresh: no cache that is on reads it"),
        ("XDIT_FBCACHE_THRESH=0.1 run --use_fbcache --rel_l1_thresh 0.2\n", "x", "XDIT_FBCACHE_THRESH: no cache"),
        (
            '{"feature_caching": "FirstBlock", "residual_diff_threshold": 0.1, "magcache_K": 2}',
            "x.json",
            "magcache_K: `FirstBlock` does not read it",
        ),
    ],
)
def test_what_an_engine_does_not_read_is_said(text: str, file: str, said: str) -> None:
    (told,) = convert(text, file, engine="xdit" if "rel_l1" in text else None).findings
    assert (told.code, told.message.startswith(said)) == ("idle-option", True), told.render()


def test_nodes_of_comfyui_that_do_not_run_and_those_of_subgraphs() -> None:
    node = {"type": "EasyCache", "widgets_values": [0.3, 0.1, 0.9]}
    muted = convert(json.dumps({"nodes": [{**node, "mode": 4}]}), "x.json")
    assert muted.converted.tree == {"version": 1, "reuse": {"threshold": 0}}
    assert "the node is muted or passed by" in muted.findings[0].message
    inside = {"nodes": [{**node, "mode": 2}], "definitions": {"subgraphs": [{"nodes": [node]}]}}
    found = convert(json.dumps(inside), "x.json")
    assert found.converted.tree["reuse"]["threshold"] == 0.3
    assert not found.errors


def test_two_step_counts_are_told() -> None:
    text = "num_inference_steps: 28\nsteps_computation_mask: [1, 0]\n"
    messages = [one.message for one in convert(text, "x.yaml", asked=Asked(50)).findings]
    assert "the settings say 28 steps, which holds; --steps 50 is not looked at" in messages
