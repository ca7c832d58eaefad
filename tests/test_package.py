"""The wheel carries the data, finds it from anywhere, and the core starts without torch."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cachedsl import bundled_policies
from tests.wheel import ROOT, built_wheel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_wheel(tmp_path_factory)


def test_the_wheel_installs_elsewhere_and_lists_its_policies(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
        str(wheel),
    ]
    subprocess.run(pip, check=True, capture_output=True)
    code = (
        "import cachedsl, pathlib\n"
        "from cachedsl.matching.reading import supported_families\n"
        "from importlib.resources import files\n"
        "print(pathlib.Path(cachedsl.__file__).parent.parent)\n"
        "print(','.join(cachedsl.bundled_policies()))\n"
        "print(','.join(supported_families()))\n"
        "print((files('cachedsl.schemas') / 'policy.schema.json').is_file())\n"
        "print((files('cachedsl.models') / 'digits_dit' / 'model_index.json').is_file())\n"
        "print(cachedsl.load_policy('f8b0').name)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(target)}
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert Path(output[0]) == target
    assert tuple(output[1].split(",")) == bundled_policies()
    assert "flux" in output[2].split(",")
    assert output[3:] == ["True", "True", "f8b0"]


def test_the_wheel_has_every_module_and_is_typed(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "cachedsl").rglob("*.py")}
    assert modules <= names
    assert "cachedsl/py.typed" in names
    for folder in ("policies", "adapters"):
        assert {f"cachedsl/{folder}/{p.name}" for p in (ROOT / folder).glob("*.yaml")} <= names


def test_importing_and_checking_import_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "import cachedsl, cachedsl.matching, cachedsl.lower.compile, cachedsl.loading, cachedsl.trace\n"
        "import cachedsl.summary, cachedsl.cli.check, cachedsl.cli.explain\n"
        "heavy = {'torch', 'diffusers', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_public_names_are_few_and_there() -> None:
    import cachedsl

    assert len(cachedsl.__all__) <= 16
    assert all(getattr(cachedsl, name) is not None for name in cachedsl.__all__)
    with pytest.raises(AttributeError):
        cachedsl.no_such_name  # noqa: B018
