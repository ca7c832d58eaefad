"""How close cached images stay to uncached ones at one share of computed blocks: cachedsl, cache-dit, fewer steps.

    python benchmarks/frontier.py search --budget 60 --out benchmarks/results/search.json
    python benchmarks/frontier.py report --search benchmarks/results/search.json \\
        --out benchmarks/results/frontier.json --plot docs/frontier.png --table docs/frontier.md

`search` draws settings for either side from its grid and tries them on a few samples; it is saved after every one, and
goes on where it was. `report` measures what was found on other noise. cache-dit runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from frontier_candidates import OURS
from frontier_masks import most_steps
from frontier_measure import (
    SLACK,
    STEPS,
    TARGETS,
    Attach,
    Entry,
    Setup,
    machine,
    measure_entries,
    progressing,
)
from frontier_report import plot, to_markdown
from frontier_search import Search, chosen_entries, validate

from cachedsl.loading import bundled_policies, load_policy
from cachedsl.measure.digits import load_digits_pipeline
from cachedsl.text.finding import CachedslError

SIDES = ("ours", "cache-dit")


@click.group()
def main() -> None:
    """Measure the frontier of closeness and computed blocks."""
    torch.set_num_threads(1)


@main.command()
@click.option("--budget", default=60, show_default=True, help="Candidates a target, for either side.")
@click.option("--refine", default=0.5, show_default=True, help="Share of the budget for neighbours of the best so far.")
@click.option("--samples", default=20, show_default=True, help="How many digits a candidate draws.")
@click.option("--seed", default=11, show_default=True, help="Of the noise of the search.")
@click.option("--target", "targets", multiple=True, type=float, default=TARGETS, show_default=True)
@click.option("--side", type=click.Choice([*SIDES, "both"]), default="both", show_default=True)
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="OUT-<side>.json is written."
)
def search(
    budget: int, refine: float, samples: int, seed: int, targets: tuple[float, ...], side: str, out: Path
) -> None:
    """Search settings for every target fraction of computed blocks."""
    process = None
    if side != "ours":
        options = {"budget": budget, "refine": refine, "samples": samples, "seed": seed, "out": _of(out, "cache-dit")}
        process = _start("search", options, targets, quiet=side == "both")
    try:
        if side != "cache-dit":
            Search(OURS, Setup(samples, seed), budget, refine, targets, _of(out, "ours")).run()
        if process is not None:
            click.echo(f"cache-dit's search writes {_of(out, 'cache-dit')}")
            if process.wait() != 0:
                raise click.ClickException("the search of cache-dit failed")
    finally:
        if process is not None:
            process.terminate()  # does nothing where it has ended


@main.command("validate")
@click.option("--search", "found", required=True, type=click.Path(path_type=Path), help="`--out` of the search.")
@click.option("--samples", default=60, show_default=True, help="How many digits are drawn.")
@click.option("--seed", default=13, show_default=True, help="Of the noise; neither the search's nor the report's.")
def validate_(found: Path, samples: int, seed: int) -> None:
    """Measure the best of either side again on more samples, and plain intervals beside them."""
    searches = {side: json.loads(_of(found, side).read_text(encoding="utf-8")) for side in SIDES}
    budgets = {t: min(_spent(search, t) for search in searches.values()) for t in TARGETS}
    budgets = {target: count for target, count in budgets.items() if count}
    script = Path(__file__).with_name("cache_dit_side.py")
    words = [sys.executable, str(script), "validate", f"--search={_of(found, 'cache-dit')}"]
    words += [f"--samples={samples}", f"--seed={seed}"]
    words += [word for target, count in budgets.items() for word in ("--budget", str(target), str(count))]
    process = subprocess.Popen(words, env={**os.environ, "CACHE_DIT_LOG_LEVEL": "error"})
    validate(OURS, _of(found, "ours"), Setup(samples, seed), budgets)
    if process.wait() != 0:
        raise click.ClickException("the validation of cache-dit failed")


@main.command()
@click.option("--search", "found", required=True, type=click.Path(path_type=Path), help="`--out` of the search.")
@click.option("--samples", default=100, show_default=True, help="How many digits are drawn.")
@click.option("--seed", default=2026, show_default=True, help="Of the noise; not the search's.")
@click.option("--repeats", default=3, show_default=True, help="Rounds of timing.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Everything, as JSON.")
@click.option("--plot", "picture", type=click.Path(dir_okay=False, path_type=Path), help="PSNR over time ratio.")
@click.option("--table", type=click.Path(dir_okay=False, path_type=Path), help="The same as Markdown.")
def report(
    found: Path, samples: int, seed: int, repeats: int, out: Path, picture: Path | None, table: Path | None
) -> None:
    """Measure what the search found, the bundled policies and fewer steps on samples that it never saw."""
    searches = {side: json.loads(_of(found, side).read_text(encoding="utf-8")) for side in SIDES}
    head = {key: searches["ours"][key] for key in ("samples", "seed", "labels", "refine", "draw_seed")}
    if any(searches["cache-dit"][key] != value for key, value in head.items()):
        raise click.UsageError("the two sides were not searched alike")
    if head["seed"] == seed:
        raise click.UsageError("the report's seed must not be the search's")
    targets = [t for t in TARGETS if all(_spent(search, t) for search in searches.values())]
    budgets = {target: min(_spent(search, target) for search in searches.values()) for target in targets}
    records = searches["ours"]["candidates"]
    entries = [*chosen_entries(OURS, records), *_bundled(), *_fewer_steps(targets)]
    setup = Setup(samples, seed)
    with progressing("cachedsl", repeats * (len(entries) + 1)) as on_run:
        rows, images = measure_entries(load_digits_pipeline(), entries, setup, repeats=repeats, on_run=on_run)
    rows += _cache_dit_rows(searches["cache-dit"], setup, repeats, images)
    result = {
        "samples": samples,
        "seed": seed,
        "labels": setup.labels,
        "steps": STEPS,
        "slack": SLACK,
        "repeats": repeats,
        "targets": targets,
        **machine(),
        "search": {
            **head,
            "validation": searches["ours"]["validation"],
            "budgets": {str(target): count for target, count in budgets.items()},
        },
        "rows": rows,
    }
    _write(out, json.dumps(result, indent=1))
    text = to_markdown(result)
    click.echo(text)
    if table is not None:
        _write(table, text)
    if picture is not None:
        plot(result, picture)


@main.command()
@click.argument("measured", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--as-trained", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A report to compare.")
@click.option("--plot", "picture", type=click.Path(dir_okay=False, path_type=Path), help="PSNR over time ratio.")
@click.option("--table", type=click.Path(dir_okay=False, path_type=Path), help="The same as Markdown.")
def render(measured: Path, as_trained: Path | None, picture: Path | None, table: Path | None) -> None:
    """Write table and plot of a report that is there, beside one of the model before its features were cut."""
    result = json.loads(measured.read_text(encoding="utf-8"))
    text = to_markdown(result, None if as_trained is None else json.loads(as_trained.read_text(encoding="utf-8")))
    click.echo(text)
    if table is not None:
        _write(table, text)
    if picture is not None:
        plot(result, picture)


def _spent(search: dict[str, Any], target: float) -> int:
    return sum(r["target"] == target and r["kind"] != "interval" for r in search["candidates"])


def _of(out: Path, side: str) -> Path:
    return out.with_name(f"{out.stem}-{side}.json")


def _start(
    command: str, options: dict[str, Any], targets: tuple[float, ...] = (), *, quiet: bool = False
) -> subprocess.Popen[bytes]:
    script = Path(__file__).with_name("cache_dit_side.py")
    words = [sys.executable, str(script), command]
    words += [f"--{name}={value}" for name, value in options.items()] + [f"--target={t}" for t in targets]
    environment = {**os.environ, "CACHE_DIT_LOG_LEVEL": "error"}
    return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL if quiet else None)


def _bundled() -> list[Entry]:
    return [_bundled_entry(name) for name in bundled_policies()]


def _bundled_entry(name: str) -> Entry:
    head = {"group": "bundled", "name": name}
    try:
        policy = load_policy(name)
    except CachedslError as error:
        return Entry({**head, "settings": None}, _raising(error))
    return Entry({**head, "settings": policy.to_yaml()}, policy.apply)


def _raising(error: Exception) -> Attach:
    """Return what fails like this when it is to be attached."""

    def attach(pipe: Any) -> Any:
        raise error

    return attach


def _fewer_steps(targets: list[float]) -> list[Entry]:
    """Return the uncached pipeline with as many steps as each target allows."""
    counts = {target: most_steps(target, 0) for target in targets}
    return [
        Entry({"group": "fewer steps", "name": f"{steps} steps", "target": target}, steps=steps)
        for target, steps in counts.items()
    ]


def _cache_dit_rows(search: dict[str, Any], setup: Setup, repeats: int, images: Any) -> list[dict[str, Any]]:
    """Let the other process measure its settings; its own uncached run goes by another name than ours."""
    with tempfile.TemporaryDirectory() as folder:
        reference, out, found = Path(folder, "reference.npy"), Path(folder, "rows.json"), Path(folder, "search.json")
        np.save(reference, images)
        found.write_text(json.dumps(search), encoding="utf-8")
        options = {"search": found, "samples": setup.samples, "seed": setup.seed, "repeats": repeats}
        if _start("report", {**options, "reference": reference, "out": out}).wait() != 0:
            raise click.ClickException("the report of cache-dit failed")
        rows: list[dict[str, Any]] = json.loads(out.read_text(encoding="utf-8"))["rows"]
    return [{**row, "name": "uncached, in cache-dit's process"} if row["group"] == "uncached" else row for row in rows]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
