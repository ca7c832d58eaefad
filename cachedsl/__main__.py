"""`python -m cachedsl`: the command line."""

from __future__ import annotations

from cachedsl.cli.main import main

if __name__ == "__main__":
    main(prog_name="cachedsl")
