"""Feed documents that nobody would write to what reads, classifies and checks files.

None may end in a traceback, take more than a second of CPU time, or more than 200 MB of memory.

python benchmarks/fuzz_documents.py
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import time
import traceback
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

from attrs import define, field

from cachedsl import bundled_policies, load_policy
from cachedsl.checking.check import check_source
from cachedsl.checking.sources import source_of
from cachedsl.lower.compile import compile_policy
from cachedsl.plan.codec import to_json
from cachedsl.plan.model_shape import ModelShape, StackShape
from cachedsl.text.finding import capped

MAX_SECONDS = 1.0
MAX_BYTES = 200 * 1024 * 1024
SAMPLED = 50
"""Of every so many documents one is run again under tracemalloc, which makes it several times slower."""

_KEYS = (
    "version name description extends compute front back warmup steps interval tail reuse threshold signal tap ratios "
    "metric reference limits max_total max_continuous predict method order form clip cfg mode order decision mask at "
    "every bits cache otherwise refresh repeat prune span stacks family transformers pattern blocks models input "
    "modulated_input module arguments format $schema rules shape units table note num_inference_steps"
)
_WORDS = (
    "1 0 -1 2 0.1 1e-3 1e999 .nan .inf -.inf 0x1f 0o17 true null ~ no on F8B0 F1B1 F8B0_W8R0.12 20% 100% always taylor "
    "copy foca dmd l1 residual magnitude fused separate hidden_only static dynamic per_branch cachedsl.plan é 😀 * ? "
    '../x.yaml f8b0 99999999999999999999999 \'\' "" "\\uD83D" "\\x00" \'*\' transformer_blocks'
)
KEYS, WORDS = _KEYS.split(), _WORDS.split()
MARKS = [
    "[",
    "]",
    "{",
    "}",
    ":",
    ": ",
    ",",
    "\n",
    "\n  ",
    "\n- ",
    "#",
    " # ",
    "&a ",
    "*a",
    "!!int ",
    "!x ",
    "|\n ",
    ">-\n",
]
MARKS += [
    "'",
    '"',
    "\t",
    "---\n",
    "...\n",
    "? ",
    "%YAML 1.2\n",
    "\ufeff",
    "\x85",
    "\u2028",
    "\x00",
    "\x1b[31m",
    "{{ .x }}",
]
SCHEMA = "# yaml-language-server: $schema=../schemas/{}.schema.json\n"


class Generator:
    """Makes documents as dice fall; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.policies = [_text("cachedsl.policies", f"{name}.yaml") for name in bundled_policies()]
        folder = files("cachedsl.adapters")
        names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml"))
        self.adapters = [_text("cachedsl.adapters", name) for name in names]
        shape = ModelShape([StackShape("blocks", 12)], "a model")
        self.plans = [to_json(compile_policy(load_policy(name), shape, 12)) for name in ("f8b0", "fora", "f1b0")]
        self.kinds: dict[str, Callable[[], bytes]] = {
            "random bytes": self.noise,
            "random YAML": lambda: _encoded(self.yaml()),
            "mutated policy": lambda: self.mutated(self.policies),
            "mutated adapter": lambda: self.mutated(self.adapters),
            "mutated plan": lambda: self.mutated(self.plans),
            "random JSON": lambda: _encoded(self.json()),
        }

    def documents(self, count: int) -> Iterator[tuple[str, bytes]]:
        """Yield `count` documents, each with its kind; all kinds take turns."""
        kinds = list(self.kinds.items())
        for index in range(count):
            kind, make = kinds[index % len(kinds)]
            yield kind, make()

    def noise(self) -> bytes:
        data = self.dice.randbytes(self.dice.randint(0, 400))
        return data if self.dice.random() < 0.5 else bytes(byte & 0x7F for byte in data)

    def yaml(self) -> str:
        dice = self.dice
        text = "".join(self.token() for _ in range(dice.randint(0, 60)))
        if dice.random() < 0.3:
            text *= dice.randint(2, 40)
        if dice.random() < 0.5:
            text = f"version: 1\n{dice.choice(KEYS)}: {text}"
        if dice.random() < 0.1:
            text = SCHEMA.format(dice.choice(["policy", "adapter"])) + text
        if dice.random() < 0.02:
            text += dice.choice("[{-? ") * dice.randint(100, 5000)
        return text

    def token(self) -> str:
        dice = self.dice
        fall = dice.random()
        if fall < 0.3:
            return f"{dice.choice(KEYS)}: "
        if fall < 0.6:
            return f"{dice.choice(WORDS)}{dice.choice(['', ' ', ', ', chr(10)])}"
        return dice.choice(MARKS)

    def mutated(self, texts: list[str]) -> bytes:
        dice = self.dice
        text = dice.choice(texts)
        for _ in range(dice.randint(1, 6)):
            start = dice.randint(0, len(text))
            end = min(len(text), start + dice.choice([0, 1, 1, 5, 40]))
            piece = text[start:end]
            put = dice.choice(["", piece * 2, piece[::-1], self.token(), dice.choice(WORDS), dice.choice(MARKS)])
            text = text[:start] + put + text[end:]
        data = _encoded(text)
        if dice.random() < 0.1:
            at = dice.randint(0, len(data))
            data = data[:at] + dice.randbytes(1) + data[at:]
        return data[: dice.randint(0, len(data))] if dice.random() < 0.1 else data

    def json(self) -> str:
        tree: Any = {self.dice.choice(KEYS): self.tree(4) for _ in range(self.dice.randint(0, 8))}
        if self.dice.random() < 0.3:
            tree |= {"format": "cachedsl.plan", "version": 2}
        return json.dumps(tree, indent=self.dice.choice([None, 2]), ensure_ascii=self.dice.random() < 0.5)

    def tree(self, depth: int) -> Any:
        dice = self.dice
        fall = dice.random()
        if depth and fall < 0.3:
            return {dice.choice(KEYS): self.tree(depth - 1) for _ in range(dice.randint(0, 5))}
        if depth and fall < 0.5:
            return [self.tree(depth - 1) for _ in range(dice.randint(0, 6))]
        return dice.choice([None, True, 0, 1, -1, 28, 0.1, 1e300, 10**30, "", "é", "\x00", "1", *WORDS])


