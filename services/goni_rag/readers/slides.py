"""Presentations (.pptx, ECMA-376): a page per slide, in the order of the show, with its notes."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator

from goni_rag.readers import archive, tables
from goni_rag.readers.xml import Element, attribute, children, descendants, parse
from goni_rag.records import Writer

TITLES = ("title", "ctrTitle")


def read(file: zipfile.ZipFile, out: Writer) -> None:
    """The presentation in ``file``."""
    show = parse(archive.content(file, "ppt/presentation.xml"))
    targets = _related(file, "ppt/presentation.xml")
    relations = [_relation(entry) for entry in descendants(show, "sldId")]
    for number, relation in enumerate(relations, start=1):
        name = targets.get(relation, ("", ""))[1]
        data = archive.content(file, name)
        if not data:
            out.note("damaged")
            continue
        _slide(file, name, parse(data), number, out)


def _slide(file: zipfile.ZipFile, name: str, slide: Element, number: int, out: Writer) -> None:
    title = ""
    texts = []
    for shape in descendants(slide, "sp"):
        text = _text(shape)
        if not title and any(
            attribute(mark, "type") in TITLES for mark in descendants(shape, "ph")
        ):
            title = " ".join(text.split())
        texts.append(text)
    for text in filter(None, texts):
        out.text(f"{text}\n", number, title)
    for table in descendants(slide, "tbl"):
        rows = ([_text(cell) for cell in children(row, "tc")] for row in children(table, "tr"))
        tables.write(rows, out, title, number)
    for kind, target in _related(file, name).values():
        if kind.endswith("/notesSlide") and (data := archive.content(file, target)):
            for shape in descendants(parse(data), "sp"):
                if any(attribute(m, "type") == "body" for m in descendants(shape, "ph")):
                    out.text(f"{_text(shape)}\n", number, title)


def _text(element: Element) -> str:
    return "\n".join(filter(None, map(_line, descendants(element, "p"))))


def _line(paragraph: Element) -> str:
    return "".join(_run(inner) for inner in descendants(paragraph, "t", "br")).strip()


def _run(element: Element) -> str:
    return element.text or " "


def _relation(entry: Element) -> str:
    # It has two attributes of that name; the one in a namespace points at the slide.
    return next((str(value) for key, value in entry.items() if key.endswith("}id")), "")


def _related(file: zipfile.ZipFile, name: str) -> dict[str, tuple[str, str]]:
    """The type and the entry of each relation of the entry ``name``, by its id."""
    folder, base = posixpath.split(name)
    data = archive.content(file, f"{folder}/_rels/{base}.rels")
    return dict(_relations(parse(data), folder)) if data else {}


def _relations(root: Element, folder: str) -> Iterator[tuple[str, tuple[str, str]]]:
    for relation in children(root, "Relationship"):
        target = relation.get("Target", "")
        place = posixpath.normpath(posixpath.join("/" + folder, target)).lstrip("/")
        yield relation.get("Id", ""), (relation.get("Type", ""), place)
