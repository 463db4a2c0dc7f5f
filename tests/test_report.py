"""The page holds everything, escapes everything, and asks for nothing."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_records import ANIMATION, ROW, account, results, scattered, shelf

from flyroom import plot, report
from flyroom.records import Evidence, Verdict
from flyroom.report import _figures, _html
from flyroom.store import key, open_store

HOSTILE = "</script></title>\"'><img src=x onerror=alert(1)><script>alert(2)</script>&amp;"


class Reader(HTMLParser):
    """What a browser would see: elements, and the text outside scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text, self.open = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data):
        if not self.open:
            self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def made():
    return results()


@pytest.fixture(scope="module")
def page(made):
    return report.page(account(made), made)


def test_page_says_everything(page, made):
    text = " ".join(" ".join(Reader(page).text).split())
    for words in (
        "Spatial priors separate networks on MNIST-1D", "are told apart by their accuracy",
        "Greydanus and Kobak (2020)", "linear 32 ± 1, MLP 68 ± 2", "The order holds",
        "supported", "excluded", "undecided", "0.262 to 0.279", "68 ± 2 %", "0.0059", "estimate", "(headline)",
        "93.3 [92.8, 93.9]", "test_accuracy", "python3 lab.py run spatial-prior --runs 10", "jax 0.10.0", "AMD EPYC",
        "3000 steps of 6000; at 6000 the order is the same.", "about 90 s on two cores",
        "ab" * 32, "2026-11-21T06:40:00Z", "84.2 s wall, 160.1 s processor", "Keys of the 80 runs",
    ):  # fmt: skip
        assert words in text, words
    for result in made:
        assert f'title="{result.values["test_accuracy"]!r}"' in page  # to the last digit


def test_every_seed_is_a_row(page, made):
    body = re.search(r'<table class="sortable">.*?<tbody>(.*?)</tbody>', page, re.S)
    assert body and body[1].count("<tr>") == len(made) == 80


