"""Make the plans of the page that plays the machine: bundled policies on a few published models."""

from __future__ import annotations

import json
from typing import Any

from cachedsl import PolicyError, bundled_policies, compile_policy, load_policy
from cachedsl.matching.reading import find_adapter
from tests.conformance.vectors import FOLDER

FILE = FOLDER / "plans.js"
MODELS = ("flux.1-dev", "qwen-image", "wan2.1-t2v-1.3b", "digits-dit")
STEPS = 28


def make() -> str:
    """Return the script: by policy and model the JSON of a plan, without the words that only people read."""
    found: dict[str, dict[str, Any]] = {}
    for policy in bundled_policies():
        for model in MODELS:
            try:
                plan = compile_policy(load_policy(policy), find_adapter(model).shape(), STEPS)
            except PolicyError:
                continue  # the model lacks what the policy measures
            found.setdefault(policy, {})[model] = json.loads(plan.to_json())
    lines = ",\n".join(
        f"{json.dumps(policy)}:{json.dumps(plans, separators=(',', ':'))}" for policy, plans in found.items()
    )
    return f"globalThis.CACHEDSL_PLANS = {{\n{lines}\n}};\n"
