"""A site in a real browser: at the width of a phone and of a desktop, in both schemes, by keys."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from evaluator.site.render import render_site
from tests.helpers.renamed import renamed
from tests.helpers.synthetic import board

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.browser

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTHS = (390, 1280)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A board with long words: a class, a reason, a vendor."""
    found = board(results=60, vendors=12)
    found = renamed(found, ["w" * 200, *found.classes[1:]])
    rows = [
        replace(row, withdrawn=row.withdrawn and "word" * 99, vendor=row.vendor.ljust(63, "x"))
        for row in found.all
    ]
    found = replace(
        found,
        all=tuple(rows),
        rows=tuple(replace(row, vendor=row.vendor.ljust(63, "x")) for row in found.rows),
        aborted=(),
        published="long" * 99,
    )
    out = tmp_path_factory.mktemp("browser") / "site"
    render_site(found, None, out)
    return out


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A headless Chromium with a profile of its own, that logs its console and its requests."""
    driver = shutil.which("chromedriver")
    if driver is None:
        pytest.skip("Chromium's driver is missing: install chromium and chromium-driver.")
    options = webdriver.ChromeOptions()
    for flag in QUIET:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options, webdriver.ChromeService(driver)) as chrome:
        yield chrome


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    """The address of the site on a web server of this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def paths(site: Path) -> list[str]:
    """One page of each kind, and the longest submission."""
    vendor = next((site / "vendors").iterdir())
    run = max((site / "submissions").rglob("*.html"), key=lambda page: page.stat().st_size)
    withdrawn = next(
        page
        for page in (site / "submissions").rglob("*.html")
        if "The owner withdrew" in page.read_text(encoding="utf-8")
    )
    ends = (str(page.relative_to(site)) for page in (vendor, run, withdrawn))
    return ["index.html", "history.html", "verify.html", *ends]


