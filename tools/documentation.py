"""A hook for mkdocs.yml that builds the site from the pages of the whole repository.

MkDocs looks for pages in one folder. Here, pages are also next to what they describe, and link to
files of the repository, which the site therefore includes.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PAGES = (
    "*.md",
    "docs/*.md",
    "events/*.md",
    "examples/*.md",
    "packages/*/*.md",
    "packages/*/docs/*.md",
)
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")
BADGES = re.compile(r"^\[!\[.*\n", re.MULTILINE)
#: HTML that makes a browser fetch something from elsewhere when it shows a page.
FETCHED = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>"
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages, and the files that they link to, by their paths in the repository."""
    for file in [*files.documentation_pages(), *files.media_files()]:
        if file.src_dir == config.docs_dir:
            files.remove(file)
    pages = [path for pattern in PAGES for path in ROOT.glob(pattern)]
    linked = {
        (page.parent / link).resolve() for page in pages for link in LINK.findall(page.read_text())
    }
    for path in sorted({*pages, *(path for path in linked if path.is_file())}):
        name = str(path.relative_to(ROOT))
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """A page without its badges, which only GitHub has."""
    return BADGES.sub("", markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """Fail if a page would make a browser fetch something from elsewhere."""
    for page in Path(config.site_dir).rglob("*.html"):
        if found := FETCHED.search(page.read_text()):
            raise PluginError(f"{page} fetches something from elsewhere: {found[0]}")
