"""Write a file whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from errno import EACCES
from pathlib import Path


def write_whole(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to the file at `path`: what was there stays until all of the new text is on the disk.

    The folder must be there. A link's target is replaced, not the link; a file's permissions stay, and one that nobody
    may write to is left alone. What is no file, such as a pipe or a terminal, is written to as it is.

    Raises:
        OSError: the system refused, and it names `path`; the file is then as it was before.
    """
    try:
        _write(path, text)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), os.fspath(path)) from error


def _write(path: str | os.PathLike[str], text: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        with open(path, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
        return
    if mode is not None and not mode & 0o222:
        raise PermissionError(EACCES, "it is read-only", path)
    target = Path(os.path.realpath(path))
    handle, beside = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(beside, stat.S_IMODE(mode) if mode is not None else 0o666 & ~_umask())
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