@define
class Outcome:
    """What came of a run: how many documents of each kind and class, the worst of them, and those that failed."""

    kinds: Counter[str] = field(factory=Counter)
    classes: Counter[str] = field(factory=Counter)
    findings: int = 0
    slowest: tuple[float, str, bytes] = (0.0, "", b"")
    largest: tuple[int, str, bytes] = (0, "", b"")
    longest: tuple[int, str, bytes] = (0, "", b"")
    failures: list[str] = field(factory=list)


def run(seed: int, count: int) -> Outcome:
    """Check `count` documents of that seed."""
    found = Outcome()
    for index, (kind, data) in enumerate(Generator(seed).documents(count)):
        found.kinds[kind] += 1
        start = time.process_time()
        try:
            printed = _check(data, index, found)
        except Exception:
            found.failures.append(f"document {index}, {kind}, {data[:200]!r}:\n{traceback.format_exc()}")
            continue
        found.slowest = max(found.slowest, (time.process_time() - start, kind, data))
        found.longest = max(found.longest, (printed, kind, data))
        if index % SAMPLED == 0:
            tracemalloc.start()
            _check(data, index, Outcome())
            found.largest = max(found.largest, (tracemalloc.get_traced_memory()[1], kind, data))
            tracemalloc.stop()
    if found.slowest[0] > MAX_SECONDS:
        found.failures.append(f"{found.slowest[0]:.2f} s: {found.slowest[1]}, {found.slowest[2][:200]!r}")
    if found.largest[0] > MAX_BYTES:
        found.failures.append(f"{found.largest[0]} bytes: {found.largest[1]}, {found.largest[2][:200]!r}")
    return found


def _check(data: bytes, index: int, found: Outcome) -> int:
    """Check one document as if it were named, or found in a folder; return how much would be printed."""
    checked = check_source(source_of(data, "a.yaml", named=index % 2 == 0))
    found.classes[checked.kind] += 1
    found.findings += len(checked.findings)
    return sum(len(one.render()) for one in capped(checked.findings))


def _text(package: str, name: str) -> str:
    return (files(package) / name).read_text(encoding="utf-8")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def main() -> None:
    """Print counts and the worst; the status is 1 where a bound does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    found = run(arguments.seed, arguments.count)
    print("documents:", ", ".join(f"{count} {kind}" for kind, count in found.kinds.items()))
    print("taken for:", ", ".join(f"{count} {kind}" for kind, count in found.classes.most_common()))
    print(f"findings: {found.findings}")
    seconds, kind, data = found.slowest
    print(f"slowest: {seconds:.3f} s of CPU time, {kind} of {len(data)} bytes")
    size, kind, data = found.largest
    print(f"most memory, of every {SAMPLED}th: {size / 2**20:.1f} MiB, {kind} of {len(data)} bytes")
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"resident in all: {resident:.0f} MiB")
    print(f"most printed: {found.longest[0]} characters, {found.longest[1]}")
    print(f"failures: {len(found.failures)}")
    for failure in found.failures[:10]:
        print(failure, file=sys.stderr)
    if found.failures:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
