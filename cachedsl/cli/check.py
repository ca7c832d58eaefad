"""`cachedsl check`: every finding of the files that cachedsl reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from cachedsl.checking.catalogue import all_rules
from cachedsl.checking.check import Checked
from cachedsl.checking.config import SEVERITIES
from cachedsl.checking.formats import NAMES, format_called
from cachedsl.checking.models import held_on
from cachedsl.checking.report import Report
from cachedsl.checking.run import Options, Run
from cachedsl.checking.selection import wrong_selector
from cachedsl.checking.summary import passed_over, summary
from cachedsl.cli import completing, options
from cachedsl.cli.changes import add_comments, apply_all, known_findings, show_changes, write_known
from cachedsl.cli.output import emit, write_out
from cachedsl.cli.stdin import standard_input
from cachedsl.matching.errors import UnsupportedModel
from cachedsl.text.scalars import clamped


def _selectors(context: click.Context, option: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    names = tuple(name.strip() for value in values for name in value.split(",") if name.strip())
    for name in names:
        why = wrong_selector(name)
        if why is not None:
            raise click.BadParameter(why, context, option)
    return names


_FILE = click.Path(dir_okay=False)
_RULES: dict[str, Any] = {
    "multiple": True,
    "callback": _selectors,
    "metavar": "RULES",
    "shell_complete": completing.selectors,
}


def _options(*made: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def all_of(command: Any) -> Any:
        for option in reversed(made):
            command = option(command)
        return command

    return all_of


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, allow_dash=True))
@_options(
    click.option(
        "--output-format",
        type=click.Choice(NAMES),
        help="The default is `full` on a terminal and `concise` elsewhere.",
        envvar="CACHEDSL_OUTPUT_FORMAT",
    ),
    click.option(
        "-o",
        "--output-file",
        type=_FILE,
        help="Write the findings to this file. The file is written whole or not at all.",
    ),
    click.option(
        "--select", help="Look for these codes and categories only, instead of those in pyproject.toml.", **_RULES
    ),
    click.option("--extend-select", help="Look for these codes and categories as well.", **_RULES),
    click.option(
        "--ignore", help="Leave out these codes and categories, instead of those in pyproject.toml.", **_RULES
    ),
    click.option(
        "--model",
        "models",
        multiple=True,
        metavar="ADAPTER",
        shell_complete=completing.model,
        help="Check that the policies fit this model, not those of the `plans` table. Names are those of `explain`.",
    ),
    click.option(
        "--steps",
        multiple=True,
        type=click.IntRange(1, options.MAX_STEPS),
        help="Check that the policies fit this step count.",
    ),
    click.option(
        "--stdin-filename",
        metavar="PATH",
        shell_complete=completing.any_file,
        help="The path under which standard input is checked.",
    ),
    click.option("--fix", is_flag=True, help="Make the safe fixes. They change no plan."),
    click.option(
        "--unsafe-fixes", is_flag=True, help="Make the other fixes too. They may change a plan. Includes --fix."
    ),
    click.option("--diff", is_flag=True, help="Show what --fix or --unsafe-fixes would change, and change nothing."),
    click.option("--add-ignore", metavar="REASON", help="Write a comment at every finding, so that it is ignored."),
    click.option("--baseline", type=_FILE, help="A file with known findings. They are left out."),
    click.option("--write-baseline", is_flag=True, help="Write all current findings to the baseline."),
    click.option("--statistics", "as_statistics", is_flag=True, help="Count the findings of each rule."),
    click.option("--fail-on", type=click.Choice(SEVERITIES), help="The lowest severity that fails.  [default: error]"),
    click.option("--exit-zero", is_flag=True, help="End with status 0, whatever is found."),
    click.option(
        "--dependents/--no-dependents", default=True, help="Also check policies that extend a named file.  [default]"
    ),
    click.option("--skip-others", is_flag=True, help="Skip files of other tools, even if they are named."),
    click.option("--color", type=click.Choice(("auto", "always", "never")), default="auto", show_default=True),
)
def check(paths: tuple[str, ...], **given: Any) -> None:
    """Find mistakes in policies, adapters, ratios and plans.

    PATHS are files and folders; `-` is standard input. In a folder, `.yaml` and `.yml` files are read, and `.json`
    files that say they are cachedsl's. Hidden folders are skipped.

    A file is recognised by what it holds. Another tool's file in a folder is skipped, and named at the end. A file that
    you name is checked as a policy.

    Exit status: 0 fine, even with warnings; 1 errors found, or changes under --diff; 2 wrong use; 3 a fault of
    cachedsl itself.
    """
    _refuse_together(given)
    if "-" not in paths and given["stdin_filename"] is not None:
        raise click.UsageError("--stdin-filename says where standard input would lie; name it, too: `-`")
    if "-" in paths and given["add_ignore"] is not None:
        raise click.UsageError("--add-ignore writes comments into files, and `-` is none")
    run = Run(paths, standard_input(), _asked(given))
    form = format_called(given["output_format"] or run.config().output_format or _usual(given["output_file"]))
    render = form.counts if given["as_statistics"] else form.render
    if render is None:
        others = ", ".join(name for name in NAMES if format_called(name).counts is not None)
        raise click.UsageError(f"--statistics: `{form.name}` has no place for counts; use one of {others}")
    if given["write_baseline"]:
        write_known(run, given["baseline"])
        return
    known = known_findings(run, given["baseline"])
    if given["diff"]:
        raise SystemExit(int(show_changes(run, given["unsafe_fixes"]) and not given["exit_zero"]))
    if given["add_ignore"] is not None:
        add_comments(run, given["add_ignore"], known)
        return
    fixing = given["fix"] or given["unsafe_fixes"]
    fixed, written = apply_all(run, given["unsafe_fixes"]) if fixing else ({}, True)
    checked = run.examine(known=known)
    if given["skip_others"]:
        checked = [one for one in checked if one.kind != "stranger" or one.findings]
    else:
        _refuse_strangers(paths, checked)
    report = Report(checked, all_rules(), _colours(given["color"], given["output_file"]), fixed)
    lines = list(render(report))
    if form.for_people:
        gone = known.gone(run.looked)
        lines += map(clamped, summary(checked, sum(fixed.values()), gone, offers=form.shows_fixes))
    if given["output_file"]:
        write_out("".join(f"{line}\n" for line in lines), given["output_file"])
    else:
        emit(lines, err=fixing and "-" in paths, for_people=form.for_people)
    if not written:
        raise SystemExit(2)
    if not given["exit_zero"] and any(_fails(run, one, given["fail_on"]) for one in checked):
        raise SystemExit(1)


def _fails(run: Run, one: Checked, wanted: str | None) -> bool:
    """Tell whether a file holds a finding that fails, by the option, else by the file's own configuration."""
    path = None if one.source is None else one.source.path
    failing = SEVERITIES[: SEVERITIES.index(wanted or run.config(path).fail_on) + 1]
    return any(found.severity in failing for found in one.findings)


