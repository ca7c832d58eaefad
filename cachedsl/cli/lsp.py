"""`cachedsl lsp`: the language server that editors start."""

from __future__ import annotations

import click

from cachedsl.extras import need_or_exit


@click.command()
@click.option("--stdio", is_flag=True, help="Speak over standard input and output, as is done in any case.")
def lsp(stdio: bool) -> None:
    """Serve an editor: findings while typing, hover, completion and fixes, over standard input and output.

    An editor starts this; docs/editors.md says how.
    """
    need_or_exit("pygls", to="serve editors", extra="lsp")
    from cachedsl.lsp.server import make_server

    make_server().start_io()
