"""A real browser without a window, for tests that open the servers' pages."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.requirements import require_program

WAIT_S = 60.0
_VANISHED = (StaleElementReferenceException,)
_FLAGS = (
    '--headless=new',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--disable-quic',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--no-first-run',
    '--window-size=1280,1400',
)


@dataclass(frozen=True)
class Browser:
    """A browser that is controlled by WebDriver."""

    driver: Chrome

    def open(self, url: str) -> None:
        """Opens a page and returns when it is loaded."""
        self.driver.get(url)

    def find(self, selector: str, *, text: str = '') -> WebElement:
        """Waits for a visible element and returns it.

        Args:
            selector: CSS selector.
            text: What the element must contain.

        Raises:
            TimeoutException: There is none after ``WAIT_S``; the message says what was looked for.
        """

        def look(driver: Chrome) -> WebElement | None:
            for element in driver.find_elements(By.CSS_SELECTOR, selector):
                if element.is_displayed() and text in element.text:
                    return element
            return None

        found: WebElement = WebDriverWait(self.driver, WAIT_S, ignored_exceptions=_VANISHED).until(
            look, f'no {selector} with {text!r}'
        )
        return found

    def click(self, selector: str, *, text: str = '') -> None:
        """Waits for an element, scrolls to it and clicks it."""
        element = self.find(selector, text=text)
        self.driver.execute_script('arguments[0].scrollIntoView({block: "center"})', element)
        element.click()

    def run(self, script: str, *arguments: Any) -> Any:
        """Runs JavaScript in the page, in which ``done(result)`` ends it, and returns the result."""
        return self.driver.execute_async_script(f'const done = arguments[arguments.length - 1]; {script}', *arguments)

    def requested(self) -> set[str]:
        """Returns the URLs of all requests since the last call, whatever became of them.

        What the browser itself kept from being sent, for the policy of its page, isn't among them.
        """
        urls: dict[str, str] = {}
        for entry in self.driver.get_log('performance'):
            message = json.loads(entry['message'])['message']
            params = message['params']
            if message['method'] == 'Network.requestWillBeSent':
                urls[params['requestId']] = params['request']['url']
            elif message['method'] == 'Network.loadingFailed' and params.get('blockedReason') == 'csp':
                urls.pop(params['requestId'], None)
        return {url for url in urls.values() if urlsplit(url).scheme not in ('data', 'blob', 'about', 'chrome')}

    def picture(self, path: Path) -> None:
        """Writes what the window shows to a PNG file."""
        self.driver.save_screenshot(str(path))


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Starts Chromium with an empty profile, and ends it with all its processes."""
    chromium = require_program('chromium', package='chromium')
    driver = require_program('chromedriver', package='chromium-driver')
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ChromeOptions()
        options.binary_location = chromium
        for flag in (*_FLAGS, f'--user-data-dir={profile}'):
            options.add_argument(flag)
        options.set_capability('goog:loggingPrefs', {'performance': 'ALL', 'browser': 'ALL'})
        started = Chrome(options=options, service=ChromeService(driver))
        try:
            started.set_script_timeout(WAIT_S)
            started.set_page_load_timeout(WAIT_S)
            yield Browser(started)
        finally:
            started.quit()
