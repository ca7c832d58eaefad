"""`cachedsl schema`: the JSON Schemas of what people and programs write."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import click

from cachedsl.cli.output import write_out
from cachedsl.language.keys import policy_schema
from cachedsl.language.schemas import DIALECTS
from cachedsl.matching.schema import adapter_schema

MADE = {"policy": policy_schema, "adapter": adapter_schema}
"""Made when they are asked for: keys that other packages bring are in them."""
PUBLISHED = ("plan", "trace", "check")


@click.command()
@click.argument("name", type=click.Choice([*MADE, *PUBLISHED]))
@click.option(
    "--dialect",
    type=click.Choice([*DIALECTS]),
    default="2020-12",
    show_default=True,
    help="The dialect of JSON Schema.",
)
def schema(name: str, dialect: str) -> None:
    """Print the JSON Schema of a policy, an adapter, a plan, one line of a trace, or what `check` prints as JSON.

    The schemas of policies and adapters have the keys of installed plugins, which the published ones cannot. Both
    dialects accept and refuse the same; draft-07 is known to more editors.
    """
    made = MADE[name]() if name in MADE else _published(name)
    write_out(json.dumps(DIALECTS[dialect](made), indent=2, ensure_ascii=False) + "\n")


def _published(name: str) -> dict[str, Any]:
    text = (files("cachedsl.schemas") / f"{name}.schema.json").read_text(encoding="utf-8")
    made: dict[str, Any] = json.loads(text)
    return made
