"""docs/paint.png, of the demo run: python -m tests.paint_screenshot --lastoutput output/ --out docs/paint.png"""
import argparse
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser import ARGUMENTS, BROWSER, Page
from tests.painting import served

MAP, CLASS = 2, 'elephant'


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--lastoutput', default='output/', help='a run of the demo')
    parser.add_argument('--out', default='docs/paint.png')
    given = parser.parse_args()
    with sync_playwright() as player, served(Path(given.lastoutput).parent) as server:
        browser = player.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        page = Page(browser, server)
        page.tab.click('#new')
        page.tab.locator('#start-maps button').nth(MAP).click()
        page.choose(next(entry['id'] for entry in server.model['classes'] if entry['name'] == CLASS))
        page.tab.click('#new-object')
        page.stroke((0.75, 0.55), (0.85, 0.6))
        page.tab.check('#edges')
        page.tab.mouse.move(*page.at(0.85, 0.6))
        page.settle()
        page.tab.screenshot(path=given.out)
        browser.close()


if __name__ == '__main__':
    main()
