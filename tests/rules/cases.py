"""What a rule finds and what it just does not find, one YAML file a rule: `cases/<code>.yaml`.

```yaml
triggers:                    # at least one: the rule finds something
  - policy: |                # the file's text; its name is `name`, by default policy.yaml
      version: 1
      warmpu: 4
    says: |                  # the rule's findings, one a line; written by UPDATE_GOLDEN=1
      policy.yaml:2:1: error[unknown-key]: ...
    fixed: |                 # the text after `--fix --unsafe-fixes`, where a fix is offered; written likewise
      version: 1
      warmup: 4
near_misses:                 # at least one: nearly the same, and the rule finds nothing
  - policy: |
      version: 1
      warmup: 4
```

Other keys of a case: `files` (text by path, beside the policy), `folder: true` (the whole folder is checked), `model` and
`steps` (the policy is held on them), `hex` (the file's bytes), `repeat: [text, times]` (at the file's end), `link` (the file
is a link to that), `argument` (what `load_policy` is given in place of a file), `run` (a finished run, see `run_facts`),
`convert` (the arguments of `cachedsl convert` behind the file, whose text is `settings`).
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from cachedsl import load_policy
from cachedsl.checking.catalogue import all_rules
from cachedsl.checking.check import Checked
from cachedsl.checking.models import held_on
from cachedsl.checking.run import Options, Run
from cachedsl.cli.main import main
from cachedsl.loading import parse_policy
from cachedsl.lower.compile import compile_policy, refusals
from cachedsl.plan.model_shape import ModelShape, StackShape
from cachedsl.rules.registry import run_checks
from cachedsl.rules.run.facts import RunFacts
from cachedsl.text.finding import Finding, PolicyError
from cachedsl.trace import StepRecord

FOLDER = Path(__file__).parent / "cases"
OPT_IN = [rule.code for rule in all_rules() if rule.opt_in]
Case = Mapping[str, Any]


def read_cases(code: str) -> dict[str, list[dict[str, Any]]]:
    """Return the cases of a rule, `triggers` and `near_misses`."""
    cases: dict[str, list[dict[str, Any]]] = yaml.safe_load((FOLDER / f"{code}.yaml").read_text(encoding="utf-8"))
    return cases


def write_cases(code: str, cases: Mapping[str, Any]) -> None:
    """Write the cases of a rule, texts of several lines as blocks."""
    text = yaml.dump(cases, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    (FOLDER / f"{code}.yaml").write_text(text, encoding="utf-8")


def findings_of(case: Case, folder: Path) -> list[Finding]:
    """Return everything that is found in a case, whose files are written to `folder`, the current one."""
    if "argument" in case:
        try:
            load_policy(case["argument"])
        except PolicyError as error:
            return list(error.findings)
        return []
    if case.get("compiled"):  # without a step count, as on a bare transformer
        (held,) = held_on([case["model"]], [])
        assert held.shape is not None
        return refusals(parse_policy(case["policy"], "policy.yaml"), held.shape, None)
    if "run" in case:
        return list(run_checks("run", run_facts(case)))
    return [found for one in checked(case, folder) for found in one.findings]


def lines_of(code: str, case: Case, folder: Path) -> list[str]:
    """Return what `cachedsl convert` says by that code about a case, a line each."""
    name = case.get("name", "settings.yaml")
    (folder / name).write_text(case["settings"], encoding="utf-8")
    result = CliRunner().invoke(main, ["convert", name, *case["convert"]])
    assert result.exit_code == (1 if ": error" in result.stderr else 0), result.stderr
    return [line for line in result.stderr.splitlines() if f"[{code}]: " in line]


def checked(case: Case, folder: Path) -> list[Checked]:
    """Return what `cachedsl check` does of a case."""
    name = case.get("name", "policy.yaml")
    for path, text in case.get("files", {}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    if "link" in case:
        os.symlink(case["link"], folder / name)
    elif "hex" in case:
        (folder / name).write_bytes(bytes.fromhex(case["hex"]))
    else:
        text, times = case.get("repeat", ("", 0))
        (folder / name).write_text(case["policy"] + text * times, encoding="utf-8", newline="")
    models = [case["model"]] if "model" in case else []
    steps = [case["steps"]] if "steps" in case else []
    options = Options(select=("all", *OPT_IN), held=held_on(models, steps) or None)
    return Run([str(folder) if case.get("folder") else name], io.BytesIO(), options).examine()


def run_facts(case: Case) -> RunFacts:
    """Return the facts of a run.

    `run` has `called`, a letter a step: `C` computed, `R` reused, `-` no block ran, `N` a measurement that was not
    finite; `announced`, the step count; and `uncached`, `told`, `not_finite`, `changed_at`, `reason` and `value` as
    `RunFacts` and `StepRecord` do.
    """
    run = case["run"]
    policy = parse_policy(case["policy"], "policy.yaml")
    plan = compile_policy(policy, ModelShape([StackShape("blocks", 28)], "a model"), run["announced"])
    return RunFacts(
        0,
        None if run.get("called") is None else plan,
        policy,
        run.get("uncached", {}),
        told=run.get("told", False),
        steps=tuple(_record(index, letter, run) for index, letter in enumerate(run.get("called") or "")),
        announced=run["announced"],
        not_finite={branch: tuple(steps) for branch, steps in run.get("not_finite", {}).items()},
        changed_at=tuple(run.get("changed_at", ())),
    )


def _record(step: int, letter: str, run: Mapping[str, Any]) -> StepRecord:
    outcome = "reused" if letter == "R" else "computed"
    ran = {"C": 28, "R": 8, "-": 0}[letter]
    reason, value = run.get("reason", "threshold"), run.get("value")
    return StepRecord(0, "transformer", "blocks", "main", step, outcome, reason, value, ran, 28)


class _Dumper(yaml.SafeDumper):
    pass


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)
