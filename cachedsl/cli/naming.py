"""What is named on the command line: policies."""

from __future__ import annotations

import os
import warnings

from cachedsl.cli.output import say
from cachedsl.cli.stdin import standard_input
from cachedsl.language.policy import Policy
from cachedsl.loading import load_policy, read_policy


def policy_called(name: str) -> Policy:
    """Load a policy: a path, a pipe, `-`, a bundled name or notation; what loading warns of is said in one line."""
    if name == "-":
        return read_policy(standard_input())
    if os.path.exists(name) and not os.path.isfile(name) and not os.path.isdir(name):
        with open(name, "rb") as stream:  # a pipe
            return read_policy(stream, name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded = load_policy(name)
    for warning in caught:
        say(f"warning: {warning.message}", err=True)
    return loaded
