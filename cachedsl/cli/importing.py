"""Import what MODULE:NAME names on the command line, from the working directory too."""

from __future__ import annotations

import os
import sys
import traceback
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from cachedsl.text.finding import CachedslError


class CannotCall(ValueError):
    """What MODULE:NAME names is not there, or did not return; the message says what was wrong and what is expected."""


def call_named(path: str) -> Any:
    """Call `module:name` without arguments and return what it returns.

    Raises:
        CannotCall: it is no such path, cannot be imported, is nothing to call, or raised something.
        CachedslError: it raised that.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    module, _, name = path.partition(":")
    if not module or not name:
        raise CannotCall("expected a module and a name in it with a colon between, as in mypackage.models:make")
    try:
        imported = import_module(module)
    except (Exception, SystemExit) as error:
        raise CannotCall(
            f"importing {module!r} raised {told(error)}; it is looked for in {here} first, then among what is installed"
        ) from error
    try:
        named = getattr(imported, name)
    except Exception as error:
        close = get_close_matches(name, [one for one in vars(imported) if not one.startswith("_")], n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise CannotCall(f"{told(error)} ({getattr(imported, '__file__', None) or 'no file'}){hint}") from error
    if not callable(named):
        raise CannotCall(f"it is of type {type(named).__name__}, not a class or function; name one that returns it")
    try:
        return named()
    except CachedslError:
        raise
    except (Exception, SystemExit) as error:
        raise CannotCall(
            f"calling it raised {told(error)}; where it needs arguments, name a function that takes none and gives them"
        ) from error


def told(error: BaseException) -> str:
    """Return an exception's type and message, and the place where it was raised, if that is in the user's own code."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    libraries = tuple(f"{folder}{os.sep}" for folder in (Path(__file__).parents[1], Path(traceback.__file__).parent))
    own = [
        frame
        for frame in frames
        if not frame.filename.startswith(("<", *libraries)) and "-packages" not in frame.filename
    ]
    return f"{text} ({own[-1].filename}:{own[-1].lineno})" if own else text
