"""A shell asks the installed command itself what may follow."""

from __future__ import annotations

from click.shell_completion import BashComplete

from cachedsl.cli.main import main


def test_a_shell_completes_the_codes_of_rules() -> None:
    complete = BashComplete(main, {}, "cachedsl", "_CACHEDSL_COMPLETE")
    found = [one.value for one in complete.get_completions(["rule"], "unknown-k")]
    assert found == ["unknown-key"]
    assert "lsp" in [one.value for one in complete.get_completions([], "l")]
