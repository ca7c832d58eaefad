"""Which transformer classes of diffusers dynamo compiles as a whole: bare, under a static and under a measuring policy.

    python benchmarks/compile_table.py [--part 1/2] [NAME ...]    measure; what is measured already stays
    python benchmarks/compile_table.py --write                    write docs/compile.md of what was measured

Every class of the tests' zoo, tiny, with `fullgraph=True` and a backend that runs what it is given; an hour on one busy
core. What is measured goes to benchmarks/results/compile.json; `--part 1/2` takes every other class, and writes
compile-1.json, which `--write` takes in.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs
import torch

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "compile.md"
sys.path.insert(0, str(ROOT))

from cachedsl.matching.reading import load_adapters  # noqa: E402
from tests.zoo.compiled import MEASURING, STATIC, Result, bare, under  # noqa: E402
from tests.zoo.entries import ENTRIES  # noqa: E402


def measure(name: str) -> dict[str, Any]:
    entry = ENTRIES[name]
    found = {"bare": bare(entry), "static": under(entry, STATIC), "measuring": under(entry, MEASURING)}
    if not found["bare"].whole:  # how it is cut up, then
        found |= {"bare, cut": bare(entry, fullgraph=False), "static, cut": under(entry, STATIC, fullgraph=False)}
    return {kind: attrs.asdict(result) for kind, result in found.items()}


def file_of(part: str) -> Path:
    return RESULTS / (f"compile-{part.partition('/')[0]}.json" if part else "compile.json")


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}  # type: ignore[no-any-return]


def save(path: Path, measured: dict[str, Any]) -> None:
    where = {
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "diffusers")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one torch thread",
    }
    path.write_text(json.dumps({"versions": where, "classes": measured}, indent=1) + "\n")


def page(found: dict[str, Any]) -> str:
    classes, where = found["classes"], found["versions"]
    compiles = [name for name, one in classes.items() if whole(one["bare"])]
    counts = {kind: sum(whole(classes[name][kind]) for name in compiles) for kind in ("static", "measuring")}
    lines = [
        "# Compiled as a whole",
        "",
        "This page says for each transformer class whether `torch.compile(model, fullgraph=True)` works, without a",
        "policy and under one. An example is FluxTransformer2DModel. It is one graph without a policy. It is two under",
        "a static policy, for a computed step and a reused one. It is four under a measuring policy, because its two",
        "block lists decide apart.",
        "",
        f"Measured: {len(classes)} of {len(ENTRIES)} entries of the tests. An entry is a class with tiny random",
        "weights, or another way to call it, which is named after a slash. Each makes five steps, called as its",
        "pipelines call it. dynamo traces it with a backend that runs what it is given. So no kernels are compiled,",
        "and no speed is measured.",
        "",
        "A class is *whole* where all of it is in graphs, without a break, and where it does as it does uncompiled:",
        "the same steps are reused, and the outputs differ by less than 1e-4 of the largest. Anything else is `no`.",
        "",
        "| run | policy | whole |",
        "|---|---|---:|",
        f"| bare | none | {len(compiles)} of {len(classes)} |",
        f"| static | F1B0, two of five steps reused by a mask | {counts['static']} of those {len(compiles)} |",
        f"| measuring | F1B0, measured at the front block | {counts['measuring']} of those {len(compiles)} |",
        "",
        f"Python {where['python']}, torch {where['torch']}, diffusers {where['diffusers']}; {where['machine']}.",
        "`benchmarks/compile_table.py` measures and writes this page.",
        "[architecture.md](architecture.md#torchcompile) says how it works.",
        "",
        "## All classes",
        "",
        "The numbers are graphs. Under a policy there is one for each kind of step, and more where block lists decide",
        "apart.",
        "",
        "| family | class | bare | static | measuring |",
        "|---|---|---|---|---|",
    ]
    families = {name: one.family for one in load_adapters() for name in one.transformers}
    for family, name in sorted((families[name.partition("/")[0]], name) for name in classes):
        one = classes[name]
        lines.append(
            f"| {family} | {name} | " + " | ".join(cell(one[k]) for k in ("bare", "static", "measuring")) + " |"
        )
    lines += ["", "## What breaks the graph", ""]
    lines += [
        "These classes break without a policy too. Without `fullgraph=True` dynamo cuts them into several graphs. A",
        "policy has more kinds of step, and leaves more graphs.",
        "",
    ]
    lines += ["| class | why | graphs when cut up, bare | the same, static |", "|---|---|---|---|"]
    for name, one in classes.items():
        if name not in compiles:
            cut, policy = one["bare, cut"], one["static, cut"]
            why = (one["bare"]["error"] or "its outputs differ").replace("|", "\\|")
            lines.append(f"| {name} | {why} | {cut['graphs']}{also(cut)} | {policy['graphs']}{also(policy)} |")
    differ = {n: one for n, one in classes.items() if n in compiles and not all(whole(one[k]) for k in counts)}
    if differ:
        lines += [
            "",
            "These are whole without a policy, and not under every policy:",
            "",
            "| class | policy | why |",
            "|---|---|---|",
        ]
        for name, one in differ.items():
            lines += [f"| {name} | {k} | {reason(one[k])} |" for k in counts if not whole(one[k])]
    return "\n".join(lines) + "\n"


def whole(one: dict[str, Any]) -> bool:
    return Result(**one).whole


def cell(one: dict[str, Any]) -> str:
    return str(one["graphs"]) if whole(one) else "no"


def also(one: dict[str, Any]) -> str:
    return "" if not one["error"] else f" ({one['error']})".replace("|", "\\|")


def reason(one: dict[str, Any]) -> str:
    same = "" if one["same"] else "other steps are reused"
    parts = [one["error"], *one["warned"], f"{one['breaks']} breaks" if one["breaks"] else "", same]
    off = f"off by {one['off']:.1e}" if one["off"] >= 1e-4 else ""
    return ("; ".join(part for part in [*parts, off] if part) or "it ran uncompiled").replace("|", "\\|")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--part", default="", help="such as 1/2: the first half of the classes")
    parser.add_argument("--write", action="store_true", help="write the page of what was measured")
    asked = parser.parse_args()
    if asked.write:
        parts = [*sorted(RESULTS.glob("compile-*.json")), file_of("")]
        merged = {name: one for path in parts if path.exists() for name, one in load(path)["classes"].items()}
        save(file_of(""), {name: merged[name] for name in ENTRIES if name in merged})
        for path in parts[:-1]:
            path.unlink()
        PAGE.write_text(page(load(file_of(""))))
        return
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    names = asked.names or list(ENTRIES)
    if asked.part:
        number, of = map(int, asked.part.split("/"))
        names = names[number - 1 :: of]
    path = file_of(asked.part)
    known = load(file_of("")).get("classes", {})
    measured = load(path).get("classes", {})
    for name in names:
        if asked.names or (name not in measured and name not in known):
            measured[name] = measure(name)
            save(path, measured)
            print(name, *(cell(one) for one in measured[name].values()), flush=True)


if __name__ == "__main__":
    main()
