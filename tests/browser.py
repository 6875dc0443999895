"""The page in a real browser: Debian's chromium, driven by Playwright. Tests are skipped where there is none."""
import base64
import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.forked import HANGS, until

BROWSER = next(filter(None, map(shutil.which, (os.environ.get('SPADE_BROWSER', ''), 'chromium', 'chromium-browser',
                                               'google-chrome'))), None)
ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
             '--disable-component-update', '--disable-sync']
SETTLED = "document.body.dataset.painting === 'false'"


class Page:
    """The page in a separate tab. `wrong` collects errors of the console; a test must end without any."""

    def __init__(self, browser, server, width=1280, height=800, **options):
        self.server = server
        self.context = browser.new_context(viewport=dict(width=width, height=height), accept_downloads=True,
                                           **{'locale': 'en-US', **options})
        self.context.grant_permissions(['clipboard-read', 'clipboard-write'])
        self.context.set_default_timeout(1000 * HANGS)
        self.open_tab()

    def open_tab(self, address=None):
        self.tab, self.wrong = self.context.new_page(), []
        self.tab.on('console', lambda message: message.type == 'error' and self.wrong.append(message.text))
        self.tab.on('pageerror', lambda error: self.wrong.append(str(error)))
        self.tab.goto(address or self.server.address)
        self.tab.wait_for_selector('body[data-ready=true]')
        self.settle()

    def until(self, expression):
        """Wait until the JavaScript expression is true; Playwright's own waiting would need eval in the page."""
        until(lambda: self.tab.evaluate(expression))

    def settle(self):
        self.until(SETTLED)

    def pixels(self, name):
        """uint8 (H, W, 3) of the canvas 'map' or 'picture'."""
        found = self.tab.evaluate("""(name) => {
            const canvas = document.getElementById(name);
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            const text = data.reduce((text, byte) => text + String.fromCharCode(byte), '');
            return [canvas.height, canvas.width, btoa(text)];
        }""", name)
        height, width, content = found
        return np.frombuffer(base64.b64decode(content), np.uint8).reshape(height, width, 4)[..., :3]

    def picture(self):
        self.settle()
        return self.pixels('picture')

    def map(self):
        self.tab.evaluate('() => new Promise(requestAnimationFrame)')
        self.tab.evaluate('() => new Promise(requestAnimationFrame)')
        return self.pixels('map')

    def layer(self):
        """What is drawn above the map, as text."""
        self.tab.mouse.move(1, 1)
        return self.tab.evaluate("document.getElementById('layer').toDataURL()")

    def at(self, x, y):
        """Position on the screen of a place of the map, 0 .. 1."""
        box = self.tab.locator('#map-frame').bounding_box()
        return box['x'] + x * box['width'], box['y'] + y * box['height']

    def stroke(self, *places, steps=6):
        self.tab.mouse.move(*self.at(*places[0]))
        self.tab.mouse.down()
        for place in places[1:]:
            self.tab.mouse.move(*self.at(*place), steps=steps)
        self.tab.mouse.up()

    def tool(self, name):
        self.tab.click(f'#tools [data-tool={name}]')

    def choose(self, index):
        self.tab.click(f'#class-list [data-id="{index}"]')

    def slide(self, name, value):
        self.tab.locator(f'#{name}').evaluate('(slider, value) => { slider.value = value; '
                                              'slider.dispatchEvent(new Event("input")); }', value)

    def saved(self, what):
        """bytes of the file that the menu saves."""
        self.tab.click('#save-menu summary')
        with self.tab.expect_download() as download:
            self.tab.click(f'[data-save={what}]')
        with open(download.value.path(), 'rb') as file:
            return file.read()

    def message(self):
        self.tab.wait_for_selector('#message:not([hidden])')
        return self.tab.inner_text('#message p')

    def close(self):
        self.context.close()
        assert self.wrong == []


def image(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def colour(server, index):
    return tuple(server.model['classes'][index]['colour'])


# ---- Fixtures: tests/conftest.py takes them in

@pytest.fixture(scope='module')
def browser():
    playwright = pytest.importorskip('playwright.sync_api', reason='pip install -r tests/requirements.txt')
    if BROWSER is None:
        pytest.skip('no chromium on PATH: apt-get install chromium')
    with playwright.sync_playwright() as player:
        chromium = player.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, server):
    found = Page(browser, server)
    yield found
    found.close()
