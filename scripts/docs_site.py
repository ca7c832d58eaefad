"""What the documentation site takes from outside `docs/`, and where links to it lead.

Pages are also read in the repository, so their links are those of the repository: `../schemas/policy.schema.json`,
`docs/check.md`. mkdocs calls `on_files` and `on_page_markdown` (see `hooks` in mkdocs.yml), which publish the files
below and turn each such link into the site's own.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent

# Files of the repository that are a part of the site, and what they are called there.
PUBLISHED = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "LICENSE": "license.txt",
    "examples/server/README.md": "examples/server.md",
    "examples/ray_serve/README.md": "examples/ray_serve.md",
    **{f"schemas/{path.name}": f"schemas/{path.name}" for path in sorted((ROOT / "schemas").glob("*.json"))},
}

# Pages that other branches bring. They are left out as long as they are not there; delete the list when they are.
COMING = ("combinations.md", "conformance.md", "editors.md", "from-cache-dit.md", "parallel.md")

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"(^```.*?^```[^\n]*$)", re.M | re.S)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave pages out of the navigation that are still to come."""
    missing = {page for page in COMING if not (Path(config.docs_dir) / page).exists()}
    config.nav = _without(config.nav, missing)
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what is published from outside `docs/`."""
    for source, name in PUBLISHED.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links of the repository into links of the site; code is left alone."""
    parts = _FENCE.split(markdown)
    return "".join(part if i % 2 else _LINK.sub(_linking(page, files), part) for i, part in enumerate(parts))


def _linking(page: Page, files: Files) -> Any:
    here = page.file.src_uri
    source = next((path for path, name in PUBLISHED.items() if name == here), f"docs/{here}")

    def link(match: re.Match[str]) -> str:
        mark, words, target = match.groups()
        path, hash_, anchor = target.partition("#")
        if not path or "://" in path or path.startswith("mailto:"):
            return match[0]
        repository = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        site = PUBLISHED.get(repository, repository.removeprefix("docs/"))
        if site in COMING and files.get_file_from_path(site) is None:
            return words
        return f"{mark}[{words}]({posixpath.relpath(site, posixpath.dirname(here) or '.')}{hash_}{anchor})"

    return link


def _without(nav: Any, missing: set[str]) -> Any:
    """Return a navigation without some pages, and without sections that they leave empty."""
    if isinstance(nav, list):
        return [entry for entry in (_without(entry, missing) for entry in nav) if entry]
    if isinstance(nav, dict):
        kept = {title: _without(value, missing) for title, value in nav.items()}
        return {title: value for title, value in kept.items() if value}
    return None if nav in missing else nav
