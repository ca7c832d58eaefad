"""The language server as an editor meets it: a real client starts `cachedsl lsp` and talks to it over its pipes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

from cachedsl.lsp.cursor import cursor_at
from cachedsl.lsp.positions import Positions
from cachedsl.text.edit import apply_edits
from cachedsl.text.finding import Edit

PATIENCE = 60


class Editor:
    """A client that keeps the newest diagnostics of each text."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = LanguageClient("test", "1")
        self.shown: dict[str, lsp.PublishDiagnosticsParams] = {}
        self.messages: list[str] = []
        self.result: lsp.InitializeResult | None = None
        self._news = asyncio.Event()

        @self.client.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def published(params: lsp.PublishDiagnosticsParams) -> None:
            self.shown[params.uri] = params
            self._news.set()

        @self.client.feature(lsp.WINDOW_SHOW_MESSAGE)
        def said(params: lsp.ShowMessageParams) -> None:
            self.messages.append(params.message)
            self._news.set()

        self.watched: list[str] = []

        @self.client.feature(lsp.CLIENT_REGISTER_CAPABILITY)
        def registered(params: lsp.RegistrationParams) -> None:
            for one in params.registrations:
                assert one.method == lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES
                self.watched += [watcher["globPattern"] for watcher in one.register_options["watchers"]]
            self._news.set()

    async def start(
        self, options: Any = None, encodings: list[Any] | None = None, watches: bool = False
    ) -> lsp.InitializeResult:
        await self.client.start_io(sys.executable, "-m", "cachedsl", "lsp", cwd=self.folder)
        general = None if encodings is None else lsp.GeneralClientCapabilities(position_encodings=encodings)
        files = lsp.DidChangeWatchedFilesClientCapabilities(dynamic_registration=watches)
        workspace = lsp.WorkspaceClientCapabilities(did_change_watched_files=files)
        result = await self.client.initialize_async(
            lsp.InitializeParams(
                capabilities=lsp.ClientCapabilities(general=general, workspace=workspace),
                root_uri=self.folder.as_uri(),
                initialization_options=options,
            )
        )
        self.client.initialized(lsp.InitializedParams())
        return result

    def uri(self, name: str) -> str:
        return name if name.startswith("untitled:") else (self.folder / name).as_uri()

    def open(self, name: str, text: str) -> None:
        document = lsp.TextDocumentItem(self.uri(name), "yaml", 1, text)
        self.client.text_document_did_open(lsp.DidOpenTextDocumentParams(document))

    def type(self, name: str, text: str, version: int) -> None:
        self.client.text_document_did_change(
            lsp.DidChangeTextDocumentParams(
                lsp.VersionedTextDocumentIdentifier(version, self.uri(name)),
                [lsp.TextDocumentContentChangeWholeDocument(text)],
            )
        )

    def write(self, name: str, text: str | None) -> None:
        """Write a file, or remove it, and tell the server as an editor does that watches files."""
        kind = lsp.FileChangeType.Changed if (self.folder / name).exists() else lsp.FileChangeType.Created
        if text is None:
            kind = lsp.FileChangeType.Deleted
            (self.folder / name).unlink()
        else:
            (self.folder / name).write_text(text)
        events = [lsp.FileEvent(self.uri(name), kind)]
        self.client.workspace_did_change_watched_files(lsp.DidChangeWatchedFilesParams(events))

    async def until_codes(self, name: str, holds: Callable[[set[str]], bool]) -> None:
        """Wait until the codes of a text's diagnostics are so."""
        uri = self.uri(name)
        await self.until(lambda: uri in self.shown and holds({str(one.code) for one in self.shown[uri].diagnostics}))

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), PATIENCE)

    async def codes(self, name: str, version: int) -> list[str]:
        """Return the codes of a text's diagnostics once those of this version are there."""
        uri = self.uri(name)
        await self.until(lambda: uri in self.shown and self.shown[uri].version == version)
        return [str(one.code) for one in self.shown[uri].diagnostics]

    def at(self, name: str, line: int, character: int) -> dict[str, Any]:
        return {
            "text_document": lsp.TextDocumentIdentifier(self.uri(name)),
            "position": lsp.Position(line, character),
        }

    async def hover(self, name: str, line: int, character: int) -> str:
        found = await self.client.text_document_hover_async(lsp.HoverParams(**self.at(name, line, character)))
        assert found is None or isinstance(found.contents, lsp.MarkupContent)
        return "" if found is None else found.contents.value

    async def completed(self, name: str, line: int, character: int) -> dict[str, lsp.CompletionItem]:
        params = lsp.CompletionParams(**self.at(name, line, character))
        found = await self.client.text_document_completion_async(params)
        return {} if found is None else {one.label: one for one in found.items}

    async def actions(self, name: str, found: lsp.Range, only: str | None = None) -> list[lsp.CodeAction]:
        document = lsp.TextDocumentIdentifier(self.uri(name))
        kinds: list[lsp.CodeActionKind | str] | None = None if only is None else [only]
        params = lsp.CodeActionParams(document, found, lsp.CodeActionContext([], only=kinds))
        return await self.client.text_document_code_action_async(params)

    async def stop(self) -> int:
        """Shut the server down as the protocol says, and return its exit status."""
        await self.client.shutdown_async(None)
        self.client.exit(None)
        process = self.client._server
        assert process is not None
        status = await asyncio.wait_for(process.wait(), PATIENCE)
        await self.client.stop()
        return status


