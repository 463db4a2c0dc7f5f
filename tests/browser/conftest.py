"""A headless Chromium, and visits in which every complaint and every request is watched."""

import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="module")
def browser():
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        pytest.skip(f"no Chromium was found under the names {', '.join(NAMES)}: apt-get install chromium")
    with driver.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visits(browser):
    """Open a page; at the end nothing may have been complained of, and nothing asked for but files beside it."""
    complaints, requests, contexts = [], [], []

    def go(address, width=1100, height=900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: requests.append((request.url, address.rpartition("/")[0])))
        tab.goto(address)
        if options.get("java_script_enabled", True):
            tab.wait_for_selector("html[data-ready]", timeout=30_000)
        return tab

    yield go
    for context in contexts:
        context.close()
    assert complaints == []
    strange = [url for url, folder in requests if not url.startswith((f"{folder}/", "data:", "blob:"))]
    assert strange == []
    assert all(url.endswith(".html") for url, _ in requests if url.startswith("file:"))
