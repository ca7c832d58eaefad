"""The documentation site builds without a warning, its links lead somewhere, and it fetches nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.browser import needs_browser, opened, started

pytest.importorskip("mkdocs")
ROOT = Path(__file__).resolve().parent.parent


class Reader(HTMLParser):
    """Collects what a page links to, what it loads, and what can be linked to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = {name: value or "" for name, value in attrs}
        self.anchors |= {of[name] for name in ("id", "name") if name in of}
        if tag == "a" and "href" in of:
            self.links.append(of["href"])
        if tag in ("script", "img", "iframe") and "src" in of:
            self.loads.append(of["src"])
        if tag == "link" and of.get("rel") in ("stylesheet", "icon", "preload"):
            self.loads.append(of["href"])


def build(config: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "-d", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Reader]:
    folder = tmp_path_factory.mktemp("site").resolve()
    built = build(ROOT / "mkdocs.yml", folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return {page: Reader(page.read_text("utf-8")) for page in folder.rglob("*.html") if page.name != "404.html"}


def test_every_link_leads_to_a_page_and_a_place(site: dict[Path, Reader]) -> None:
    broken = []
    for page, reader in site.items():
        for link in reader.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            known = site.get(target)
            if not target.is_file() or (known and unquote(parts.fragment) not in known.anchors):
                broken.append(f"{page.name}: {link}")
    assert not broken
    assert sum(len(reader.links) for reader in site.values()) > 1000


def test_nothing_is_fetched_from_elsewhere(site: dict[Path, Reader]) -> None:
    loads = [(page, load) for page, reader in site.items() for load in reader.loads]
    assert len(loads) > len(site)
    for page, load in loads:
        assert not urlsplit(load).scheme, f"{page.name} loads {load}"
        assert not urlsplit(load).netloc, f"{page.name} loads {load}"
        assert (page.parent / urlsplit(load).path).resolve().is_file(), f"{page.name} loads {load}"
    home = next(page for page in site if page.name == "index.html").parent
    for sheet in home.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text("utf-8")), sheet.name
    # This class makes the theme fetch a drawing library.
    assert not any('class="mermaid"' in page.read_text("utf-8") for page in site)


def test_every_page_is_built_and_searched(site: dict[Path, Reader]) -> None:
    home = next(page for page in site if page.name == "index.html").parent
    built = {page.relative_to(home).with_suffix("").as_posix() for page in site}
    assert built >= {page.stem for page in (ROOT / "docs").glob("*.md")} | {"index", "contributing", "examples/server"}
    index = json.loads((home / "search" / "search_index.json").read_text("utf-8"))
    searched = {entry["location"].partition(".html")[0] for entry in index["docs"]}
    assert {"language", "rules", "choosing", "in-your-repository", "api"} <= searched


@needs_browser
def test_the_search_of_a_page_that_is_opened_from_a_folder_finds_a_page(site: dict[Path, Reader]) -> None:
    home = next(page for page in site if page.name == "index.html")
    with started() as browser, opened(browser, home) as page:
        page.get_by_role("textbox", name="Search").fill("unknown-key")
        found = page.locator("a.md-search-result__link").first
        found.wait_for(timeout=30_000)
        assert "rules.html" in found.get_attribute("href")
        found.click()
        page.wait_for_url("**/rules.html*")


def test_the_python_interface_is_described(site: dict[Path, Reader]) -> None:
    import cachedsl

    api = next(reader for page, reader in site.items() if page.name == "api.html")
    assert {f"cachedsl.{name}" for name in cachedsl.__all__} <= api.anchors


@pytest.mark.parametrize("link", ["nowhere.md", "page.md#nowhere"])
def test_a_broken_link_stops_the_build(tmp_path: Path, link: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# A\n\n[b]({link})\n")
    (tmp_path / "docs" / "page.md").write_text("# Page\n")
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    validation = re.search(r"^validation:\n(?:  .*\n)+", text, re.M)
    assert validation
    (tmp_path / "mkdocs.yml").write_text(f"site_name: s\nplugins: []\n{validation[0]}")
    built = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert built.returncode != 0
    assert link.partition("#")[0] in built.stdout + built.stderr
