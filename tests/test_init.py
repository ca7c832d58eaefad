"""`cachedsl init` writes a policy that `check` has nothing against, and never writes over a file unasked."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachedsl.cli.main import main
from cachedsl.matching.reading import load_adapters


def run(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=text)


@pytest.mark.parametrize("steps", ["2", "4", "8", "28", "50"])
def test_check_finds_nothing_on_any_model(steps: str) -> None:
    for adapter in load_adapters():
        for model in (*adapter.models, *adapter.transformers):
            made = run("init", "--model", model, "--steps", steps)
            assert made.exit_code == 0, made.output
            checked = run("check", "-", "--model", model, "--steps", steps, text=made.output)
            assert checked.output == "1 policy checked, 0 findings\n", model


def test_it_tells_the_lists_of_the_model() -> None:
    text = run("init", "--model", "flux", "--steps", "28").output
    assert text.startswith("# yaml-language-server: $schema=https://cachedsl.dev/schemas/policy.schema.json\n")
    assert "transformer.single_transformer_blocks: 38 blocks" in text
    assert "compute: F4B0\n" in text
    assert "warmup: 7\n" in text


def test_a_file_is_written_over_only_by_force(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("keep me")
    refused = run("init", "-o", str(file))
    assert refused.exit_code == 2
    assert "--force" in refused.output
    assert file.read_text() == "keep me"
    assert run("init", "-o", str(file), "--force").exit_code == 0
    assert run("check", str(file), "--steps", "28").output.endswith("1 policy checked, 0 findings\n")


def test_a_model_that_is_not_known_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    refused = run("init", "--model", "fluxx", "-o", str(file))
    assert refused.exit_code == 2
    assert "fluxx" in refused.output
    assert not file.exists()
