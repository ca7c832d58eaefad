"""`cachedsl lsp`: the language server that editors start."""

from __future__ import annotations

import click

from cachedsl.extras import need_or_exit


@click.command()
@click.option(
    "--stdio", is_flag=True, help="Use standard input and output. This is always so; some editors pass the option."
)
def lsp(stdio: bool) -> None:
    """Run the language server for editors.

    It gives findings while you type, hover, completion and fixes. It uses standard input and output. An editor starts
    it; docs/editors.md says how.
    """
    need_or_exit("pygls", to="serve editors", extra="lsp")
    from cachedsl.lsp.server import make_server

    make_server().start_io()