def drive(folder: Path, session: Callable[[Editor], Awaitable[None]], **given: Any) -> None:
    async def whole() -> None:
        editor = Editor(folder)
        editor.result = await editor.start(**given)
        await session(editor)
        assert await editor.stop() == 0

    asyncio.run(whole())


def edited(text: str, edits: list[lsp.TextEdit]) -> str:
    positions = Positions(text, "utf-16")
    made = [Edit(positions.offset(e.range.start), positions.offset(e.range.end), e.new_text) for e in edits]
    return apply_edits(text, made)


POLICY = "version: 1\nname: p\ndescription: 🧊 cold 😀\ncompute: {front: 8}\nreuse:\n  threshold: 0.12\n"
TABLE = '[[tool.cachedsl.plans]]\npolicy = "*.yaml"\nmodel = "flux.1-dev"\nsteps = [28]\n'


def test_an_editing_session(tmp_path: Path) -> None:
    """One server for everything that an editor does with a policy, since to start one takes the time."""
    (tmp_path / "pyproject.toml").write_text(TABLE)
    (tmp_path / "p.yaml").write_text(POLICY)

    async def session(editor: Editor) -> None:
        # What is typed counts, not what is saved; a place is told in UTF-16 units.
        editor.open("p.yaml", POLICY)
        assert "unknown-key" not in await editor.codes("p.yaml", 1)
        typed = '{version: 1, name: p, description: "🧊😀", thresold: 1}\n'
        editor.type("p.yaml", typed, 2)
        assert "unknown-key" in await editor.codes("p.yaml", 2)
        wrong = next(one for one in editor.shown[editor.uri("p.yaml")].diagnostics if one.code == "unknown-key")
        before = typed[: typed.index("thresold")]
        start = len(before.encode("utf-16-le")) // 2
        assert start == len(before) + 2, "two characters outside the BMP"
        assert (wrong.range.start.character, wrong.range.end.character) == (start, start + len("thresold"))
        assert wrong.source == "cachedsl"
        assert wrong.code_description is not None
        assert wrong.code_description.href.endswith("#unknown-key")

        # A document in the middle of a word: it is checked as far as it goes, and the server goes on.
        for version, half in enumerate(("version: 1\nreuse: {thr", "version: 1\n\tx", "[", "", "a: 'b\n\x00"), 3):
            editor.type("p.yaml", half, version)
            codes = await editor.codes("p.yaml", version)
            assert codes or half == ""

        # Completion: keys, values, parents and stacks of the model, without those that are there.
        text = "version: 1\nname: p\next\nreuse:\n  si\ncfg: {mode: }\nstacks:\n  x\n"
        editor.type("p.yaml", text, 9)
        await editor.codes("p.yaml", 9)
        keys = await editor.completed("p.yaml", 2, 3)
        assert {"extends", "warmup", "predict"} <= set(keys)
        assert not {"name", "reuse", "version"} & set(keys)
        edit = keys["extends"].text_edit
        assert isinstance(edit, lsp.TextEdit)
        assert edited(text, [edit]).splitlines()[2] == "extends: "
        assert {"signal", "threshold", "max_continuous"} <= set(await editor.completed("p.yaml", 4, 4))
        assert set(await editor.completed("p.yaml", 5, 12)) == {"auto", "fused", "separate"}
        assert set(await editor.completed("p.yaml", 7, 3)) == {"transformer_blocks", "single_transformer_blocks"}
        editor.type("p.yaml", "version: 1\nextends: f\n", 10)
        await editor.codes("p.yaml", 10)
        (tmp_path / "base.yaml").write_text("version: 1\n")
        parents = await editor.completed("p.yaml", 1, 10)
        assert {"f8b0", "taylorseer", "base.yaml"} <= set(parents)
        assert "p.yaml" not in parents

        # Hover: the key's words, and the plan on the model of the `plans` table.
        editor.type("p.yaml", POLICY, 11)
        await editor.codes("p.yaml", 11)
        shown = await editor.hover("p.yaml", 5, 4)
        assert shown.startswith("**`reuse.threshold`**")
        assert "Plan on flux.1-dev" in shown
        assert "0.12" in shown.partition("```text")[2]
        assert await editor.hover("p.yaml", 3, 11) != ""
        assert (await editor.hover("p.yaml", 3, 11)).startswith("**`compute.front`**")
        symbols = await editor.client.text_document_document_symbol_async(
            lsp.DocumentSymbolParams(lsp.TextDocumentIdentifier(editor.uri("p.yaml")))
        )
        assert symbols is not None
        assert [one.name for one in symbols] == ["version", "name", "description", "compute", "reuse"]

        # A model that the policy does not fit is an error at once, when the editor is set to it.
        editor.type("p.yaml", POLICY.replace("front: 8", "front: 400"), 12)
        assert "too-many-blocks" in await editor.codes("p.yaml", 12)

    drive(tmp_path, session)


