"""The frontier as a Markdown table and as a plot of PSNR over time ratio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Row = dict[str, Any]
GROUPS = {
    "cachedsl": ("o", "tab:blue"),
    "cache-dit": ("s", "tab:orange"),
    "bundled": ("^", "tab:green"),
    "fewer steps": ("x", "tab:gray"),
}
MEASURED = ("blocks computed", "time ratio", "PSNR to uncached", "accuracy")


def best(rows: list[Row], group: str, target: float) -> Row | None:
    """Return a group's row for a target: the first in the search's ranking that meets it on the report's samples."""
    found = [r for r in rows if r["group"] == group and r.get("target") == target and r.get("met")]
    return found[0] if found else None


def to_markdown(report: dict[str, Any], as_trained: dict[str, Any] | None = None) -> str:
    """Write a report's rows as tables: each target's best, every predictor's, the bundled policies, what cannot run.

    `as_trained` is a report of the same settings on the model before its fast timestep features were cut.
    """
    rows: list[Row] = report["rows"]
    targets, samples = report["targets"], report["samples"]
    validation = report["search"]["validation"]
    parts = [
        "# The frontier\n",
        "This page compares cachedsl with cache-dit, and with simply taking fewer steps. The first table fixes a "
        "share of "
        f"the blocks ({', '.join(f'{target:.0%}' for target in targets)}) and asks: how close do the images stay to "
        f"the uncached ones, if only this share is computed?\n",
        "The model is the bundled pipeline, a small one that draws digits. The figures compare methods. They do not "
        "predict the quality on your model.\n",
        "## How it was measured\n",
        f"- *What is drawn*: {samples} digits with the labels {_labels(report)}, {report['steps']} steps, noise of "
        f"seed {report['seed']}.",
        f"- *Search*: the settings were searched on other noise (seed {report['search']['seed']}, "
        f"{report['search']['samples']} digits), with the same method and the same number of candidates for cachedsl "
        f"and for cache-dit ({_budgets(report)}).",
        f"- *Choice*: the best six of each side, and plain intervals with a head and a tail, were measured again on "
        f"{validation['samples']} digits of a third noise (seed {validation['seed']}). The best of them is shown.",
        f"- *Blocks computed* is counted by hooks on the blocks. A share counts as met up to {report['slack']:.2f} "
        f"above it.",
        "- *Time ratio* is the time of the uncached run divided by the time of this one, in the same process "
        f"(median of {report['repeats']}). Higher is faster.",
        f"- *PSNR* says how close the images are to the uncached ones, over all {samples} digits at once. Higher is "
        f"closer.",
        "- *Accuracy* is the share of digits that a classifier reads as asked.",
        "- cache-dit 1.5.3 ends with a TypeError when its Dynamic Block Prune runs on DiT. The error was repaired for "
        "this comparison.\n",
        "A single digit that comes out as another drawing can cost many dB, because PSNR is taken over all digits at "
        "once. "
        "That is why [the demo](demo.md) has lower figures for some of the same policies: it draws 50 digits from the "
        "noise of seed 0, and one of them holds most of the squared error. "
        "[How sure is a number?](choosing.md#how-sure-is-a-number) has several seeds side by side. Compare figures "
        "of one table only.\n",
        "## The best settings for each share\n",
        "The names of settings are short: `F1B0` is one front block and no back block, `W4` a warmup of 4 steps, "
        "`MC5` at most 5 reused steps in a row. Then come the predictor and its order. `repay` is explained in "
        "[the demo](demo.md#the-repay-policies). The picture shows all settings of this page but those "
        "of the model as it was trained.\n",
        "![PSNR over time ratio of all settings](frontier.png)\n",
        _head("share", "settings"),
    ]
    for target in targets:
        for group in ("cachedsl", "cache-dit", "fewer steps"):
            row = best(rows, group, target)
            if row is not None:
                parts.append(_line(row, f"{target:.0%}, {group}", row["name"]))
    if as_trained is not None:
        parts += _as_trained(as_trained)
    parts += [
        "\n## Every predictor\n",
        "The best candidate of each predictor, in the order of the search and the choice. A row can be closer here "
        "than "
        "the best of the first table, because the final noise is another one.\n",
    ]
    parts.append(_head("share, predictor", "settings"))
    for target in targets:
        for group in ("cachedsl", "cache-dit"):
            mine = [r for r in rows if r["group"] == group and r["target"] == target and "error" not in r]
            for family in dict.fromkeys(r["family"] for r in mine):
                row = next(r for r in mine if r["family"] == family)
                parts.append(_line(row, f"{target:.0%}, {group} {family}", row["name"]))
    parts += ["\n## Bundled policies, as they are\n", "No setting was changed for this model.\n", _head("policy")]
    parts += [_line(r, f"`{r['name']}`") for r in rows if r["group"] == "bundled" and "error" not in r]
    failed = [r for r in rows if "error" in r]
    if failed:
        parts += ["\n## What cannot run on this pipeline\n"]
        parts += [f"- {r['group']} `{r['name']}`: {r['error']}" for r in failed]
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    parts.append(
        f"\n{report['cores']} cores, {report['architecture']}, {report['torch_threads']} torch thread, {versions}."
    )
    return "\n".join(parts) + "\n"


