"""Hostile files: what is printed is bounded, nothing ends in a traceback."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from cachedsl.checking.catalogue import all_rules
from cachedsl.checking.check import check_source
from cachedsl.checking.fixing import fix_source
from cachedsl.checking.formats import NAMES, format_called
from cachedsl.checking.ignores import add_ignores
from cachedsl.checking.report import Report
from cachedsl.checking.sources import source_of
from cachedsl.cli.main import main
from cachedsl.text.document import parse_document

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


def test_every_format_takes_whatever_is_found(fuzz: ModuleType) -> None:
    """Findings in hostile texts are written, mended and ignored without a fault, and no line steers a terminal."""
    documents = enumerate(fuzz.Generator(7).documents(120))
    found = [check_source(source_of(data, f"{index}.yaml")) for index, (_, data) in documents]
    report = Report(found, all_rules())
    assert sum(len(one.findings) for one in found) > 50
    for name in NAMES:
        lines = list(format_called(name).render(report))
        assert lines
        if name not in ("junit", "sarif"):
            assert not any(ord(sign) < 32 and sign != "\n" for line in lines for sign in line)
    for one in found:
        assert one.source is not None
        fix_source(one, check_source, unsafe=True)
        text, _ = add_ignores(one.source.document, one.findings, "later")
        before, after = one.source.document, parse_document(text, "a.yaml")
        if before.root is not None and not before.broken:
            assert after.root is not None
            assert repr(after.root.plain()) == repr(before.root.plain())
