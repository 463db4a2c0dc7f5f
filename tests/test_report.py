"""The page holds everything, escapes everything, and asks for nothing."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_records import account, results

from flyroom import report
from flyroom.records import Verdict

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
            assert attrs.get(name, "data:").startswith("data:"), (tag, name, attrs[name][:80])
    policy = next(a["content"] for a in reader.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;") and "http" not in policy
    style = report._part("page.css")
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


def test_gallery_links_to_each_page(made):
    first = account(made)
    second = replace(first, about=replace(first.about, id="a/b", title="Other"), figures={})
    reader = Reader(report.gallery([first, second]))
    assert [a["href"] for a in reader.all("a")] == ["spatial-prior.html", "a%252Fb.html"]
    assert report.filename(second) == "a%2Fb.html"  # the name on the disk; the link quotes its percent sign
    assert "2 undecided" in " ".join(reader.text)
    assert "No claim has been judged yet" in report.gallery([])


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_a_badge_and_a_style(verdict):
    assert f'class="badge {verdict.value}"' in report._badge(verdict)
    assert f".{verdict.value}" in report._part("page.css")


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
    block = re.findall(r":root \{(.*?)\}", report._part("page.css"), re.S)[scheme]
    colour = dict(re.findall(r"--([\w-]+): (#\w{6})", block))

    def luminance(name):
        parts = [int(colour[name][i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05

    pairs = [(text, paper) for text in ("ink", "quiet", "link") for paper in ("paper", "card")]
    for text, paper in [*pairs, ("good", "good-paper"), ("bad", "bad-paper"), ("open", "open-paper")]:
        low, high = sorted((luminance(text), luminance(paper)))
        assert high / low >= 4.5, (text, paper)