def test_fixes_are_code_actions_that_mend_the_text(tmp_path: Path) -> None:
    text = 'version: 1\nname: "😀"\n3: 4\n'

    async def session(editor: Editor) -> None:
        editor.open("p.yaml", text)
        assert "bad-key" in await editor.codes("p.yaml", 1)
        wrong = next(one for one in editor.shown[editor.uri("p.yaml")].diagnostics if one.code == "bad-key")
        actions = await editor.actions("p.yaml", wrong.range)
        quick = next(one for one in actions if one.kind == lsp.CodeActionKind.QuickFix)
        assert quick.edit is not None
        assert quick.edit.changes is not None
        mended = edited(text, list(quick.edit.changes[editor.uri("p.yaml")]))
        assert mended == 'version: 1\nname: "😀"\n"3": 4\n'
        whole = next(one for one in actions if one.kind == "source.fixAll")
        assert whole.edit is not None
        assert whole.edit.changes is not None
        assert edited(text, list(whole.edit.changes[editor.uri("p.yaml")])) == mended
        for asked in ("source.fixAll", "source"):
            assert [one.kind for one in await editor.actions("p.yaml", wrong.range, asked)] == ["source.fixAll"], asked
        for asked in ("refactor", "source.fix", "quickfix.other"):
            assert not await editor.actions("p.yaml", wrong.range, asked), asked
        elsewhere = await editor.actions("p.yaml", lsp.Range(lsp.Position(0, 0), lsp.Position(0, 1)))
        assert not [one for one in elsewhere if one.kind == lsp.CodeActionKind.QuickFix]
        editor.type("p.yaml", mended, 2)
        assert "bad-key" not in await editor.codes("p.yaml", 2)

    drive(tmp_path, session, encodings=["utf-16"])