def _as_trained(report: dict[str, Any]) -> list[str]:
    parts = [
        "\n## On the model as it was trained\n",
        "The bundled model is not quite the one that was trained. Its fastest timestep features are set to zero at "
        "export (`fast_features_to_zero` in scripts/train_digits_dit.py). The margins above depend on that.\n",
        "With those features, the output jumps from step to step, about as white noise does, and no predictor can "
        "follow. "
        "We found this after a search on the trained model had not reached a margin of 3 dB at 60%, and then changed "
        "the model.\n",
        f"This table has the settings from above, without a new search, on the model with those features: "
        f"{report['samples']} digits, seed {report['seed']}.\n",
        _head("share", "settings"),
    ]
    for target in report["targets"]:
        for group in ("cachedsl", "cache-dit", "fewer steps"):
            row = best(report["rows"], group, target)
            if row is not None:
                parts.append(_line(row, f"{target:.0%}, {group}", row["name"]))
    return parts


def _labels(report: dict[str, Any]) -> str:
    """Return the labels in words where they are 0 to 9 in turn, else one by one."""
    labels = report["labels"]
    return "0 to 9 in turn" if labels == [n % 10 for n in range(len(labels))] else ", ".join(map(str, labels))


def _budgets(report: dict[str, Any]) -> str:
    return ", ".join(f"{count} for {float(target):.0%}" for target, count in report["search"]["budgets"].items())


def _head(*names: str) -> str:
    return f"| {' | '.join([*names, *MEASURED])} |\n|{'---|' * len(names)}{'---:|' * len(MEASURED)}"


def _line(row: Row, *cells: str) -> str:
    missed = "" if row["met"] else " (missed)"
    closeness = "equal" if row["psnr"] is None else f"{row['psnr']:.1f} dB"
    return (
        f"| {' | '.join(cells)} | {row['computed_fraction']:.1%}{missed} | {row['time_ratio']:.2f} | {closeness} "
        f"| {row['accuracy']:.0%} |"
    )


def plot(report: dict[str, Any], path: Path) -> None:
    """Plot PSNR over time ratio, one marker for each group; each target's best are joined by a line."""
    import matplotlib

    matplotlib.use("Agg")
    from adjustText import adjust_text
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 6))
    names: list[Any] = []
    for group, (marker, colour) in GROUPS.items():
        drawn = [r for r in report["rows"] if r["group"] == group and r.get("psnr") is not None]
        style: dict[str, Any] = {"marker": marker, "color": colour}
        axes.scatter(*_points(drawn), **style, alpha=0.35 if group in ("cachedsl", "cache-dit") else 0.8, s=25)
        if group == "bundled":
            axes.plot([], [], **style, linestyle="", label="cachedsl, bundled policies")
            names = [axes.text(row["time_ratio"], row["psnr"], row["name"], fontsize=6, alpha=0.8) for row in drawn]
        else:
            winners = [best(report["rows"], group, target) for target in report["targets"]]
            axes.plot(*_points([w for w in winners if w is not None]), **style, markersize=8, label=group)
    axes.set_xlabel("time ratio (uncached / cached)")
    axes.set_ylabel("PSNR to uncached (dB)")
    axes.grid(alpha=0.3)
    axes.legend()
    adjust_text(names, ax=axes, arrowprops={"arrowstyle": "-", "color": "tab:gray", "lw": 0.4})
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, bbox_inches="tight")
    pyplot.close(figure)


def _points(rows: list[Row]) -> tuple[list[float], list[float]]:
    drawn = [r for r in rows if r["psnr"] is not None]
    return [r["time_ratio"] for r in drawn], [r["psnr"] for r in drawn]
