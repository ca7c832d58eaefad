"""The pages of the rules: one section for each on docs/rules.md, and the same on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cachedsl.text.finding import CATEGORIES, Rule, Stage

STAGES: dict[Stage, str] = {
    "text": "while the text is read",
    "shape": "while its values are read",
    "meaning": "in the policy by itself",
    "file": "in the file's text and name",
    "fit": "on a model (`--model`, or the `plans` table)",
    "count": "for a step count (`--steps`, or the `plans` table)",
    "folder": "in all policies of a folder together",
    "adapter": "in an adapter",
    "run": "in a finished run, never by `cachedsl check`",
    "convert": "in settings of another engine, by `cachedsl convert` alone",
}
_HEAD = """# Rules

This page lists everything that [`cachedsl check`](check.md) looks for. For example, `unknown-key` finds a misspelt key.
`cachedsl rule unknown-key` prints its section on a terminal.

* Each rule has a code, a category and a severity.
* An *error* makes the check fail. A *warning* makes it fail only under `--fail-on warning`.
* `--select` and `--ignore` take codes and categories. [Checking policies](check.md#how-do-i-turn-a-rule-off) lists the
  other ways to turn a rule off.
* *Fix* says whether `cachedsl check` can make the change for you. `--fix` makes the safe fixes, `--unsafe-fixes` the
  others too.
* Some rules look at a finished run. They are warnings of the run, and `cachedsl check` never reports them.
* Others look at settings of other engines. `cachedsl convert` reports them, and `cachedsl check` never does.
"""


def rules_page(rules: Iterable[Rule]) -> str:
    """Return the page of all rules: a table for each category, then a section for each rule."""
    listed = sorted(rules, key=lambda rule: rule.code)
    parts = [_HEAD]
    for category, words in CATEGORIES.items():
        inside = [rule for rule in listed if rule.category == category]
        parts.append(f"\n**{category.capitalize()}**: {words}.\n\n" + "".join(_table(inside)))
    parts += [f"\n## {rule.code}\n\n{_section(rule)}" for rule in listed]
    return "".join(parts)


def rule_text(rule: Rule) -> str:
    """Return a rule's page for a terminal, without a line break at its end."""
    parts = [
        f"{rule.code}: {rule.summary} ({rule.severity}, {rule.category}, stage {rule.stage}{_chosen(rule)})",
        rule.why,
    ]
    parts += [f"{title}\n{_indented(text)}" for title, text in (("Bad:", rule.bad), ("Good:", rule.good)) if text]
    return "\n\n".join([*(part for part in parts if part), f"Fix: {fix_words(rule)}", rule.url])


def _chosen(rule: Rule) -> str:
    return f", only where `{rule.code}` itself is selected" if rule.opt_in else ""


def fix_words(rule: Rule) -> str:
    """Say what `--fix` does about a rule."""
    return rule.fix or "by hand."


def _table(rules: Iterable[Rule]) -> Iterator[str]:
    yield "| rule | severity | what is wrong | fix |\n|---|---|---|---|\n"
    for rule in rules:
        fix = "–" if not rule.fix else "unsafe" if "not safe" in rule.fix else "safe"
        yield f"| [`{rule.code}`](#{rule.code}) | {rule.severity} | {rule.summary} | {fix} |\n"


def _section(rule: Rule) -> str:
    return (
        f"{rule.summary[0].upper()}{rule.summary[1:]}.\n\n"
        f"*{rule.severity.capitalize()}, {rule.category}; found {STAGES[rule.stage]}{_chosen(rule)}.*\n\n"
        f"**Why.** {rule.why}\n\n"
        f"**Bad:**\n\n```text\n{rule.bad}\n```\n\n"
        f"**Good:**\n\n```text\n{rule.good}\n```\n\n"
        f"**Fix:** {fix_words(rule)}\n"
    )


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