def _refuse_together(given: dict[str, Any]) -> None:
    """Refuse options of which one would be passed over in silence."""
    fixing = "--unsafe-fixes" if given["unsafe_fixes"] else "--fix" if given["fix"] else None
    tasks = ["--write-baseline"] * given["write_baseline"] + ["--add-ignore"] * (given["add_ignore"] is not None)
    tasks += ["--diff"] * given["diff"]
    tasks += [fixing] if fixing and tasks != ["--diff"] else []
    silent = bool(tasks) and tasks != [fixing]
    tasks += ["--output-file"] * (silent and given["output_file"] is not None)
    tasks += ["--statistics"] * (silent and given["as_statistics"])
    if len(tasks) > 1:
        raise click.UsageError(f"{tasks[0]} and {tasks[1]} do not go together: call once for each")


def _asked(given: dict[str, Any]) -> Options:
    try:
        held = held_on(given["models"], given["steps"]) if given["models"] or given["steps"] else None
    except UnsupportedModel as error:
        raise click.UsageError(str(error)) from error
    return Options(
        given["select"] or None,
        given["extend_select"],
        given["ignore"] or None,
        held,
        given["dependents"],
        given["stdin_filename"],
        given["skip_others"],
    )


def _refuse_strangers(paths: Sequence[str], checked: Sequence[Checked]) -> None:
    if all(one.kind == "stranger" and not one.findings for one in checked):
        strangers = passed_over(checked)
        raise click.UsageError(f"no policies below {', '.join(paths)}{strangers and f'; {strangers}'}")


def _usual(file: str | None) -> str:
    return "full" if file is None and sys.stdout is not None and sys.stdout.isatty() else "concise"


def _colours(wanted: str, file: str | None) -> bool:
    """Tell whether colours are wanted; https://no-color.org says that any text in NO_COLOR turns them off."""
    if wanted != "auto" or file is not None:
        return wanted == "always"
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not plain and sys.stdout is not None and sys.stdout.isatty()
