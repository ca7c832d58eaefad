"""`cachedsl schema`: the JSON Schemas of what people and programs write."""

from __future__ import annotations

import json
from importlib.resources import files

import click

from cachedsl.cli.output import write_out
from cachedsl.language.keys import policy_schema
from cachedsl.matching.schema import adapter_schema

MADE = {"policy": policy_schema, "adapter": adapter_schema}
"""Made when they are asked for: keys that other packages bring are in them."""


@click.command()
@click.argument("name", type=click.Choice([*MADE, "check"]))
def schema(name: str) -> None:
    """Print the JSON Schema (2020-12) of a policy, an adapter, or of what `check --output-format json` prints.

    The schemas of policies and adapters have the keys of installed plugins, which the published ones cannot.
    """
    if name in MADE:
        text = json.dumps(MADE[name](), indent=2, ensure_ascii=False) + "\n"
    else:
        text = (files("cachedsl.schemas") / f"{name}.schema.json").read_text(encoding="utf-8")
    write_out(text)