def test_nothing_is_fetched(page):
    reader = Reader(page)
    for tag, attrs in reader.elements:
        for name in ("src", "href", "srcset", "action", "data"):
            assert attrs.get(name, "data:").startswith(("data:", "#")), (tag, name, attrs[name][:80])
    policy = next(a["content"] for a in reader.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;") and "http" not in policy
    style = _html.part("page.css")
    assert "url(" not in style and "@import" not in style


def test_figures_show_without_scripts(page):
    images = Reader(page).all("img")
    assert len(images) == 2 and all(image["alt"] for image in images)
    for image in images:
        assert base64.b64decode(image["src"].partition(",")[2]).startswith(b"<svg")
    links = [a for a in Reader(page).all("a") if "download" in a]
    assert [link["download"] for link in links] == ["spatial-prior-1.pdf", "spatial-prior-2.pdf"]
    assert base64.b64decode(links[0]["href"].partition(",")[2]).startswith(b"%PDF")


def test_hostile_text_stays_text(made):
    run = replace(made[0].run, settings={"net" + HOSTILE: HOSTILE, "shuffled": [HOSTILE]}, data={"recipe": HOSTILE})
    hostile = [replace(made[0], run=run, values={HOSTILE: 0.5})]
    page = report.page(account(hostile, mark=HOSTILE), hostile)
    reader = Reader(page)
    assert all("onerror" not in attrs for _, attrs in reader.elements)
    assert len(reader.all("img")) == 1 and len(reader.all("script")) == 4
    assert sum(text.count("alert(2)") for text in reader.text) > 25  # there to be read, and nowhere else
    assert "alert(2)</script>" not in page
    assert "alert(2)" not in report.gallery([account(hostile, mark=HOSTILE)]).replace("alert(2)&lt;/script&gt;", "")


def test_values_that_are_missing_or_not_finite_are_shown_as_they_are(made):
    odd = [replace(made[0], values={"a": float("nan")}), replace(made[1], values={"b": -0.25})]
    page = report.page(replace(account(made), figures={}), odd)
    assert 'data-value="nan" title="nan">nan</td>' in page and ">\u22120.25</td>" in page


def test_page_without_figures_table_or_results(made):
    full = account(made)
    bare = replace(full, figures={}, judgement=replace(full.judgement, table=(), statements=()))
    page = report.page(bare, [])
    assert "<h2>Figures" not in page and "<h2>Result" not in page and "<h2>Every seed" not in page
    assert "How to reproduce" in page


def test_headings_and_labels(page):
    reader = Reader(page)
    assert len(reader.all("h1")) == 1 and reader.all("html")[0]["lang"] == "en"
    assert all(cell.get("scope") in ("col", "row") for cell in reader.all("th"))
    assert all(box.get("aria-label") for tag, box in reader.elements if box.get("tabindex") and tag == "div")


def test_a_page_that_stands_alone_links_nowhere_and_one_on_the_shelf_to_its_neighbours(page, made):
    assert "<nav" not in page
    first, *_ = accounts = shelf(made)
    ids = ["deep/double", "lottery", "spatial-prior", "tails"]
    abouts = [replace(first.about, id=name, title=f"Title of {name}") for name in ids]
    bare = replace(accounts[2], figures={})
    links = {}
    for name in ids:
        reader = Reader(report.page(replace(bare, about=replace(bare.about, id=name)), [], shelf=abouts))
        links[name] = [a["href"] for a in reader.all("a") if not a["href"].startswith("#")]
        assert links[name][: len(links[name]) // 2] * 2 == links[name]  # above and below
        links[name] = links[name][: len(links[name]) // 2]
    assert links["deep/double"] == ["index.html", "lottery.html"]
    assert links["lottery"] == ["index.html", "deep%252Fdouble.html", "spatial-prior.html"]
    assert links["tails"] == ["index.html", "spatial-prior.html"]


def test_a_page_says_what_other_settings_led_to(made):
    full = replace(account(made), figures={})
    quick = replace(
        full,
        settings={"steps": 300, "optimiser": "adam", "runs": 1},
        judgement=replace(full.judgement, verdict=Verdict.refuted, runs=8),
    )
    older = replace(full, judgement=replace(full.judgement, version=0))
    text = " ".join("".join(Reader(report.page(full, [], others=[quick, older])).text).split())
    assert "Judged under other settings too: ✗ refuted with steps 300, runs 1 (8 runs);" in text
    assert "? undecided with version 0 (80 runs)." in text
    assert "other settings too" not in report.page(full, [])


def test_a_page_without_a_default_cost_or_a_shorter_protocol_says_nothing_of_them(made):
    full = replace(account(made), figures={})
    page = report.page(replace(full, about=replace(full.about, cost_s=0.0, shortened="")), [])
    assert "Shorter than published" not in page and "A default run takes" not in page


def test_an_animation_is_a_picture_and_needs_no_vega(made):
    moving = replace(account(made), figures={"From stage to stage.": ANIMATION})
    page = report.page(moving, [])
    reader = Reader(page)
    (image,) = reader.all("img")
    assert base64.b64decode(image["src"].partition(",")[2]).decode() == ANIMATION
    (link,) = [a for a in reader.all("a") if "download" in a]
    assert link["download"] == "spatial-prior-1.svg" and link["href"] == image["src"]
    (source,) = reader.all("source")
    still = base64.b64decode(source["srcset"].partition(",")[2]).decode()
    assert "prefers-reduced-motion" in source["media"] and still.endswith(".still{display:inline}</style></svg>\n")
    assert len(page) < 100_000 and "unsafe-eval" not in page and "data-name" not in page.split("<script")[0]
    curve = plot.curves([ROW | {"net": "mlp", "data": "plain"}])
    both = report.page(replace(moving, figures={**moving.figures, "": curve}), [])
    assert len(both) > 500_000 and "unsafe-eval" in both and len(Reader(both).all("img")) == 2
    with pytest.raises(ValueError, match=r"or an SVG that begins with <svg; got 'curve\.png'"):
        report.page(replace(moving, figures={"": "curve.png"}), [])


# The gallery


def cards(page):
    """The text of each card, by its title."""
    found = re.findall(r"<li data-verdict=.*?<h2><a[^>]*>(.*?)</a>.*?</li>", page, re.S)
    texts = [
        " ".join("".join(Reader(card).text).split()) for card in re.findall(r"<li data-verdict=.*?</li>", page, re.S)
    ]
    return dict(zip(found, texts, strict=True))


@pytest.fixture(scope="module")
def gallery(made):
    return report.gallery(shelf(made))


def test_gallery_links_to_each_page(made):
    first = account(made)
    second = replace(first, about=replace(first.about, id="a/b", title="Other"), figures={})
    reader = Reader(report.gallery([first, second]))
    titles = [a["href"] for a in reader.all("a") if a["href"] != "#main" and "tabindex" not in a]
    assert titles == ["spatial-prior.html", "a%252Fb.html"]
    assert report.filename(second) == "a%2Fb.html"  # the name on the disk; the link quotes its percent sign
    assert "2 claims: 2 undecided." in " ".join(reader.text)
    assert "No claim has been judged yet" in report.gallery([])


def test_a_card_says_what_was_found_beside_what_was_published(gallery):
    found = cards(gallery)
    assert len(found) == 5
    card = found["Test error rises again where data are just fitted"]
    for words in (
        "✗ refuted", "evidence: exact", "whatever the seed", "0.27 (0.262 to 0.279)", "published: 0.27",
        "Greydanus and Kobak (2020)", "12 runs", "3.2 s by the clock", "2.2 h of processor time",
    ):  # fmt: skip
        assert words in card, words
    assert [card.count("The MLP is less accurate than the GRU.") for card in found.values()] == [1, 1, 2, 3, 3]
    assert [re.findall(r"and \d+ more headline statements?", card) for card in found.values()] == [
        ["and 1 more headline statement"], [], [], [], ["and 1 more headline statement"]
    ]  # fmt: skip
    assert "5 claims: 3 supported, 1 refuted, 1 undecided. 128 networks, 13.4 h of processor time." in gallery


def test_evidence_is_the_weakest_among_the_headlines(made):
    first = account(made)
    one, two, three = first.judgement.statements

    def card(*statements):
        judgement = replace(first.judgement, statements=statements)
        return report.gallery([replace(first, figures={}, judgement=judgement)])

    strong, weak = replace(one, evidence=Evidence.certified), replace(three, evidence=Evidence.single)
    assert "evidence: single" in card(strong, weak)
    assert "evidence: certified" in card(strong, replace(two, evidence=Evidence.single))  # which is no headline
    assert "evidence:" not in card(two)


def test_gallery_is_there_without_scripts_and_asks_for_nothing(gallery):
    reader = Reader(gallery)
    (form,) = reader.all("form")
    assert "hidden" in form  # its controls would do nothing
    assert all("hidden" not in attrs for attrs in reader.all("li"))
    assert all(attrs.get("src", "data:").startswith("data:") for _, attrs in reader.elements)
    policy = next(a["content"] for a in reader.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "unsafe-eval" not in policy and policy.startswith("default-src 'none'")


def test_a_thumbnail_of_thousands_of_points_is_a_small_picture(gallery, made):
    sources = {i["alt"]: i["src"] for i in Reader(gallery).all("img")}
    kinds = [source[:18] for source in sources.values()]
    assert kinds.count("data:image/png;bas") == 1 and kinds.count("data:image/svg+xml") == len(kinds) - 1 >= 2
    svg = len(plot.render(scattered(1500), "svg"))
    picture = next(source for source in sources.values() if source.startswith("data:image/png"))
    assert len(picture) < svg and svg > 4 * _figures.THUMBNAIL


def test_a_page_leaves_out_what_would_outweigh_it(made, monkeypatch):
    monkeypatch.setattr(_figures, "PDF", 1000)
    page = report.page(replace(account(made), figures={"": plot.curves([ROW | {"net": "mlp", "data": "plain"}])}), [])
    assert [a for a in Reader(page).all("a") if "download" in a] == [] and len(Reader(page).all("img")) == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "0 s"), (0.0123, "0.012 s"), (5.246, "5.2 s"), (84, "84 s"), (119.4, "119 s"), (120, "2 min"),
     (7199, "120 min"), (7200, "2.0 h"), (86_400, "24.0 h")],
)  # fmt: skip
def test_times_are_read_easily(seconds, words):
    assert _html.duration(seconds) == words


# All pages of a store


def test_publish_writes_every_page_from_the_store_alone(tmp_path, made):
    keys = tuple(key(one.run) for one in made[:3])
    kept = [replace(one, keys=keys, figures={"From stage to stage.": ANIMATION}) for one in shelf(made)]
    quick = replace(kept[0], settings={"steps": 3}, judgement=replace(kept[0].judgement, runs=1))
    with open_store(tmp_path / "store") as store:
        with pytest.raises(ValueError, match="holds no verdict on any claim; flyroom run makes one"):
            list(report.publish(store, tmp_path / "pages"))
        store.add(made, kept[0].provenance)
        for one in (*kept, quick):
            store.keep(one)
        written = list(report.publish(store, tmp_path / "pages"))
        names = ["deep-double-descent", "lottery", "moving-signals", "points", "spatial-prior", "index"]
        assert [path.name for path in written] == [f"{name}.html" for name in names]
        page = written[4].read_text("utf-8")
        assert page.count('<td class="number" data-value') and "with steps 3, no optimiser (1 run)" in page
        assert "Keys of the 3 runs" in page and len(re.findall(r"<tr><td>", page.split("<h2>Every seed")[1])) == 3
        links = {a["href"] for path in written for a in Reader(path.read_text("utf-8")).all("a")}
        local = {link for link in links if not link.startswith(("#", "data:"))}
        assert local == {path.name for path in written}
        with pytest.raises(ValueError, match="holds no verdict on absent"):
            list(report.publish(store, tmp_path / "few", ["points", "absent"]))
        assert not (tmp_path / "few").exists()
        few = list(report.publish(store, tmp_path / "few", ["deep-double-descent"]))
        assert [path.name for path in few] == ["deep-double-descent.html", "index.html"]
        assert len(cards(few[1].read_text("utf-8"))) == 5


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_a_badge_and_a_style(verdict):
    assert f'class="badge {verdict.value}"' in _html.badge(verdict)
    assert f".{verdict.value}" in _html.part("page.css")


def test_write_is_whole_or_nothing(tmp_path, monkeypatch):
    path = report.write("old", tmp_path / "page.html")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        report.write("new", path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    assert report.write("é", path).read_text("utf-8") == "é"


def test_write_names_what_is_wrong(tmp_path: Path):
    with pytest.raises(IsADirectoryError, match="give the name of a file"):
        report.write("", tmp_path)
    with pytest.raises(FileNotFoundError, match="make the directory first"):
        report.write("", tmp_path / "absent" / "page.html")


@pytest.mark.parametrize("scheme", [0, 1])
def test_colours_can_be_read(scheme):
    """WCAG AA, 4.5 to 1, for every text colour on every paper that it stands on, light and dark."""
    block = re.findall(r":root \{(.*?)\}", _html.part("page.css"), re.S)[scheme]
    colour = dict(re.findall(r"--([\w-]+): (#\w{6})", block))

    def luminance(name):
        parts = [int(colour[name][i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05

    pairs = [(text, paper) for text in ("ink", "quiet", "link") for paper in ("paper", "card")]
    for text, paper in [*pairs, ("good", "good-paper"), ("bad", "bad-paper"), ("open", "open-paper")]:
        low, high = sorted((luminance(text), luminance(paper)))
        assert high / low >= 4.5, (text, paper)
