"""Time `cachedsl check` on a folder of policies, as a user starts it.

python benchmarks/check_speed.py
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from cachedsl import bundled_policies

RUNS = 3


def write_policies(folder: Path, count: int) -> None:
    """Write the bundled policies again and again, each time with other numbers of warmup steps and a comment."""
    dice = random.Random(0)
    texts = [(files("cachedsl.policies") / f"{name}.yaml").read_text(encoding="utf-8") for name in bundled_policies()]
    for index in range(count):
        text = texts[index % len(texts)]
        if "\nwarmup:" not in text and "\nsteps:" not in text and "\nextends:" not in text:
            text += f"warmup: {dice.randint(1, 12)}\n"
        path = folder / f"group-{index % 10}" / f"policy-{index}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"# number {index}\n{text}", encoding="utf-8")


def timed(folder: Path) -> tuple[float, float, str]:
    """Return the wall time, the user CPU time and the last line of one check."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime, time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "cachedsl", "check", str(folder)], capture_output=True, text=True)
    wall = time.perf_counter() - start
    user = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    if done.returncode:
        raise SystemExit(f"the check ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return wall, user, done.stdout.splitlines()[-1]


def main() -> None:
    """Print the least and the median of the runs, and what they ran on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=500)
    count = parser.parse_args().files
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_policies(folder, count)
        runs = [timed(folder) for _ in range(RUNS)]
    print(f"{runs[0][2]}; {RUNS} runs")
    for what, values in (("wall time", [run[0] for run in runs]), ("user CPU time", [run[1] for run in runs])):
        print(f"{what}: least {min(values):.2f} s, median {statistics.median(values):.2f} s")
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {load}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, PyYAML {version('pyyaml')}, cattrs {version('cattrs')}"
    )


if __name__ == "__main__":
    main()
