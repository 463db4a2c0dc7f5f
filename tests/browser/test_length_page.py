"""The page of a path's images in a real browser: the slider, the pointer, the list, the dark, a phone, no scripts."""

import pytest

from flyroom.cli import main

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    page = tmp_path_factory.mktemp("length") / "path.html"
    words = ["length", "mlp:6-9-8-3:relu?seed=2", "--path", "circle:seed=1,radius=2", "--page", str(page)]
    assert main(words) == 0
    return page.as_uri()


@pytest.fixture
def visit(visits, address):
    return lambda **options: visits(address, **options)


def at(tab) -> str:
    """What the walk says above its first picture."""
    (said,) = [word for word in tab.locator("figure .live svg text").all_text_contents() if word.startswith("t = ")]
    return said


def overflows(tab):
    return tab.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


def test_the_slider_moves_along_the_path(visit):
    tab = visit()
    assert tab.locator("figure.drawn .live svg").count() == 3
    assert at(tab).startswith("t = 0.500, ")
    slider = tab.locator("input[type=range]")
    walk = tab.locator("figure[data-name=walk] .live svg")
    before = walk.inner_html()
    slider.fill("0.25")
    tab.wait_for_function("document.querySelector('.live').textContent.includes('t = 0.250')")
    assert at(tab).startswith("t = 0.250, ") and walk.inner_html() != before
    slider.press("ArrowRight")  # the keyboard will do
    tab.wait_for_function("document.querySelector('.live').textContent.includes('t = 0.258')")
    assert slider.bounding_box()["y"] < walk.bounding_box()["y"]


def test_the_pointer_moves_along_the_path(visit):
    tab = visit()
    tab.locator("figure[data-name=walk]").scroll_into_view_if_needed()
    box = tab.locator("figure[data-name=walk] .live svg").bounding_box()
    tab.mouse.move(box["x"] + 120, box["y"] + 120)
    tab.wait_for_function("!document.querySelector('.live').textContent.includes('t = 0.500')")
    value = float(tab.locator("input[type=range]").input_value())
    assert 0 < value < 0.3 and at(tab).startswith(f"t = {value:.3f}")


def test_units_of_another_layer_are_shown(visit):
    tab = visit()
    assert tab.locator("figure .live svg text", has_text="relu_1: ").count() == 1
    tab.locator("select").select_option(index=1)
    tab.locator("figure .live svg text", has_text="relu_2: ").wait_for()
    assert tab.locator("figure .live svg text", has_text="relu_1: ").count() == 0


def test_nothing_overflows_in_the_dark_and_on_a_phone(visit):
    assert not overflows(visit(color_scheme="dark"))
    assert not overflows(visit(width=390, height=844, is_mobile=True, has_touch=True))


def test_without_scripts_there_are_pictures_tables_and_the_latex(visit):
    tab = visit(java_script_enabled=False)
    assert tab.locator("figure picture img").count() == 3
    assert tab.locator("table").count() == 2
    tab.get_by_text("Open the LaTeX").click()
    assert r"\begin{enumerate}" in tab.locator("pre").inner_text()