def show(browser: webdriver.Chrome, link: str, width: int = 1280, scheme: str = "light") -> None:
    """Open a page as a screen of this width would, with its user's colour scheme."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get(link)


def log(browser: webdriver.Chrome, kind: str) -> list[dict[str, str]]:
    """What the browser has logged since the last call."""
    return list(browser.get_log(kind))  # type: ignore[no-untyped-call]  # selenium's


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_scrolls_sideways(browser: webdriver.Chrome, site: Path, width: int) -> None:
    """What is wider than the screen scrolls in a box of its own."""
    for path in paths(site):
        show(browser, (site / path).as_uri(), width)

        assert browser.execute_script("return document.documentElement.scrollWidth") <= width, path


def test_a_page_that_is_too_wide_would_be_seen(browser: webdriver.Chrome, site: Path) -> None:
    """The control: the same measure finds a box of 2000 px."""
    show(browser, (site / "index.html").as_uri(), 390)
    browser.execute_script(
        "document.querySelector('main').append(Object.assign(document.createElement('pre'),"
        "{textContent: 'x'.repeat(999)})); document.querySelector('pre').style.overflow='visible'"
    )

    assert browser.execute_script("return document.documentElement.scrollWidth") > 390


def test_the_page_follows_the_users_scheme(browser: webdriver.Chrome, site: Path) -> None:
    """Ground, text and the colours in a plot."""
    script = (
        "const of = (what, key) => getComputedStyle(document.querySelector(what))[key];"
        "return [of('body', 'backgroundColor'), of('body', 'color'), of('.plot text', 'fill')]"
    )
    seen = []
    for scheme in ("light", "dark"):
        show(browser, (site / "index.html").as_uri(), scheme=scheme)
        seen.append(browser.execute_script(script))

    assert seen[0][0] == "rgb(255, 255, 255)"
    assert all(light != dark for light, dark in zip(*seen, strict=True))


def test_a_table_is_sorted_by_keys_alone(browser: webdriver.Chrome, site: Path) -> None:
    """Tab to a heading, Enter, and again: rows, aria-sort and a spoken sentence agree."""
    show(browser, (site / "index.html").as_uri())
    order = (
        "return [...document.querySelectorAll('#board-caption ~ tbody th')].map(e => e.textContent)"
    )
    ranked = browser.execute_script(order)
    button = browser.find_element(By.XPATH, "//th[normalize-space()='Vendor']/button")
    keys = webdriver.ActionChains(browser)
    for _ in range(40):
        if browser.switch_to.active_element == button:
            break
        keys.send_keys(Keys.TAB).perform()
    heading = button.find_element(By.XPATH, "..")

    browser.switch_to.active_element.send_keys(Keys.ENTER)
    up = browser.execute_script(order)
    assert heading.get_attribute("aria-sort") == "ascending"
    assert up == sorted(ranked)
    assert browser.find_element(By.ID, "said").get_attribute("textContent") == (
        "Sorted by Vendor, ascending."
    )
    browser.switch_to.active_element.send_keys(Keys.SPACE)
    assert heading.get_attribute("aria-sort") == "descending"
    assert browser.execute_script(order) == sorted(ranked, reverse=True)
    assert len(browser.find_elements(By.CSS_SELECTOR, "th[aria-sort]")) == 1


def test_numbers_are_sorted_as_numbers_and_gaps_stay_last(
    browser: webdriver.Chrome, site: Path
) -> None:
    """By what they are, not by how they are written."""
    show(browser, (site / "index.html").as_uri())
    column = (
        "return [...document.querySelectorAll('#board-caption ~ tbody tr')]"
        ".map(row => row.cells[arguments[0]].dataset.v)"
    )
    heading = browser.find_element(By.XPATH, "//th[contains(., 'Price')]")
    place = browser.execute_script("return arguments[0].cellIndex", heading)
    for reverse in (False, True):
        heading.find_element(By.TAG_NAME, "button").click()
        found = browser.execute_script(column, place)
        known = [float(value) for value in found if value]

        assert known == sorted(known, reverse=reverse)
        assert found[len(known) :] == [""] * (len(found) - len(known))


def test_without_the_script_the_board_is_there_and_ranked(
    browser: webdriver.Chrome, site: Path
) -> None:
    """Headings are text, rows are in their order."""
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        show(browser, (site / "index.html").as_uri())

        assert not browser.find_elements(By.TAG_NAME, "button")
        cells = browser.find_elements(By.CSS_SELECTOR, "#board-caption ~ tbody td:first-child")
        ranks = [int(cell.get_attribute("data-v") or 99) for cell in cells]
        assert ranks == sorted(ranks)
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_nothing_is_asked_of_anyone_and_nothing_complains(
    browser: webdriver.Chrome, site: Path, served: str
) -> None:
    """From a web server: the pages themselves are all that is requested, the console is empty."""
    for kind in ("browser", "performance"):
        log(browser, kind)  # of pages before
    for path in paths(site):
        show(browser, served + path)

    entries = log(browser, "performance")
    messages = [json.loads(entry["message"])["message"] for entry in entries]
    asked = {
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }
    assert {url for url in asked if not url.startswith("data:")} == {
        served + path for path in paths(site)
    }
    assert log(browser, "browser") == []


def test_the_policy_stops_what_is_planted_in_a_page(
    browser: webdriver.Chrome, site: Path, tmp_path: Path
) -> None:
    """The control of the last test, and the wall behind escaping: it is seen, and stopped."""
    text = (site / "index.html").read_text(encoding="utf-8")
    planted = "<script>document.title = 'taken'</script><img src='http://127.0.0.1:9/x.png'>"
    page = tmp_path / "planted.html"
    page.write_text(text.replace("</main>", f"{planted}</main>"), encoding="utf-8")
    log(browser, "browser")
    show(browser, page.as_uri())

    said = " ".join(entry["message"] for entry in log(browser, "browser"))
    assert browser.title.startswith("Leaderboard")
    assert said.count("Content Security Policy") == 2
