"""A file is written whole, or stays as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cachedsl.text import writing
from cachedsl.text.writing import write_whole


def test_a_file_is_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.json", "one\r\né\n")
    assert (tmp_path / "a.json").read_bytes() == "one\r\né\n".encode()
    assert os.listdir(tmp_path) == ["a.json"]


def test_permissions_stay_and_a_new_file_has_the_usual_ones(tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    usual.write_text("")
    write_whole(tmp_path / "new", "x")
    assert (tmp_path / "new").stat().st_mode == usual.stat().st_mode
    usual.chmod(0o640)
    write_whole(usual, "x")
    assert usual.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_what_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("old")

    def refuse(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(writing.os, "replace", refuse)
    with pytest.raises(OSError, match="full"):
        write_whole(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_pipe_is_written_to() -> None:
    read, write = os.pipe()
    write_whole(f"/dev/fd/{write}", "text")
    os.close(write)
    assert os.read(read, 10) == b"text"
    os.close(read)
