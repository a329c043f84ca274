"""EPUB (W3C EPUB 3.3): the chapters in the order of the spine, each under its own headings."""

from __future__ import annotations

import posixpath
import zipfile
from urllib.parse import unquote

from goni_rag.readers import archive, html
from goni_rag.readers.xml import descendants, parse
from goni_rag.records import Writer
from goni_rag.sections import Unreadable

PAGES = ("application/xhtml+xml", "text/html")


def read(file: zipfile.ZipFile, out: Writer) -> None:
    """The book in ``file``."""
    if b"EncryptedData" in archive.content(file, "META-INF/encryption.xml"):
        _refuse_locked(file)
    container = parse(archive.content(file, "META-INF/container.xml"))
    package = next((root.get("full-path", "") for root in descendants(container, "rootfile")), "")
    root = parse(archive.content(file, package))
    items = {item.get("id"): item for item in descendants(root, "item")}
    for reference in descendants(root, "itemref"):
        item = items.get(reference.get("idref"))
        if item is None or item.get("media-type") not in PAGES:
            continue
        name = posixpath.join(posixpath.dirname(package), unquote(item.get("href", "")))
        data = archive.content(file, posixpath.normpath(name))
        if data:
            html.write(data, out)
        else:
            out.note("damaged")


def _refuse_locked(file: zipfile.ZipFile) -> None:
    """Fonts alone are often obfuscated; a book whose pages are is locked by its seller."""
    root = parse(archive.content(file, "META-INF/encryption.xml"))
    for reference in descendants(root, "CipherReference"):
        if reference.get("URI", "").lower().endswith(("html", "htm", "xml")):
            raise Unreadable("encrypted")
