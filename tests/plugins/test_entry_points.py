"""Taps, methods, rules and adapters of other packages come in through entry points."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
POLICY = """\
version: 1
description: A tap and a method of another package.
compute: F1B0
warmup: 2
reuse:
  threshold: 0.5
  signal: {tap: token_spread, power: 2}
predict: {method: damped, damping: 0.25}
"""


EVERYTHING = """
from cachedsl.language.keys import policy_schema
from cachedsl.rules.registry import rules
policy_schema(), rules()
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the example package into a folder of its own."""
    target, source = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("source")
    for path in (HERE / "example").rglob("*"):
        if path.is_file() and path.suffix in (".py", ".toml"):
            copy = source / path.relative_to(HERE / "example")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, capture_output=True)
    return target


def run(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{installed}{os.pathsep}{ROOT}"}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, cwd=ROOT)


def test_a_policy_uses_a_tap_a_method_a_rule_and_an_adapter_of_another_package(installed: Path, tmp_path: Path) -> None:
    policy, bare = tmp_path / "policy.yaml", tmp_path / "bare.yaml"
    policy.write_text(POLICY)
    bare.write_text("version: 1\n")
    done = run(installed, str(HERE / "using.py"), str(policy), str(bare))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["reused"]


def test_without_the_package_its_names_are_unknown(tmp_path: Path) -> None:
    from cachedsl import PolicyError, load_policy

    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    with pytest.raises(PolicyError, match="token_spread"):
        load_policy(policy)


@pytest.mark.parametrize(
    ("group", "value", "message"),
    [
        ("cachedsl.taps", "json:dumps", "expected a cachedsl.language.taps.Tap, got function"),
        ("cachedsl.methods", "no_such_module:X", "cannot be loaded: ModuleNotFoundError"),
        ("cachedsl.rules", "json:dumps", "expected a cachedsl.rules.base.Check, got function"),
    ],
)
def test_an_entry_point_that_is_none_is_named(tmp_path: Path, group: str, value: str, message: str) -> None:
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\nbad = {value}\n")
    done = run(tmp_path, "-c", EVERYTHING)
    assert done.returncode != 0
    assert f"entry point 'bad' of {group}" in done.stderr
    assert message in done.stderr
