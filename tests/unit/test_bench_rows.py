"""Rows of benches: written, read, shown as a table and as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from goni_core.errors import BadInput
from tests.bench import rows, svg
from tests.bench.rows import Row, measured

ROWS = [
    measured("first boot", [1.9, 2.3, 1.8], "x", target=2.0),
    measured("rebuild", [61.0, 75.5], "s", target=60.0),
    measured("/usr & more", [220_000_000], "bytes"),
]


def test_a_row_is_the_median_and_its_spread() -> None:
    row = ROWS[0]
    assert (row.value, row.least, row.most, row.runs) == (1.9, 1.8, 2.3, 3)
    assert [row.ok for row in ROWS] == [True, False, None]


def test_a_target_that_is_just_reached_is_met() -> None:
    assert measured("x", [60.0], "s", target=60.0).ok is True


def test_a_floor_is_the_least_that_is_enough(tmp_path: Path) -> None:
    found = [measured("ratio", [value], "x", target=0.97, floor=True) for value in (0.96, 0.97)]
    assert [row.ok for row in found] == [False, True]
    path = rows.write("engine", found, folder=tmp_path)
    assert rows.read(path) == ("engine", found)
    assert json.loads(path.read_text())["rows"][0]["floor"] is True
    assert ">= 0.97 x" in rows.table([("engine", found)])


def test_a_percentile_is_one_of_the_samples() -> None:
    samples = [float(number) for number in range(100, 0, -1)]
    assert [rows.percentile(samples, percent) for percent in (1, 50, 95, 100)] == [1, 50, 95, 100]
    assert rows.percentile([3.0], 95) == 3.0
    row = rows.at_percentile("wait", samples, 95, "ms", target=90.0)
    assert (row.value, row.least, row.most, row.runs, row.ok) == (95.0, 1.0, 100.0, 100, False)


def test_what_is_counted_has_no_fractions() -> None:
    assert rows.words(3.0, "streams") == "3 streams"


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = rows.write("image", ROWS, folder=tmp_path / "bench")
    assert rows.read(path) == ("image", ROWS)
    first = json.loads(path.read_text())["rows"][0]
    assert first == {
        "figure": "first boot",
        "value": 1.9,
        "unit": "x",
        "target": 2.0,
        "ok": True,
        "runs": 3,
        "min": 1.8,
        "max": 2.3,
    }


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '{"bench": "image"}',
        '{"bench": "image", "rows": [{"figure": "a", "surprise": 1}]}',
        '{"bench": "image", "rows": [{"figure": "a", "value": "1", "unit": "s", "runs": 1}]}',
        '{"bench": "image", "rows": [{"figure": "a", "value": 1, "min": 1, "max": 1, "runs": 1}]}',
    ],
)
def test_a_file_that_is_no_result_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "image.json"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"image\.json"):
        rows.read(path)


def test_the_table_says_which_targets_are_met() -> None:
    heading, _, first, second, third = rows.table([("image", ROWS)]).splitlines()
    assert heading.split() == ["bench", "figure", "value", "target", "ok", "min", "max", "runs"]
    assert "1.90 x" in first and "<= 2.00 x" in first and "yes" in first
    assert "NO" in second and "61.0 s" in second and "75.5 s" in second
    assert "220.0 MB" in third and "<=" not in third


def test_the_chart_is_well_formed_and_to_scale() -> None:
    chart = ElementTree.fromstring(svg.chart("Goni <image>", ROWS))
    bars = {
        element.get("class"): float(element.get("width", ""))
        for element in chart
        if element.tag.endswith("rect") and element.get("class")
    }
    assert bars["over"] == pytest.approx(svg.BARS * 68.25 / 75.5, abs=0.1)
    words = [element.text for element in chart if element.tag.endswith("text")]
    assert "Goni <image>" in words and "/usr & more" in words
    whiskers = [element for element in chart if element.get("class") == "whisker"]
    targets = [element for element in chart if element.get("class") == "target"]
    assert (len(whiskers), len(targets)) == (2, 2)
    assert max(float(line.get("x2", "")) for line in whiskers) <= svg.LABELS + svg.BARS


def test_a_chart_of_nothing_measured_has_no_scale_to_break() -> None:
    assert "<rect" in svg.chart("empty", [Row("none", 0.0, "s")])
