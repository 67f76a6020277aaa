"""Tests of the built site: ``make site`` builds it and runs them."""

import json
import os
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.blocks import ROOT

SITE = ROOT / os.environ.get("S3MR_SITE", "build/site")
LOADING = {"script": "src", "img": "src", "source": "src", "iframe": "src", "link": "href"}

pytestmark = pytest.mark.skipif("S3MR_SITE" not in os.environ, reason="make site and make docs build the site first")


class Page(HTMLParser):
    """The resources, links and anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.loads: list[str] = []
        self.links: list[str] = []
        self.navigation: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag in LOADING and given.get("rel") not in {"canonical", "prev", "next"}:
            self.loads.append(given.get(LOADING[tag], ""))
        if tag == "a":
            self.links.append(given.get("href", ""))
            if "md-nav__link" in given.get("class", ""):
                self.navigation.append(given.get("href", "").partition("#")[0])


@cache
def _page(path: Path) -> Page:
    return Page(path)


def _pages() -> Iterator[Page]:
    return map(_page, sorted(SITE.rglob("*.html")))


def test_every_document_is_a_page() -> None:
    documents = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in ROOT.glob("docs/**/*.md")}
    documents |= {Path("project") / f"{name}.html" for name in ("contributing", "security", "changelog")}
    assert documents == {page.path.relative_to(SITE) for page in _pages()} - {Path("404.html")}


def test_every_page_is_in_the_navigation() -> None:
    start = _page(SITE / "index.html")
    listed = {(SITE / link).resolve() for link in start.navigation}
    missing = {page.path for page in _pages()} - listed - {SITE / "404.html", start.path}
    assert not missing, f"zensical.toml does not list {sorted(page.name for page in missing)}"


def test_the_site_loads_nothing_from_other_hosts() -> None:
    for page in _pages():
        assert page.loads
        foreign = [url for url in page.loads if urlsplit(url).netloc]
        assert not foreign, f"{page.path.relative_to(SITE)} loads {foreign}"
    for style in SITE.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not any(begin in text for begin in ("url(http", 'url("http', "url(//", "@import")), style.name


def test_every_link_within_the_site_leads_to_a_page_and_an_anchor() -> None:
    for page in _pages():
        if page.path.name == "404.html":
            continue  # the server shows it at any address
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or not link:
                continue
            target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{page.path.relative_to(SITE)}: {link}"
            if parts.fragment and target.suffix == ".html":
                assert unquote(parts.fragment) in _page(target).anchors, f"{page.path.relative_to(SITE)}: {link}"


def test_the_text_of_the_pages_is_searchable() -> None:
    found = json.loads((SITE / "search.json").read_text(encoding="utf-8"))
    text = json.dumps(found)
    assert all(word in text for word in ("--reducers", "JobFailedError", "straggler", "NeverCommit"))