def test_a_child_is_checked_again_when_its_parent_is_typed_in(tmp_path: Path) -> None:
    """The parent is never saved: what its tab holds is what the child extends."""
    (tmp_path / "base.yaml").write_text("version: 1\n")

    async def session(editor: Editor) -> None:
        editor.open("child.yaml", "version: 1\nextends: base.yaml\n")
        assert "bad-value" not in await editor.codes("child.yaml", 1)
        editor.open("base.yaml", "version: 1\nwarmup: -3\n")
        child = editor.uri("child.yaml")
        await editor.until(lambda: any(one.code == "bad-value" for one in editor.shown[child].diagnostics))
        found = next(one for one in editor.shown[child].diagnostics if one.code == "bad-value")
        assert "base.yaml:2:9" in found.message
        assert (found.range.start.line, found.range.start.character) == (1, 9)
        editor.client.text_document_did_close(
            lsp.DidCloseTextDocumentParams(lsp.TextDocumentIdentifier(editor.uri("base.yaml")))
        )
        await editor.until(lambda: not any(one.code == "bad-value" for one in editor.shown[child].diagnostics))

        # An adapter has its own keys; another tool's file is left alone.
        adapter = "family: mine\ntransformers:\n  Mine:\n    stacks:\n      blocks: {hid}\n"
        editor.open("adapter.yaml", adapter)
        assert "unknown-key" in await editor.codes("adapter.yaml", 1)
        assert {"hidden", "encoder"} <= set(await editor.completed("adapter.yaml", 4, 18))
        editor.open("ci.yaml", "on: push\njobs: {}\n")
        assert await editor.codes("ci.yaml", 1) == []

        # A setting that cannot hold is told, and changes nothing.
        settings = lsp.DidChangeConfigurationParams({"cachedsl": {"model": "no-such-model"}})
        editor.client.workspace_did_change_configuration(settings)
        await editor.until(lambda: bool(editor.messages))
        assert "no-such-model" in editor.messages[0]

    drive(tmp_path, session, options={"model": "flux", "steps": 20})


def width(text: str, encoding: str) -> int:
    """Count a text in the units of an encoding."""
    codec, size = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}[encoding]
    return len(text.encode(codec)) // size


@pytest.mark.parametrize(
    ("offered", "taken"),
    [(["utf-32"], "utf-32"), (["utf-8", "utf-16"], "utf-8"), (["utf-7"], "utf-16")],
)
def test_places_are_told_in_the_units_that_the_client_prefers(tmp_path: Path, offered: list[str], taken: str) -> None:
    before = '{version: 1, warmup: 4, description: "🧊é😀", '
    text = f"{before}thresold: 1}}\n"

    async def session(editor: Editor) -> None:
        assert editor.result is not None
        assert editor.result.capabilities.position_encoding == taken
        editor.open("p.yaml", text)
        assert "unknown-key" in await editor.codes("p.yaml", 1)
        wrong = next(one for one in editor.shown[editor.uri("p.yaml")].diagnostics if one.code == "unknown-key")
        begin = width(before, taken)
        assert (wrong.range.start.character, wrong.range.end.character) == (begin, begin + len("thresold"))
        # and what the client says of a place is taken so, too
        typed = f"{before}exte}}\n"
        editor.type("p.yaml", typed, 2)
        await editor.codes("p.yaml", 2)
        offers = await editor.completed("p.yaml", 0, begin + len("exte"))
        edit = offers["extends"].text_edit
        assert isinstance(edit, lsp.TextEdit)
        assert (edit.range.start.character, edit.range.end.character) == (begin, begin + len("exte"))

    drive(tmp_path, session, encodings=offered)


def test_what_changes_on_disk_changes_what_is_shown(tmp_path: Path) -> None:
    """A parent and the `plans` table are files that another program may write: a checkout, an editor without us."""
    (tmp_path / "base.yaml").write_text("version: 1\n")

    async def session(editor: Editor) -> None:
        await editor.until(lambda: len(editor.watched) == 3)
        assert set(editor.watched) == {"**/*.yaml", "**/*.yml", "**/pyproject.toml"}
        editor.open("child.yaml", "version: 1\nextends: base.yaml\ncompute: {front: 400}\n")
        assert not {"bad-value", "too-many-blocks"} & set(await editor.codes("child.yaml", 1))
        editor.write("base.yaml", "version: 1\nwarmup: -3\n")
        await editor.until_codes("child.yaml", lambda codes: "bad-value" in codes)
        editor.write("base.yaml", "version: 1\nwarmup: 3\n")
        await editor.until_codes("child.yaml", lambda codes: "bad-value" not in codes)
        editor.write("pyproject.toml", TABLE)
        await editor.until_codes("child.yaml", lambda codes: "too-many-blocks" in codes)
        editor.write("pyproject.toml", '[tool.cachedsl]\nignore = ["too-many-blocks"]\n' + TABLE)
        await editor.until_codes("child.yaml", lambda codes: "too-many-blocks" not in codes)
        editor.write("pyproject.toml", "[[broken")  # half a file: the server goes on
        editor.write("base.yaml", None)
        await editor.until_codes("child.yaml", bool)
        editor.write("pyproject.toml", "")
        editor.write("base.yaml", "version: 1\n")
        await editor.until_codes("child.yaml", lambda codes: not {"extends", "bad-value", "not-found"} & codes)
        # What is typed in a tab counts more than what its file says.
        editor.open("base.yaml", "version: 1\nwarmup: -3\n")
        await editor.until_codes("child.yaml", lambda codes: "bad-value" in codes)
        editor.write("base.yaml", "version: 1\nwarmup: 4\n")
        editor.open("other.yaml", "version: 1\nwarmup: -4\n")
        await editor.until_codes("other.yaml", lambda codes: "bad-value" in codes)
        assert "bad-value" in {one.code for one in editor.shown[editor.uri("child.yaml")].diagnostics}

    drive(tmp_path, session, watches=True)


