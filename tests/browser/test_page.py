"""The page in a real browser: headless Chromium, from a file, with the network denied and every request watched."""

from xml.etree import ElementTree

import pytest
from report_records import account, results  # pyright: ignore[reportMissingImports]

from flyroom import plot, report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    made = results()
    return report.write(report.page(account(made), made), tmp_path_factory.mktemp("page") / "page.html").as_uri()


@pytest.fixture
def visit(visits, address):
    return lambda **options: visits(address, **options)


def background(tab):
    return tab.evaluate("getComputedStyle(document.body).backgroundColor")


def overflows(tab):
    return tab.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


def test_figures_are_drawn(visit, tmp_path):
    tab = visit()
    assert tab.locator("figure.drawn .live svg").count() == 2
    assert "linear" in tab.locator(".live svg").first.text_content()
    assert tab.locator("figure picture:visible").count() == 0
    assert not overflows(tab)
    assert all(box.evaluate("box => box.scrollWidth <= box.clientWidth") for box in tab.locator("figure .box").all())
    assert len(tab.screenshot(path=tmp_path / "light.png", full_page=True)) > 50_000


def test_dark_and_back(visit):
    tab = visit(color_scheme="dark")
    assert background(tab) == "rgb(16, 18, 22)"
    assert plot.DARK[0] in tab.inner_html(".live >> nth=0")
    tab.emulate_media(color_scheme="light")
    tab.wait_for_function(f"document.querySelector('.live').innerHTML.includes('{plot.LIGHT[0]}')")
    assert background(tab) == "rgb(251, 250, 247)"


def test_phone_scrolls_down_only(visit):
    tab = visit(width=390, height=844, is_mobile=True, has_touch=True)
    assert tab.evaluate("innerWidth") == 390 and not overflows(tab)
    box = tab.locator("figure .box").first
    assert box.evaluate("box => box.scrollWidth <= box.clientWidth")  # the panels stand below each other


def test_saved_files(visit, tmp_path):
    tab = visit(color_scheme="dark", accept_downloads=True)
    saved = {}
    for form in ("SVG", "PNG", "PDF"):
        with tab.expect_download() as download:
            tab.locator("figure").first.get_by_text(f"Save {form}").click()
        assert download.value.suggested_filename == f"spatial-prior-1.{form.lower()}"
        download.value.save_as(tmp_path / form)
        saved[form] = (tmp_path / form).read_bytes()
    assert ElementTree.fromstring(saved["SVG"]).tag == "{http://www.w3.org/2000/svg}svg"
    assert plot.LIGHT[0].encode() in saved["SVG"]  # for paper, whatever the screen
    assert saved["PNG"].startswith(b"\x89PNG") and saved["PDF"].startswith(b"%PDF")


def test_seeds_are_sorted_by_number(visit):
    tab = visit()
    values = "[...document.querySelectorAll('table.sortable tbody tr')].map(row => Number(row.cells[3].dataset.value))"
    head = tab.locator("table.sortable thead th").nth(3)
    head.get_by_role("button").press("Enter")  # the keyboard will do
    assert head.get_attribute("aria-sort") == "ascending"
    rising = tab.evaluate(values)
    assert rising == sorted(rising) and len(rising) == 80
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending" and tab.evaluate(values) == rising[::-1]


def test_without_scripts_the_figures_are_pictures(visit):
    tab = visit(java_script_enabled=False)
    images = tab.locator("figure picture img")
    assert images.count() == 2 and all(image.bounding_box()["width"] > 300 for image in images.all())
    assert tab.locator("table.sortable tbody tr").count() == 80
    assert tab.get_by_text("Save PDF").count() == 2


def test_print_shows_the_light_pictures(visit):
    tab = visit(color_scheme="dark")
    tab.emulate_media(media="print")
    assert tab.locator("figure picture img:visible").count() == 2
    assert tab.locator("figure .live:visible").count() == 0
    assert background(tab) == "rgb(255, 255, 255)"


def test_hostile_text_does_not_run(browser, tmp_path):
    hostile = "</script><img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
    path = report.write(report.page(account([], mark=hostile), []), tmp_path / "hostile.html")
    tab = browser.new_page()
    tab.goto(path.as_uri())
    tab.wait_for_selector("html[data-ready]", timeout=30_000)
    assert tab.title().startswith("Spatial priors") and tab.locator("img[src=x]").count() == 0
    assert tab.locator(".live svg").count() == 1
    tab.close()
