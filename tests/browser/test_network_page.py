"""The page of a network in a real browser: its table, its picture, on a phone and without scripts."""

import pytest
from test_cli import call  # pyright: ignore[reportMissingImports]

pytestmark = pytest.mark.browser


@pytest.fixture
def visit(visits, tmp_path, capsys):
    page = tmp_path / "x.html"
    status, _, err = call(capsys, "net", "resnet18:cifar", "--page", str(page))
    assert status == 0 and err == f"written: {page}\n"
    return lambda **options: visits(page.as_uri(), **options)


def cells(row):
    return row.locator("th, td").all_inner_texts()


def test_the_table_and_the_picture(visit, tmp_path):
    """Rows are the layers in the order of the forward pass; the numbers are those of the paper's architecture."""
    tab = visit()
    assert tab.locator("h1").inner_text() == "resnet18:cifar"
    rows = [cells(row) for row in tab.locator("table tr").all()]
    assert rows[0][:5] == ["layer", "op", "output", "parameters", "multiply-adds"]
    assert rows[1][:3] == ["input", "input", "3x32x32"]
    assert rows[2][:6] == ["net.stem", "conv", "64x32x32", "1,728 = 64 x 3 x 3 x 3", "1,769,472", "3x3"]
    # A stem, two 3 x 3 convolutions in each of eight blocks, and three 1 x 1 that go round a change of width.
    assert sum(row[1] == "conv" for row in rows) == 1 + 2 * 8 + 3
    assert rows[-1][1] == "dense" and rows[-1][2] == "10" and rows[-1][3].startswith("5,130 = ")
    assert "11,173,962" in tab.locator("main").inner_text()
    picture = tab.locator("figure.drawn .live svg")
    assert picture.count() == 1 and tab.locator("figure picture:visible").count() == 0
    drawn = picture.evaluate("svg => [...svg.querySelectorAll('text')].map(one => one.textContent)")
    assert {"net.stem", "resnet18:cifar"} <= set(drawn)
    assert picture.bounding_box()["height"] > 200
    assert len(tab.screenshot(path=tmp_path / "network.png", full_page=True)) > 50_000


def test_a_phone_scrolls_down_only(visit):
    tab = visit(width=390, height=844, is_mobile=True, has_touch=True)
    assert tab.evaluate("innerWidth") == 390
    assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_without_scripts_all_of_it_is_there(visit):
    tab = visit(java_script_enabled=False)
    assert tab.locator("table tr").count() > 40
    image = tab.locator("figure picture:visible img")
    assert image.count() == 1 and image.evaluate("image => image.naturalWidth") > 200
