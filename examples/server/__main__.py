"""`python -m examples.server`: load a pipeline and serve it."""

from __future__ import annotations

import logging

import click
import uvicorn

from cachedsl.cli.importing import CannotCall
from examples.server.app import create
from examples.server.engine import Engine
from examples.server.pipelines import digits, load


@click.command()
@click.option(
    "--pipeline", metavar="MODULE:FUNCTION", help="Returns a pipeline, or one and arguments. The digits else."
)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--at-once", default=4, show_default=True, type=click.IntRange(1), help="Requests that take turns.")
@click.option("--waiting", default=16, show_default=True, type=click.IntRange(0), help="More that may wait.")
@click.option("--feature-mib", default=1024, show_default=True, type=click.IntRange(1), help="Features held at most.")
def main(pipeline: str | None, host: str, port: int, at_once: int, waiting: int, feature_mib: int) -> None:
    """Serve images of one pipeline."""
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("cachedsl.run").setLevel(logging.INFO)
    try:
        pipe, arguments = digits() if pipeline is None else load(pipeline)
    except CannotCall as error:
        raise click.BadParameter(str(error), param_hint="--pipeline") from error
    engine = Engine(pipe, arguments, at_once=at_once, waiting=waiting, feature_bytes=feature_mib * 2**20)
    uvicorn.run(create(engine), host=host, port=port, log_level="warning")


if __name__ == "__main__":
    main()
