"""Run by test_entry_points.py in a process that has the example package installed."""

from __future__ import annotations

import json
import sys

from click.testing import CliRunner
from jsonschema import Draft202012Validator

from cachedsl import Policy, compile_policy, load_policy, supported_matrix
from cachedsl.cli.main import main
from cachedsl.language.keys import entries, method_table, policy_schema, tap_table
from cachedsl.matching.reading import find_adapter
from cachedsl.plan.ir import Plan

path, checked = sys.argv[1:]
policy = load_policy(path)
assert policy.reuse.signal.parameters["power"] == 2
assert policy.predict.parameters["damping"] == 0.25
assert load_policy(path).expand() == policy
assert "damping: 0.25" in policy.to_yaml()

schema = policy_schema()
tree = {"version": 1, "predict": {"method": "damped", "damping": 0.25}, "reuse": {"signal": "token_spread"}}
assert Draft202012Validator(schema).is_valid(tree)
assert not Draft202012Validator(schema).is_valid({"version": 1, "predict": {"method": "damped", "damping": 2}})
assert {"predict.damping", "reuse.signal.power"} <= {entry.path for entry in entries()}
assert "`token_spread`" in tap_table()
assert "`damped`" in method_table()
assert any("token_spread" in entry.values for entry in entries())

shape = find_adapter("example").shape()
assert "ExampleTransformer" in {row.transformer for row in supported_matrix()}
plan = compile_policy(policy, shape, 10)
words = plan.explain()
assert "the spread of the tokens that leave the first block, to the power 2" in words, words
assert "a step of the last difference, damped by 0.25" in words, words
assert Plan.from_json(plan.to_json()) == plan
# two anchors of 4 x 8 and the reference of every token, in bytes of 2
assert plan.memory({"hidden": (1, 4, 8)}).total == (2 * 32 + 32) * 2

import torch  # noqa: E402
from diffusers import DiTTransformer2DModel  # noqa: E402

torch.manual_seed(0)
model = DiTTransformer2DModel(
    num_attention_heads=2,
    attention_head_dim=8,
    in_channels=4,
    out_channels=4,
    num_layers=4,
    sample_size=8,
    num_embeds_ada_norm=10,
)
cached = Policy(compute="F1B0", warmup=2, reuse=policy.reuse, predict=policy.predict).apply(model)
with cached.run(steps=6), torch.no_grad():
    for step in range(6):
        model(torch.ones(1, 4, 8, 8) * (1 + step / 100), torch.tensor([step]), torch.tensor([1]))
values = [record.value for record in cached.trace.steps() if record.value is not None]
reused = [record.step for record in cached.trace.steps() if record.outcome == "reused"]
assert values
assert all(value >= 0 for value in values)
assert reused, values

result = CliRunner().invoke(main, ["check", checked])
assert "warning[example-description]: description: the policy has none" in result.output, result.output
assert result.exit_code == 0, result.output
rules = CliRunner().invoke(main, ["rules"])
assert "example-description" in rules.output
print(json.dumps({"reused": reused}))
