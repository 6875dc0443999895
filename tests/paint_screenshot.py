"""docs/paint.png, of a map drawn by hand on the page, with the shipped model: python -m tests.paint_screenshot"""
import argparse
import math
import random
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser import ARGUMENTS, BROWSER, Page
from tests.painting import served

MAIN, BAY, ALLEY = 0.56, 0.86, 0.3      # heights of the main road, the shore and a second road, of 0 .. 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--lastoutput', default='pretrained/aerial', help='the model of aerial photographs')
    parser.add_argument('--out', default='docs/paint.png')
    given = parser.parse_args()
    with sync_playwright() as player, served(Path(), '--lastoutput', given.lastoutput) as server:
        browser = player.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        page = Page(browser, server, height=740)
        draw(page, {entry['name']: entry['id'] for entry in server.model['classes']})
        page.tab.mouse.move(*page.at(0.7, 0.93))
        page.settle()
        page.tab.screenshot(path=given.out)
        page.close()
        browser.close()


def draw(page, classes):
    """A town at a bay: sea, roads, a park with a pond, trees, houses along the roads."""
    page.tab.click('#new')
    page.tab.select_option('#start-class', str(classes['land']))
    page.tab.click('#start-empty')
    pen(page, classes['water'], 60)
    page.stroke(*((x / 10, shore(x / 10) + 0.06) for x in range(11)), steps=4)
    page.tool('fill')
    page.tab.mouse.click(*page.at(0.03, 0.98))
    page.tab.mouse.click(*page.at(0.97, 0.98))
    pen(page, classes['vegetation'], 8, 'ellipse')
    page.stroke((0.06, 0.06), (0.36, 0.24))
    pen(page, classes['water'], 8, 'ellipse')
    page.stroke((0.16, 0.1), (0.25, 0.17))
    pen(page, classes['road'], 10)
    page.stroke(*((x / 10, main_road(x / 10)) for x in range(11)), steps=4)
    page.stroke((0, ALLEY), (1, ALLEY), steps=10)
    for x in (0.12, 0.43, 0.74):
        page.stroke((x + 0.02, 0 if x > 0.4 else ALLEY), (x, 0.4), (x - 0.01, main_road(x)), steps=6)
    pen(page, classes['road'], 6)
    page.stroke((0.58, main_road(0.58)), (0.585, 0.72), (0.6, 0.97), steps=6)     # to a jetty
    wander = random.Random(0)
    for name, places in (('building', houses()), ('vegetation', trees())):
        for x, y in places:
            wide, high = (wander.uniform(0.026, 0.036), wander.uniform(0.03, 0.042)) if name == 'building' else (
                0.018, 0.02)
            pen(page, classes[name], 8, 'rectangle' if name == 'building' else 'ellipse')
            x, y = x + wander.uniform(-0.005, 0.005), y + wander.uniform(-0.006, 0.006)
            page.stroke((x - wide / 2, y - high / 2), (x + wide / 2, y + high / 2), steps=2)
    pen(page, classes['land'], 14)
    page.stroke((0.9, shore(0.9)), (0.93, 0.9), (0.88, 0.95), (0.82, 0.96), steps=4)      # a breakwater


def shore(x):
    return BAY - 0.05 + 0.05 * math.sin(5 * x + 1)


def main_road(x):
    return MAIN + 0.04 * math.sin(5 * x)


def houses():
    """Places of houses on both sides of the roads, away from crossings and the park."""
    columns = [x / 100 for x in range(4, 100, 5)]
    free = [x for x in columns if min(abs(x - road) for road in (0.12, 0.43, 0.74)) > 0.035]
    return [(x, main_road(x) + side) for x in free for side in (-0.06, 0.06)] + \
        [(x, ALLEY + 0.06) for x in free] + [(x, ALLEY - 0.06) for x in free if x > 0.4] + \
        [(x + side, y) for x in (0.45, 0.76) for side in (-0.045, 0.045) for y in (0.04, 0.1, 0.16)]


def trees():
    return [(x / 100, shore(x / 100) - 0.1) for x in range(3, 100, 6) if x != 57]


def pen(page, index, size, tool='brush'):
    page.tool(tool)
    page.choose(index)
    if tool == 'brush':
        page.slide('size', size)


if __name__ == '__main__':
    main()
