"""The gallery in a real browser: by keyboard, on a phone, in the dark, on paper, and with nothing but files."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from report_records import account, results, shelf  # pyright: ignore[reportMissingImports]

from flyroom import report
from flyroom.store import key, open_store

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    made, directory = results(), tmp_path_factory.mktemp("gallery")
    with open_store(directory / "store") as store:
        store.add(made, account(made).provenance)
        for one in shelf(made):
            store.keep(replace(one, keys=tuple(key(result.run) for result in made)))
        list(report.publish(store, directory / "pages"))
    return directory / "pages"


@pytest.fixture
def visit(visits, pages):
    return lambda name="index", **options: visits((pages / f"{name}.html").as_uri(), **options)


def shown(tab):
    return [card.locator("h2").inner_text() for card in tab.locator(".cards > li").all() if card.is_visible()]


def focused(tab):
    return tab.evaluate("document.activeElement.textContent")


def sideways(tab):
    return tab.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


ALL = [
    "Test error rises again where data are just fitted",
    "Sparse networks train as well as dense ones",
    "A signal moves",
    "Thousands of points",
    "Spatial priors separate networks on MNIST-1D",
]


def test_verdicts_filter_and_words_search(visit):
    tab = visit()
    assert shown(tab) == ALL and tab.locator("output").inner_text() == ""
    tab.get_by_label("3 supported").check()
    assert shown(tab) == ALL[1:4] and tab.locator("output").inner_text() == "3 of 5 claims shown"
    tab.get_by_label("Search").fill("POINTS thousands")
    assert shown(tab) == ["Thousands of points"]
    tab.get_by_label("Search").fill("no such thing")
    assert shown(tab) == [] and tab.locator("output").inner_text() == "0 of 5 claims shown"
    tab.get_by_label("Search").fill("")
    tab.get_by_label("All 5").check()
    assert shown(tab) == ALL


def test_the_keyboard_does_it_all(visit, tmp_path):
    tab = visit(width=900)  # two columns
    tab.keyboard.press("Tab")
    assert focused(tab) == "Skip to the content" and tab.locator(".skip").bounding_box()["y"] >= 0
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.name") == "verdict"
    tab.keyboard.press("ArrowRight")  # radio buttons choose with the arrows
    assert shown(tab) == ALL[1:4]
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.name") == "words"
    tab.keyboard.press("ArrowDown")  # which in the box moves no card
    tab.keyboard.press("Tab")
    found = [focused(tab)]
    for stroke in ("ArrowDown", "ArrowRight", "ArrowUp", "ArrowLeft", "End", "Home", "ArrowLeft", "Tab"):
        tab.keyboard.press(stroke)
        found.append(focused(tab))
    assert [ALL.index(title) for title in found] == [0, 2, 3, 1, 0, 4, 0, 0, 1]
    outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    tab.screenshot(path=tmp_path / "focus.png")
    tab.keyboard.press("/")
    tab.keyboard.type("signal/")
    assert tab.locator("input[type=search]").input_value() == "signal/"
    tab.keyboard.press("Backspace")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("html[data-ready] nav")
    assert tab.title().startswith("A signal moves")


def test_links_lead_from_page_to_page_without_a_server(visit):
    tab = visit()
    tab.locator(".cards h2 a").first.click()
    titles = []
    for _ in range(4):
        tab.wait_for_selector("html[data-ready]", timeout=30_000)
        titles.append(tab.locator("h1").inner_text())
        tab.locator("nav a[rel=next]").first.click()
    tab.wait_for_selector("html[data-ready]", timeout=30_000)
    titles.append(tab.locator("h1").inner_text())
    assert titles == ALL
    assert tab.locator("nav a[rel=next]").count() == 0
    tab.locator("nav a[rel=prev]").last.click()
    assert tab.locator("h1").inner_text() == ALL[3]
    tab.locator("nav").first.get_by_text("All claims").click()
    assert tab.locator("h1").inner_text() == "Claims put to the test"
    with tab.expect_navigation():
        tab.locator("a.thumbnail").last.click()
    assert tab.locator("h1").inner_text() == ALL[4]


def test_a_phone_scrolls_down_only(visit, pages):
    tab = visit(width=390, height=844, is_mobile=True, has_touch=True)
    assert tab.evaluate("innerWidth") == 390 and not sideways(tab)
    lefts = {card.bounding_box()["x"] for card in tab.locator(".cards > li").all()}
    assert len(lefts) == 1
    for label in tab.locator(".controls fieldset label").all():
        assert label.bounding_box()["height"] >= 32
    for path in pages.glob("*.html"):
        assert not sideways(visit(path.stem, width=320, height=640, is_mobile=True, has_touch=True)), path.stem


def test_dark_pictures_in_the_dark(visit):
    light, dark = (visit(color_scheme=scheme) for scheme in ("light", "dark"))
    assert dark.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 18, 22)"
    assert light.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(251, 250, 247)"
    sources = [tab.evaluate("document.querySelector('picture img').currentSrc.slice(0, 4000)") for tab in (light, dark)]
    assert sources[0] != sources[1] and all(source.startswith("data:image/") for source in sources)


def test_paper_has_one_column_and_no_controls(visit):
    tab = visit(color_scheme="dark")
    tab.emulate_media(media="print")
    assert tab.locator(".controls:visible, .skip:visible").count() == 0
    cards = [card.bounding_box() for card in tab.locator(".cards > li").all()]
    assert len({box["x"] for box in cards}) == 1 and len(cards) == 5
    assert all(above["y"] + above["height"] <= below["y"] for above, below in pairwise(cards))
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert re.match(rb"%PDF", tab.pdf())


def test_without_scripts_all_of_it_is_there(visit):
    tab = visit(java_script_enabled=False)
    assert shown(tab) == ALL and tab.locator(".controls:visible").count() == 0
    assert tab.locator(".cards img:visible").count() == 4
    assert "published: 0.27" in tab.locator(".cards > li").first.inner_text()


def test_an_animation_moves(visit):
    tab = visit("moving-signals")
    image = tab.locator("figure.moving img")
    assert image.evaluate("image => image.complete && image.naturalWidth") == 640
    assert tab.locator("figure.drawn .live svg").count() == 1  # the figure beside it came alive
    first = image.screenshot(animations="allow")
    tab.wait_for_timeout(1700)
    assert image.screenshot(animations="allow") != first
    still = visit("moving-signals", reduced_motion="reduce").locator("figure.moving img")
    before = still.screenshot(animations="allow")
    still.page.wait_for_timeout(1700)
    assert still.screenshot(animations="allow") == before
