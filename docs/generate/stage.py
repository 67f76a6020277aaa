"""The pages of the site, gathered in one folder: documents of the root become pages, and links follow them."""

import os
import re
import shutil
from pathlib import Path
from typing import Final

from docs.generate.blocks import ROOT

# Documents that a forge wants in the root, and the pages that they are.
_ROOT_PAGES: Final = {
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CHANGELOG.md": "project/changelog.md",
}
_LINK: Final = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def stage(target: Path) -> None:
    """Make ``target`` the source of the site; what was there before goes."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "docs", target, ignore=shutil.ignore_patterns("generate", "__pycache__"))
    for document, page in _ROOT_PAGES.items():
        (target / page).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / document, target / page)
    origins = {target / page: ROOT / document for document, page in _ROOT_PAGES.items()}
    for file in target.rglob("*.md"):
        origin = origins.get(file, ROOT / "docs" / file.relative_to(target))
        file.write_text(_linked(file.read_text(encoding="utf-8"), origin, file, target), encoding="utf-8")


def _linked(text: str, origin: Path, page: Path, target: Path) -> str:
    """Return ``text`` with its links as they are from ``page``; a file that is no page of the site is named alone."""

    def link(found: re.Match[str]) -> str:
        title, name, anchor = found[1], found[2], found[3] or ""
        if "://" in name or name.startswith("mailto:"):
            return found[0]
        there = _page((origin.parent / name).resolve(), target)
        return title if there is None else f"[{title}]({os.path.relpath(there, page.parent)}{anchor})"

    return _LINK.sub(link, text)


def _page(file: Path, target: Path) -> Path | None:
    """Return the page of a file; of a folder, its index."""
    within = file.relative_to(ROOT).as_posix()
    if within in _ROOT_PAGES:
        return target / _ROOT_PAGES[within]
    if within == "README.md":
        return target / "index.md"
    if not within.startswith("docs/") or within.startswith("docs/generate"):
        return None
    return target / within.removeprefix("docs/") / ("index.md" if file.is_dir() else "")
