"""Patterns of the `plans` table find the files that they mean, and mean the files that they find."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachedsl.text.globs import files_that_match, path_matches

FILES = ("a.yaml", "p/b.yaml", "p/c.yml", "p/q/d.yaml", "p/q/r/e.yaml", "p/.hid/f.yaml", "p/.g.yaml", ".h/i.yaml")
PARTS = st.sampled_from(("**", "*", "p", "q", "?", "*.yaml", "**.yaml", "[", "[a-d].*", ".hid", "d.yaml", ".g.yaml"))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for file in FILES:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("")
    (root / "p" / "loop").symlink_to(root)
    return root


@given(st.lists(PARTS, min_size=1, max_size=4))
def test_what_is_found_is_what_matches(tree: Path, parts: list[str]) -> None:
    pattern = "/".join(parts)
    found = list(files_that_match(tree, pattern))
    assert found == sorted(set(found))
    through_links = {file for file in found if "loop" in file.parts}
    assert all(path_matches(file, pattern) for file in found)
    assert set(found) - through_links == {Path(file) for file in FILES if path_matches(Path(file), pattern)}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("p/**/*.yaml", ["p/b.yaml", "p/q/d.yaml", "p/q/r/e.yaml"]),
        ("p/**", ["p/b.yaml", "p/c.yml", "p/q/d.yaml", "p/q/r/e.yaml"]),
        ("p/**.yaml", ["p/b.yaml"]),
        ("./p/*.y*ml", ["p/b.yaml", "p/c.yml"]),
        ("p/.hid/*", ["p/.hid/f.yaml"]),
        ("p/[", []),
        ("p", []),
        ("*", ["a.yaml"]),
    ],
)
def test_what_patterns_mean(tree: Path, pattern: str, expected: list[str]) -> None:
    assert [file.as_posix() for file in files_that_match(tree, pattern)] == expected


def test_of_plain_patterns_it_is_what_pathlib_finds(tree: Path) -> None:
    for pattern in ("*.yaml", "p/*", "p/q/*.yaml", "p/*/?.yaml"):
        theirs = [path.relative_to(tree) for path in tree.glob(pattern) if path.is_file()]
        ours = files_that_match(tree, pattern)
        assert list(ours) == sorted(p for p in theirs if not any(x.startswith(".") for x in p.parts)), sys.version
