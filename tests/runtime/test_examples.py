"""The Python examples of the pages and of the handle run, and print what is said that they print."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cachedsl import Policy, attached
from tests.tiny import call, inputs, tiny_pipeline, tiny_transformer

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = ("README.md", *(f"docs/{name}.md" for name in ("choosing", "language", "machine", "models", "placement")))
DOCSTRINGS = tuple(f"cachedsl/{name}.py" for name in ("language/policy", "runtime/attach", "runtime/handle", "summary"))
EXAMPLES = [
    (page, number, dedent(text), printed)
    for page in (*PAGES, *DOCSTRINGS)
    for number, (text, printed) in enumerate(
        re.findall(r"```python\n(.*?)```(?:\n\n```\n(.*?)```)?", (ROOT / page).read_text("utf-8"), re.S)
    )
]
# What an example calls `...` stands for is given here, in the fewest words that run.
STANDS_FOR = {
    "pipe(...)": "call(pipe, 10)",
    "cached.learnt.to_yaml()": "cached.learnt",
    "transformer(...)": "transformer(**inputs('dit', 0, 28))",
    "MyModel": "DiTTransformer2DModel",
    "double_blocks": "transformer_blocks",
    ', "single_blocks": singles': "",
    'StackAdapter("hidden_encoder", hidden="img", encoder="txt")': 'StackAdapter("hidden_only")',
    "    ...  # one step of this request": "    transformer(**inputs('dit', 0, 28))",
}


@pytest.mark.parametrize(
    ("page", "number", "text", "printed"), EXAMPLES, ids=[f"{page}-{number}" for page, number, *_ in EXAMPLES]
)
def test_an_example_runs(
    page: str,
    number: int,
    text: str,
    printed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for written, meant in STANDS_FOR.items():
        text = text.replace(written, meant)
    transformer = tiny_transformer("dit")
    policy = Policy(compute="F1B0", warmup=2)
    names: dict[str, Any] = {
        "pipe": tiny_pipeline("dit", num_layers=20),
        "transformer": transformer,
        "model": transformer,
        "policy": policy,
        "inputs": inputs if "inputs(" in text else inputs("dit", 0, 28),
        "call": call,
        "request": SimpleNamespace(number=7, scheduler=None),
    }
    if "cached." in text and "cached = " not in text and "as cached" not in text:
        names["cached"] = policy.apply(transformer if "cached.run(" in text else names["pipe"])
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # README's file is the bundled policy here
        exec(compile(text, f"{page} example {number}", "exec"), names)
    if printed:
        assert capsys.readouterr().out == printed
    for target in (names["pipe"], transformer):
        handle = attached(target)
        if handle is not None:
            handle.remove()
