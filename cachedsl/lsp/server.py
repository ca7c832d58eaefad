"""The language server: what arrives from the editor, and what goes back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import define, field
from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from cachedsl import __version__
from cachedsl.lsp.completion import offers
from cachedsl.lsp.cursor import cursor_at
from cachedsl.lsp.desk import Desk, Looked, Setting
from cachedsl.lsp.diagnostics import FIX_ALL, actions, diagnostic
from cachedsl.lsp.hover import hover
from cachedsl.lsp.positions import Positions
from cachedsl.text.finding import CachedslError
from cachedsl.text.tree import Node

DELAY = 0.15
"""Seconds without a keystroke after which a text is checked."""

log = logging.getLogger(__name__)


@define
class _Tab:
    """An open text: its address, what is typed, the edit that it is at, and the check that is to come."""

    uri: str
    text: str
    version: int | None
    due: asyncio.TimerHandle | None = None

    @property
    def path(self) -> Path | None:
        found = to_fs_path(self.uri) if self.uri.startswith("file:") else None
        return None if found is None else Path(found)


@define
class Service:
    """What the server does, for the open texts of one editor."""

    server: LanguageServer
    desk: Desk = field(factory=Desk)
    tabs: dict[str, _Tab] = field(factory=dict)

    def set_to(self, given: Any) -> None:
        """Take over settings `{"model": ..., "steps": ...}`, below `cachedsl` or not; a wrong one is told, and left."""
        own = given.get("cachedsl", given) if isinstance(given, dict) else None
        own = own if isinstance(own, dict) else {}
        model, steps = own.get("model") or None, own.get("steps") or None
        wrong = None
        if model is not None and not isinstance(model, str):
            wrong = f"model: expected a model's name, got {model!r}"
        elif steps is not None and (type(steps) is not int or not 1 <= steps <= 10_000):
            wrong = f"steps: expected a step count from 1 to 10000, got {steps!r}"
        else:
            setting = Setting(model, steps)
            try:
                setting.held()
                self.desk.setting = setting
            except CachedslError as error:
                wrong = str(error)
        if wrong is not None:
            message = f"cachedsl: {wrong}; the setting is left as it was"
            self.server.window_show_message(lsp.ShowMessageParams(lsp.MessageType.Error, message))

    def put(self, uri: str, text: str, version: int | None, *, after: float) -> None:
        """Take over a text, and check it when `after` seconds have brought no other one."""
        tab = self.tabs.get(uri)
        if tab is None:
            tab = self.tabs[uri] = _Tab(uri, text, version)
        tab.text, tab.version = text, version
        if tab.path is not None:
            self.desk.texts[tab.path] = text
        self._later(tab, after)

    def close(self, uri: str) -> None:
        """Forget a text; what extends it is checked against the file again."""
        tab = self.tabs.pop(uri, None)
        if tab is None:
            return
        if tab.due is not None:
            tab.due.cancel()
        self.desk.forget(tab.path, uri)
        if tab.path is not None:
            self._check_children(tab.path)
        self.server.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, []))

    def check_all(self) -> None:
        """Check every open text again."""
        for tab in self.tabs.values():
            self._later(tab, 0)

    def look(self, uri: str) -> tuple[_Tab, Looked, Positions] | None:
        """Return a text, what is found in it, and its positions; None for one that is not open."""
        tab = self.tabs.get(uri)
        if tab is None:
            return None
        return tab, self.desk.look(tab.text, tab.path, tab.uri), self._positions(tab)

    def _positions(self, tab: _Tab) -> Positions:
        return Positions(tab.text, self.server.workspace.position_encoding or lsp.PositionEncodingKind.Utf16)

    def _later(self, tab: _Tab, after: float) -> None:
        if tab.due is not None:
            tab.due.cancel()
        tab.due = asyncio.get_running_loop().call_later(after, self._check, tab)

    def _check(self, tab: _Tab) -> None:
        tab.due = None
        self._publish(tab)
        if tab.path is not None:
            self._check_children(tab.path)

    def _check_children(self, path: Path) -> None:
        children = self.desk.children(path)
        for tab in self.tabs.values():
            if tab.path in children:
                self._publish(tab)

    def _publish(self, tab: _Tab) -> None:
        try:
            found = self.desk.look(tab.text, tab.path, tab.uri).findings
        except Exception:
            log.exception("cachedsl failed to check %s", tab.uri)
            return
        positions = self._positions(tab)
        shown = [diagnostic(one, tab.uri, positions) for one in found]
        self.server.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(tab.uri, shown, tab.version))


def make_server() -> LanguageServer:
    """Return the server, with everything it answers to. Whole texts are sent: a policy is small."""
    server = LanguageServer("cachedsl", __version__, text_document_sync_kind=lsp.TextDocumentSyncKind.Full)
    service = Service(server)
    _texts(server, service)
    _answers(server, service)
    return server


def _texts(server: LanguageServer, service: Service) -> None:
    """Answer to what is opened, typed, saved, closed and set."""

    @server.feature(lsp.INITIALIZE)
    def initialize(params: lsp.InitializeParams) -> None:
        service.set_to(params.initialization_options)

    @server.feature(lsp.INITIALIZED)
    async def initialized(params: lsp.InitializedParams) -> None:
        workspace = server.client_capabilities.workspace
        watched = None if workspace is None else workspace.did_change_watched_files
        if watched is not None and watched.dynamic_registration:
            globs = ("**/*.yaml", "**/*.yml", "**/pyproject.toml")
            options = lsp.DidChangeWatchedFilesRegistrationOptions([lsp.FileSystemWatcher(one) for one in globs])
            name = lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES
            await server.client_register_capability_async(
                lsp.RegistrationParams([lsp.Registration("cachedsl-files", name, options)])
            )

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    async def opened(params: lsp.DidOpenTextDocumentParams) -> None:
        document = params.text_document
        service.put(document.uri, document.text, document.version, after=0)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    async def changed(params: lsp.DidChangeTextDocumentParams) -> None:
        text = server.workspace.get_text_document(params.text_document.uri).source
        service.put(params.text_document.uri, text, params.text_document.version, after=DELAY)

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    async def saved(params: lsp.DidSaveTextDocumentParams) -> None:
        service.check_all()

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    async def closed(params: lsp.DidCloseTextDocumentParams) -> None:
        service.close(params.text_document.uri)

    @server.feature(lsp.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def configured(params: lsp.DidChangeConfigurationParams) -> None:
        service.set_to(params.settings)
        service.check_all()

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    async def watched(params: lsp.DidChangeWatchedFilesParams) -> None:
        service.check_all()


def _answers(server: LanguageServer, service: Service) -> None:
    """Answer what is asked about a place or a text."""

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    def on_hover(params: lsp.HoverParams) -> lsp.Hover | None:
        found = service.look(params.text_document.uri)
        if found is None or found[1].kind not in ("policy", "adapter"):
            return None
        tab, looked, positions = found
        cursor = cursor_at(tab.text, positions.offset(params.position))
        shown = None if cursor is None else hover(cursor, looked)
        if cursor is None or shown is None:
            return None
        content = lsp.MarkupContent(lsp.MarkupKind.Markdown, shown)
        return lsp.Hover(content, positions.range(cursor.start, cursor.end))

    @server.feature(lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=[":", " ", "{", ","]))
    def on_completion(params: lsp.CompletionParams) -> lsp.CompletionList | None:
        found = service.look(params.text_document.uri)
        if found is None or (found[1].kind not in ("policy", "adapter") and not _is_ours(found[0])):
            return None
        tab, looked, positions = found
        cursor = cursor_at(tab.text, positions.offset(params.position))
        if cursor is None:
            return None
        place = positions.range(cursor.start, cursor.end)
        colon = tab.text[cursor.end : cursor.end + 1] == ":"

        def item(label: str, text: str, words: str, is_key: bool) -> lsp.CompletionItem:
            kind = lsp.CompletionItemKind.Property if is_key else lsp.CompletionItemKind.Value
            edit = lsp.TextEdit(place, text.removesuffix(": ") if colon else text)
            return lsp.CompletionItem(label, kind=kind, documentation=words, filter_text=text, text_edit=edit)

        made = [item(one.label, one.text, one.words, one.is_key) for one in offers(cursor, looked, tab.path)]
        return lsp.CompletionList(is_incomplete=False, items=made)

    kinds = lsp.CodeActionOptions(code_action_kinds=[lsp.CodeActionKind.QuickFix, FIX_ALL])

    @server.feature(lsp.TEXT_DOCUMENT_CODE_ACTION, kinds)
    def on_action(params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        found = service.look(params.text_document.uri)
        if found is None:
            return []
        tab, looked, positions = found
        made = actions(looked.findings, tab.text, tab.uri, positions, params.range)
        return [one for one in made if _is_wanted(one, params.context.only)]

    @server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    def on_symbols(params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
        found = service.look(params.text_document.uri)
        if found is None or found[1].document.root is None or found[1].kind not in ("policy", "adapter"):
            return []
        return _symbols(found[1].document.root, found[2])


def _is_ours(tab: _Tab) -> bool:
    """Tell whether a text without a key yet is offered some: it is empty so far."""
    return not tab.text.strip() or len(tab.text.split()) == 1


def _is_wanted(action: lsp.CodeAction, only: Sequence[lsp.CodeActionKind | str] | None) -> bool:
    """Tell whether an editor asked for a kind of action; `source` is every kind below it, such as `source.fixAll`."""
    kind = str.__str__(action.kind or "") + "."  # an enum's own text, and any other kind that an editor knows
    return only is None or any(not one or kind.startswith(str.__str__(one) + ".") for one in only)


def _symbols(node: Node, positions: Positions) -> list[lsp.DocumentSymbol]:
    """Return the keys of a mapping, with those below them."""
    made = []
    for name, value in node.mapping.items():
        key = node.keys[name]
        inner = positions.range(key.start, key.end)
        whole = positions.range(key.start, max(value.span.end, key.end))
        below = [] if value.alias else _symbols(value, positions)
        kind = lsp.SymbolKind.Object if value.mapping else lsp.SymbolKind.Property
        detail = value.text or None
        made.append(lsp.DocumentSymbol(name or "?", kind, whole, inner, detail=detail, children=below))
    return made
