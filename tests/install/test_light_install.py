"""Installed without torch and diffusers, cachedsl checks and explains policies, and says what the rest needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable
from email import message_from_bytes
from importlib.metadata import Distribution, distribution
from pathlib import Path

import attrs
import pytest
from filelock import FileLock
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cachedsl import __version__, bundled_policies
from tests.wheel import ROOT, built_wheel, shared_folder

COMMANDS = {
    ("check", "policies/"): f"{len(bundled_policies())} policies checked, 0 findings",
    ("explain", "f8b0"): "stateDiagram-v2",
    ("policies",): "f8b0",
    ("adapters", "list"): "FluxTransformer2DModel",
    ("--version",): f"cachedsl, version {__version__}",
}
"""Commands that need neither torch nor diffusers, and something of what they say."""

REFUSED = {
    ("demo",): "cachedsl needs torch, diffusers, scikit-image, scikit-learn and pillow to run the demo; install them "
    "with: pip install 'cachedsl[demo]'",
    ("calibrate", "magnitude", "policies/magcache-flux.yaml"): "cachedsl needs torch and diffusers to calibrate on a "
    "pipeline; install them with: pip install 'cachedsl[diffusers]'",
    ("adapters", "probe", "models:Model"): "cachedsl needs torch and diffusers to probe a model; install them with: "
    "pip install 'cachedsl[diffusers]'",
}
"""Commands that need more, and what they say."""

DRIVE = "cachedsl needs torch and diffusers to drive a model; install them with: pip install 'cachedsl[diffusers]'"


@attrs.frozen
class Light:
    """An environment that holds the wheel and what its core depends on, and nothing else.

    Attributes:
        bin: where its programs are.
        work: a folder with a copy of the policies.
        packages: the distributions that the wheel's core depends on, and theirs.
    """

    bin: Path
    work: Path
    packages: frozenset[str]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        program, *arguments = command
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COLUMNS"))}
        return subprocess.run(
            [str(self.bin / program), *arguments], cwd=self.work, env=environment, capture_output=True, text=True
        )


def needed(requirements: Iterable[str]) -> dict[str, Distribution]:
    """Return what is required and what that requires, as it is installed here; extras do not count."""
    found: dict[str, Distribution] = {}
    waiting = list(requirements)
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            found[name] = distribution(name)
            waiting += found[name].requires or []
    return found


def link(package: Distribution, site: Path) -> None:
    for top in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
        (site / top).symlink_to(Path(str(package.locate_file(top))))


@pytest.fixture(scope="session")
def light(tmp_path_factory: pytest.TempPathFactory) -> Light:
    wheel = built_wheel(tmp_path_factory)
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        requirements = message_from_bytes(archive.read(metadata)).get_all("Requires-Dist") or []
    packages = needed(requirements)
    folder = shared_folder(tmp_path_factory) / "light"
    with FileLock(f"{folder}.lock"):
        if not (folder / "ready").exists():
            _install(wheel, packages.values(), folder)
            (folder / "ready").touch()
    return Light(folder / "venv" / "bin", folder / "work", frozenset(packages))


def _install(wheel: Path, packages: Iterable[Distribution], folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    for package in packages:
        link(package, site)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "venv" / "bin" / "python"), "install", "--quiet"]
    done = subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shutil.copytree(ROOT / "policies", folder / "work" / "policies")


def test_the_core_depends_on_little(light: Light) -> None:
    assert {"attrs", "cattrs", "click", "jsonschema", "pyyaml", "rich"} <= light.packages
    assert not light.packages & {"torch", "diffusers", "numpy"}
    for module in ("torch", "diffusers", "numpy"):
        assert light.run("python", "-c", f"import {module}").returncode == 1


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("program", [("cachedsl",), ("python", "-m", "cachedsl")], ids=" ".join)
def test_commands_that_run(light: Light, program: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    done = light.run(*program, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert COMMANDS[arguments] in done.stdout


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_commands_that_need_more_say_so_in_one_line(light: Light, arguments: tuple[str, ...]) -> None:
    done = light.run("cachedsl", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{REFUSED[arguments]}\n")


@pytest.mark.parametrize(
    "code",
    [
        "cachedsl.load_policy('f8b0').apply(object())",
        "cachedsl.attached",
        "cachedsl.Cached",
        "from cachedsl.runtime.attach import attached",
    ],
)
def test_driving_a_model_says_what_it_needs(light: Light, code: str) -> None:
    program = (
        "import cachedsl\n"
        "try:\n"
        f"    {code}\n"
        "except cachedsl.CachedslError as error:\n"
        "    print(isinstance(error, ImportError), error)\n"
    )
    done = light.run("python", "-c", program)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"True {DRIVE}\n", "")
