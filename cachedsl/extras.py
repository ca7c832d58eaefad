"""Say in one line which packages are missing for what only some uses of cachedsl need, and how to get them."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from cachedsl.text.finding import CachedslError

_DISTRIBUTIONS = {
    "PIL": "pillow",
    "prometheus_client": "prometheus-client",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
}


class MissingPackages(CachedslError, ImportError):
    """Packages of an extra are not installed; an ImportError too, as importing them would raise."""


def need(*modules: str, to: str, extra: str) -> None:
    """Check that `modules` can be imported, without importing any.

    Raises:
        MissingPackages: some cannot; the message names them, what they are needed for, and the extra that has them.
    """
    missing = [_DISTRIBUTIONS.get(name, name) for name in modules if not _is_there(name)]
    if missing:
        *others, last = missing
        names, them = (f"{', '.join(others)} and {last}", "them") if others else (last, "it")
        raise MissingPackages(
            f"cachedsl needs {names} to {to}; install {them} with: pip install 'cachedsl[{extra}]'", name=missing[0]
        )


def need_or_exit(*modules: str, to: str, extra: str) -> None:
    """As `need`, for a command: what is missing goes to stderr, and the exit status is that of wrong use."""
    try:
        need(*modules, to=to, extra=extra)
    except MissingPackages as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error


def _is_there(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None
    return find_spec(module) is not None
