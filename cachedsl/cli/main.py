"""`cachedsl`: the commands, each imported when it is called, so that `cachedsl check` starts without torch."""

from __future__ import annotations

from errno import EPIPE
from importlib import import_module
from typing import Any

import click

from cachedsl import __version__
from cachedsl.cli.output import fault, say, stop, system_said
from cachedsl.text.finding import CachedslError

INTERRUPTED = 130
"""What shells say of a program that Ctrl-C ended; 1 would say that something was found."""

COMMANDS = {
    "adapters": "cachedsl.cli.adapters",
    "calibrate": "cachedsl.cli.calibrate",
    "check": "cachedsl.cli.check",
    "convert": "cachedsl.cli.convert",
    "demo": "cachedsl.cli.demo",
    "diff": "cachedsl.cli.diff",
    "explain": "cachedsl.cli.explain",
    "init": "cachedsl.cli.init",
    "lsp": "cachedsl.cli.lsp",
    "plan": "cachedsl.cli.plan",
    "policies": "cachedsl.cli.policies",
    "rule": "cachedsl.cli.rules",
    "rules": "cachedsl.cli.rules",
    "schema": "cachedsl.cli.schema",
}


class LazyGroup(click.Group):
    """Imports a command's module when the command is looked up, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        try:
            command: click.Command = getattr(import_module(COMMANDS[cmd_name]), cmd_name)
        except Exception:
            if ctx.resilient_parsing:  # a shell asks what may follow; it is no place for a traceback
                return None
            raise
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error that its user can mend is a line or two, without a traceback."""
        try:
            return super().invoke(ctx)
        except CachedslError as error:
            raise stop(error) from error
        except OSError as error:
            if error.errno == EPIPE:
                raise  # whoever read the output has seen enough
            say(system_said(error), err=True)
            raise SystemExit(2) from error
        except KeyboardInterrupt as error:
            say("stopped", err=True)
            raise SystemExit(INTERRUPTED) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            raise fault(error) from error


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cachedsl")
def main() -> None:
    """Feature caching for diffusion transformers, as policies that you commit.

    Exit status: 0 fine, 1 findings, 2 wrong use, 3 a fault of cachedsl itself.
    """
