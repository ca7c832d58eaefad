"""The policies of a repository that extend a file: a change of it is one of theirs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from cachedsl.checking.sources import JSON, YAML
from cachedsl.rules.shape.beside import beside, is_root, tree_root
from cachedsl.text.document import MAX_BYTES
from cachedsl.text.paths import real_path

PASSED_OVER = frozenset({"node_modules", "venv", "__pycache__", "build", "dist", "site-packages"})
_EXTENDS = re.compile(
    rb"""(?:^|[{,])[ \t]*["']?extends["']?[ \t]*:\s*(?:&\S+\s+)?"""
    rb"""(?:"([^"\r\n]+)"|'([^'\r\n]+)'|([^\s"'][^\r\n,}#]*))""",
    re.MULTILINE,
)


def dependents_of(paths: Iterable[Path]) -> list[Path]:
    """Return the files that extend one of `paths`, or a file that does, in the same repository; none of `paths`.

    Folders that hold other packages or what was built are passed over, and so are hidden ones.
    """
    named = [real_path(path) for path in paths if path.is_file()]
    children: dict[Path, list[Path]] = {}
    for root in dict.fromkeys(tree_root(path) for path in named):
        for child, parent in _extending(root):
            children.setdefault(parent, []).append(child)
    found: dict[Path, None] = {}
    left = list(named)
    while left:
        for child in children.get(left.pop(), ()):
            if child not in found:
                found[child] = None
                left.append(child)
    return sorted(set(found) - set(named))


def _extending(root: Path) -> Iterable[tuple[Path, Path]]:
    """Yield every file below `root` that names a parent, and the parent; of what is no repository, its folder alone."""
    whole = is_root(root)
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if whole and not name.startswith(".") and name not in PASSED_OVER]
        for name in files:
            if not name.endswith((*YAML, JSON)):
                continue
            path = Path(folder, name)
            try:
                if not path.is_file():
                    continue  # to open a pipe would wait for who writes to it
                with path.open("rb") as stream:
                    data = stream.read(MAX_BYTES)
            except OSError:
                continue  # who names it is told
            for match in _EXTENDS.finditer(data) if b"extends" in data else ():
                parent = beside(os.fsdecode(match[1] or match[2] or match[3].rstrip()), path)
                if isinstance(parent, Path):
                    yield real_path(path), parent
