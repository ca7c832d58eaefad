"""The search that both sides of the frontier go through: the same budget, the same draws, the same ranking."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from copy import deepcopy
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import click
import numpy as np
from attrs import frozen
from frontier_masks import most_steps, move
from frontier_measure import SLACK, STEPS, Attach, Entry, Measured, Setup, finite, first_line, machine, measure, meets
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cachedsl.measure.digits import Images, load_digits_pipeline

DRAW_SEED = 0
BISECTIONS = 6
TOP = 3
VALIDATED = 6
MOVED = 5
"""How many of the best have their masks changed."""
MOVES = 0.75
"""How often it is a mask that is changed, where one can be."""
ATOMS = ("steps",)
"""Settings that count as one, whatever differs in them."""
Tree = dict[str, Any]
Record = dict[str, Any]


@frozen
class Candidate:
    """One point of a side's grid.

    Attributes:
        family: the predictor; the report shows the best of each.
        kind: `static`, `dynamic` or `prune`.
        settings: what is attached, as a tree.
        free: the path of the number in `settings` that is bisected until the target fraction is met; () is none.
        bounds: between which it lies.
        plain: a fixed interval with a published predictor; either side's search begins with these.
    """

    family: str
    kind: str
    settings: Tree
    free: tuple[str, ...] = ()
    bounds: tuple[float, float] = (1e-3, 0.99)
    plain: bool = False

    @property
    def key(self) -> str:
        return json.dumps([self.settings, self.free], sort_keys=True)

    def at(self, value: float) -> Tree:
        """Return the settings with the free number set, to four digits."""
        settings = deepcopy(self.settings)
        place = settings
        for key in self.free[:-1]:
            place = place[key]
        place[self.free[-1]] = float(f"{value:.4g}")
        return settings


@frozen
class Side:
    """One implementation under test.

    Attributes:
        name: as the report has it.
        grid: all candidates for a target fraction.
        write: settings as they are kept in JSON.
        attach: attaches written settings to the pipeline, for as long as the context is open.
        label: names written settings in a few words.
        mask: the static step mask of settings, a string of 0 and 1; None where there is none.
        always: how many blocks run on reused steps too.
        masked: settings with another static step mask.
        intervals: what is validated beside the best of the search, plain intervals with a head and a tail.
    """

    name: str
    grid: Callable[[float], list[Candidate]]
    write: Callable[[Tree], Any]
    attach: Callable[[Any, Any], AbstractContextManager[Any]]
    label: Callable[[Any], str]
    mask: Callable[[Tree], str | None]
    always: Callable[[Tree], int]
    masked: Callable[[Tree, str], Tree]
    intervals: Callable[[float], list[Candidate]]

    def bind(self, written: Any) -> Attach:
        """Return what attaches these settings to a pipeline."""
        return lambda pipe: self.attach(pipe, written)


def draw(grid: list[Candidate], target: float) -> dict[str, Candidate]:
    """Return the grid by key: the plain ones, then at random, every family and kind in turn so that none lacks."""
    rng = np.random.default_rng([DRAW_SEED, round(target * 1000)])
    strata: dict[tuple[str, str], list[Candidate]] = {}
    for candidate in {c.key: c for c in grid}.values():
        strata.setdefault((candidate.family, candidate.kind), []).append(candidate)
    shuffled = [[members[i] for i in rng.permutation(len(members))] for members in strata.values()]
    drawn = [c for c in chain.from_iterable(zip_longest(*shuffled)) if c is not None]
    return {c.key: c for c in sorted(drawn, key=lambda c: not c.plain)}


def rank(records: list[Record], target: float) -> list[Record]:
    """Return the records that meet the target, the best first; where some were validated, those alone."""
    met = [r for r in records if r["target"] == target and r.get("met")]
    key = "validated" if any("validated" in r for r in met) else "psnr"
    return sorted((r for r in met if key in r), key=lambda r: -math.inf if r[key] is None else -r[key])


def validate(side: Side, out: Path, setup: Setup, budgets: dict[float, int]) -> None:
    """Measure the best of a search again, on more samples of other noise: a few digits say little of close candidates.

    Of each target the best `VALIDATED` of the first so many candidates count, and the plain intervals.
    """
    content = json.loads(out.read_text(encoding="utf-8"))
    pipe = load_digits_pipeline()
    reference = setup.draw(pipe)
    kept: list[Record] = []
    for target, budget in budgets.items():
        spent = [
            {k: v for k, v in r.items() if k != "validated"} for r in content["candidates"] if r["target"] == target
        ]
        spent = [r for r in spent if r["kind"] != "interval"][:budget]
        chosen = rank(spent, target)[:VALIDATED]
        for candidate in side.intervals(target):
            record: Record = {"target": target, "family": candidate.family, "kind": "interval", "key": candidate.key}
            record |= {"settings": side.write(candidate.settings), "runs": 0, "psnr": None}
            spent.append(record)
            chosen.append(record)
        for record in chosen:
            measured = measure(pipe, side.bind(record["settings"]), setup, reference)
            record["validated"] = finite(measured.psnr)
            record["met"] = meets(measured.fraction, target)
            record["computed_fraction"] = measured.fraction
        kept += spent
        best = rank(kept, target)[0]
        click.echo(f"{side.name} {target:.0%}: {best['validated']:.2f} dB, {side.label(best['settings'])}")
    content["candidates"] = kept
    content["validation"] = {"samples": setup.samples, "seed": setup.seed}
    out.write_text(json.dumps(content, indent=1), encoding="utf-8")


def select(records: list[Record], target: float) -> list[Record]:
    """Return what the report runs: the best `TOP`, then the best of every other family."""
    ranked = rank(records, target)
    chosen = ranked[:TOP]
    for record in ranked[TOP:]:
        if record["family"] not in {c["family"] for c in chosen}:
            chosen.append(record)
    return chosen


def chosen_entries(side: Side, records: list[Record]) -> list[Entry]:
    """Return what the report measures of a side's search, per target in the order of the search's ranking."""
    return [
        Entry(
            {
                "group": side.name,
                "name": side.label(record["settings"]),
                "target": target,
                "family": record["family"],
                "kind": record["kind"],
                "settings": record["settings"],
                "search": {key: record.get(key) for key in ("psnr", "validated", "computed_fraction", "runs")},
            },
            side.bind(record["settings"]),
        )
        for target in dict.fromkeys(r["target"] for r in records)
        for record in select(records, target)
    ]


class Search:
    """One side's search, saved after every candidate; a file that is there already is gone on with."""

    def __init__(self, side: Side, setup: Setup, budget: int, refine: float, targets: tuple[float, ...], out: Path):
        self._side, self._setup, self._budget, self._refine = side, setup, budget, refine
        self._targets, self._out = targets, out
        self._head = {
            "side": side.name,
            "samples": setup.samples,
            "seed": setup.seed,
            "labels": setup.labels,
            "steps": STEPS,
        }
        self.records: list[Record] = []
        if out.exists():
            found = json.loads(out.read_text(encoding="utf-8"))
            if any(found[key] != value for key, value in self._head.items()):
                raise click.UsageError(f"{out} is of another search (other samples or seed); take another --out")
            self.records = found["candidates"]

    def run(self) -> None:
        """Search every target until its budget is spent.

        A share of the budget is the plain settings and a random subset of the grid; the rest changes one thing in one
        of the best so far: a setting, or in a static mask the place of one computed step.
        """
        pipe = load_digits_pipeline()
        Setup(1, self._setup.seed).draw(pipe, steps=2)
        reference = self._setup.draw(pipe)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn()) as progress:
            for target in self._targets:
                grid = draw(self._side.grid(target), target)
                total = self._budget
                task = progress.add_task("", total=total)
                while (spent := len(self._of(target))) < total:
                    progress.update(task, completed=spent, description=self._state(target))
                    self.records.append(self._try(pipe, reference, self._next(grid, target), target))
                    self._save()
                progress.update(task, completed=total, description=self._state(target))

    def _of(self, target: float) -> list[Record]:
        return [r for r in self.records if r["target"] == target]

    def _state(self, target: float) -> str:
        best = rank(self.records, target)[:1]
        return f"{self._side.name} {target:.0%}" + "".join(f"  best {r['psnr']:.2f} dB ({r['family']})" for r in best)

    def _next(self, grid: dict[str, Candidate], target: float) -> Candidate:
        """Return a candidate that was not tried: a random one, later a neighbour of the best that has one."""
        spent = self._of(target)
        tried = {r["key"] for r in spent}
        rest = [key for key in grid if key not in tried]
        if len(spent) >= self._budget * (1 - self._refine):
            rng = np.random.default_rng([DRAW_SEED, round(target * 1000), len(spent)])
            moved = self._moved(spent, tried, target, rng) if rng.random() < MOVES else None
            if moved is not None:
                return moved
            leaders = list({(r["family"], r["kind"]): r for r in reversed(rank(spent, target))}.values())[::-1][:TOP]
            near = [self._near(leader, grid, tried) for leader in leaders]
            if any(near):
                found = [candidates for candidates in near if candidates][rng.integers(sum(map(bool, near)))]
                return found[rng.integers(len(found))]
        return grid[rest[0]]

    def _near(self, leader: Record, grid: dict[str, Candidate], tried: set[str]) -> list[Candidate]:
        """Return what differs from the leader in one setting; its own mask, which may be in no grid, goes along."""
        settings = json.loads(leader["key"])[0]
        mask = self._side.mask(settings) if leader["kind"] == "static" else None
        found = {}
        for candidate in grid.values():
            near = candidate
            if mask is not None and candidate.kind == "static" and self._side.mask(candidate.settings) != mask:
                near = Candidate(candidate.family, "static", self._side.masked(candidate.settings, mask))
            if near.key not in tried and _differences(near.key, leader["key"]) == 1:
                found[near.key] = near
        return list(found.values())

    def _moved(self, spent: list[Record], tried: set[str], target: float, rng: np.random.Generator) -> Candidate | None:
        """Return one of the best with a static mask, one of whose computed steps stands elsewhere."""
        leaders = [r for r in rank(spent, target) if r["kind"] == "static"][:MOVED]
        if not leaders:
            return None
        for _ in range(20):
            leader = leaders[min(int(rng.exponential(1.0)), len(leaders) - 1)]
            settings = json.loads(leader["key"])[0]
            mask = self._side.mask(settings)
            assert mask is not None, "a static candidate has a mask"
            most = most_steps(target, self._side.always(settings))
            found = Candidate(leader["family"], "static", self._side.masked(settings, move(mask, most, rng)))
            if found.key not in tried:
                return found
        return None

    def _try(self, pipe: Any, reference: Images, candidate: Candidate, target: float) -> Record:
        record: Record = {
            "target": target,
            "family": candidate.family,
            "kind": candidate.kind,
            "key": candidate.key,
        }
        runs: list[tuple[Any, Measured]] = []
        try:
            for written, measured in self._fit(pipe, reference, candidate, target):
                runs.append((written, measured))
        except Exception as error:
            return {
                **record,
                "settings": candidate.settings,
                "runs": len(runs),
                "met": False,
                "error": first_line(error),
            }
        met = [run for run in runs if meets(run[1].fraction, target)]
        written, best = max(met or runs, key=lambda run: run[1].psnr)
        return {
            **record,
            "settings": written,
            "runs": len(runs),
            "met": bool(met),
            "psnr": finite(best.psnr),
            "computed_fraction": best.fraction,
            "seconds": best.seconds,
        }

    def _fit(self, pipe: Any, reference: Images, candidate: Candidate, target: float) -> Iterator[tuple[Any, Measured]]:
        """Run a candidate; bisect its free number, if it has one, to the most blocks that the target allows."""
        (low, high), rounds = candidate.bounds, BISECTIONS if candidate.free else 1
        for _ in range(rounds):
            value = math.sqrt(low * high)
            written = self._side.write(candidate.at(value) if candidate.free else candidate.settings)
            measured = measure(pipe, self._side.bind(written), self._setup, reference)
            yield written, measured
            if not meets(measured.fraction, target):
                low = value
            elif meets(measured.fraction, target - 0.75 * SLACK):
                high = value
            else:
                return

    def _save(self) -> None:
        content = {**self._head, "budget": self._budget, "refine": self._refine, "draw_seed": DRAW_SEED, **machine()}
        content["candidates"] = self.records
        self._out.parent.mkdir(parents=True, exist_ok=True)
        beside = self._out.with_suffix(".tmp")
        beside.write_text(json.dumps(content, indent=1), encoding="utf-8")
        os.replace(beside, self._out)


def _differences(left: str, right: str) -> int:
    """Return in how many settings two candidates differ; the place of the free number counts as one."""
    a, b = _settings(left), _settings(right)
    return sum(a.get(path) != b.get(path) for path in a.keys() | b.keys())


@cache
def _settings(key: str) -> dict[tuple[str, ...], str]:
    tree, free = json.loads(key)
    return {("free",): json.dumps(free), **dict(_leaves(tree))}


def _leaves(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, value in tree.items():
        if isinstance(value, dict) and key not in ATOMS:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), json.dumps(value)