def test_a_document_that_has_no_file_yet(tmp_path: Path) -> None:
    async def session(editor: Editor) -> None:
        one, other = "untitled:Untitled-1", "untitled:Untitled-2"
        editor.open(one, "version: 1\nreuse:\n  thresold: 1\n")
        assert "unknown-key" in await editor.codes(one, 1)
        wrong = next(found for found in editor.shown[one].diagnostics if found.code == "unknown-key")
        actions = await editor.actions(one, wrong.range)
        assert actions[0].edit is not None
        assert actions[0].edit.changes is not None
        assert list(actions[0].edit.changes) == [one]
        assert (await editor.hover(one, 2, 4)) == ""
        assert (await editor.hover(one, 1, 1)).startswith("**`reuse`**")
        assert {"signal", "threshold"} <= set(await editor.completed(one, 2, 3))
        # The middle of a word: what was one of ours stays so.
        editor.type(one, "vers\n", 2)
        assert await editor.codes(one, 2)
        # Another one, of another tool, is left alone, and they are not taken for each other.
        editor.open(other, "on: push\njobs: {}\n")
        assert await editor.codes(other, 1) == []
        editor.type(one, "version: 1\nextends: f8b0\n", 3)
        assert "unknown-key" not in await editor.codes(one, 3)
        document = lsp.TextDocumentIdentifier(one)
        editor.client.text_document_did_close(lsp.DidCloseTextDocumentParams(document))
        await editor.until(lambda: not editor.shown[one].diagnostics)

    drive(tmp_path, session)


def test_without_pygls_one_line_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['pygls'] = None\n")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "cachedsl", "lsp"], env=environ, input="", capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stdout == "", "an editor takes what is printed there for the protocol"
    assert done.stderr == "cachedsl needs pygls to serve editors; install it with: pip install 'cachedsl[lsp]'\n"


@pytest.mark.parametrize(
    ("text", "path", "value", "word"),
    [
        ("wa|", (), False, "wa"),
        ("wa|rmup: 8", (), False, "warmup"),
        ("warmup: |", ("warmup",), True, ""),
        ("warmup: 8 # a|", None, False, ""),
        ("reuse:\n  thr|", ("reuse",), False, "thr"),
        ("reuse:\n  signal:\n    tap: res|", ("reuse", "signal", "tap"), True, "res"),
        ("reuse:\n  signal:\n    tap: x\n  m|", ("reuse",), False, "m"),
        ("reuse: {threshold: 1, si|", ("reuse",), False, "si"),
        ("reuse: {signal: {tap: |}}", ("reuse", "signal", "tap"), True, ""),
        ("a: {b: {c: 1}}\nx|", (), False, "x"),
        ("reuse:\n  threshold: 1\n|", (), False, ""),
        ("# note: x\ncfg: f|", ("cfg",), True, "f"),
        ("description: 'a: {b'\nw|", (), False, "w"),
        ("steps: {at: [1, |", ("steps", "at"), True, ""),
    ],
)
def test_what_stands_at_a_place(text: str, path: tuple[str, ...] | None, value: bool, word: str) -> None:
    offset = text.index("|")
    found = cursor_at(text.replace("|", "", 1), offset)
    assert (found.path, found.value, found.word) == (path, value, word) if found is not None else path is None
