"""Hostile files: what is printed is bounded, nothing ends in a traceback."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from cachedsl.checking.check import check_source
from cachedsl.checking.sources import source_of
from cachedsl.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_documents", ROOT / "benchmarks" / "fuzz_documents.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_documents"] = module
    spec.loader.exec_module(module)
    return module


def test_a_sample_of_fuzzed_documents(fuzz: ModuleType) -> None:
    found = fuzz.run(seed=11, count=300)
    assert found.failures == []
    assert set(found.classes) >= {"policy", "adapter", "plan", "stranger"}
    assert found.longest[0] < 20_000


def test_the_same_seed_makes_the_same_documents(fuzz: ModuleType) -> None:
    assert list(fuzz.Generator(3).documents(30)) == list(fuzz.Generator(3).documents(30))


LARGE = {
    "stacks": "version: 1\nstacks:\n" + "".join(f"  s{i}: {{warmup: 3}}\n" for i in range(4000)),
    "unknown keys": "version: 1\n" + "".join(f"k{i}: 1\n" for i in range(4000)),
    "steps": "version: 1\nsteps: {at: [" + ", ".join(map(str, range(12_000))) + "]}\n",
    "brackets": "version: 1\ntail: " + "[" * 2**19,
    "lists": f"version: 1\ntail: [{', '.join(['[' * 40 + ']' * 40] * 200)}]\n",
    "one long key": f"version: 1\n? {'k' * 2**19}\n: 1\n",
    "one long value": f"version: 1\nwarmup: {'k' * 2**19}\n",
    "too large": "version: 1\n" + "#" * 2**20,
    "adapter": "family: x\n" + "".join(f"k{i}: 1\n" for i in range(4000)),
    "ratios": "ratios: {" + ", ".join(f"k{i}: [0]" for i in range(1500)) + "}\n",
    "plan": "format: cachedsl.plan\nversion: 1\n" + "".join(f"k{i}: 1\n" for i in range(3000)),
}


@pytest.mark.parametrize("name", LARGE)
def test_little_is_printed_of_a_large_file(name: str) -> None:
    result = CliRunner().invoke(main, ["check", "-"], input=LARGE[name])
    assert result.exit_code == 1
    assert len(result.output) < 8000


def test_a_hundred_thousand_comments_hold() -> None:
    assert check_source(source_of(b"# c\n" * 100_000 + b"version: 1\n")).findings == ()
