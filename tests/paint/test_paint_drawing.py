"""Drawing on the page, in a real browser, and how its picture follows."""
import numpy as np
import pytest

from tests.browser import Page, colour, image
from tests.forked import until

# ---- Drawing

def test_a_stroke_changes_map_and_picture_and_undo_restores_them(page, server):
    before = page.map(), page.picture()
    page.choose(5)
    page.stroke((0.2, 0.2), (0.8, 0.8))
    after = page.map(), page.picture()
    assert not np.array_equal(before[0], after[0]) and not np.array_equal(before[1], after[1])
    assert tuple(after[0][16, 16]) == colour(server, 5)
    page.tab.keyboard.press('Control+z')
    assert np.array_equal(page.map(), before[0]) and np.array_equal(page.picture(), before[1])
    page.tab.keyboard.press('Control+Shift+z')
    assert np.array_equal(page.map(), after[0]) and np.array_equal(page.picture(), after[1])
    assert 'painted in' in page.tab.inner_text('#status')


@pytest.mark.thorough
@pytest.mark.parametrize('tool, inside, outside', [
    ('line', (16, 16), (8, 24)), ('rectangle', (10, 22), (2, 2)), ('ellipse', (16, 16), (8, 8)),
    ('polygon', (10, 16), (24, 4))])
def test_shapes(page, server, tool, inside, outside):
    """Each covers what it must and nothing else."""
    page.tool('fill')
    for index in (1, 2):    # whatever there was becomes one class
        page.tab.click('#new')
        page.tab.select_option('#start-class', str(index))
        page.tab.click('#start-empty')
    page.choose(7)
    page.tool(tool)
    if tool == 'polygon':
        for place in ((0.1, 0.1), (0.1, 0.9), (0.9, 0.9)):
            page.tab.mouse.click(*page.at(*place))
        page.tab.keyboard.press('Enter')
    else:
        page.stroke((0.2, 0.2), (0.8, 0.8))
    found = page.map()
    assert tuple(found[inside[1], inside[0]]) == colour(server, 7)
    assert tuple(found[outside[1], outside[0]]) == colour(server, 2)
    page.tab.click('#undo')
    assert (page.map() == colour(server, 2)).all()


@pytest.mark.thorough
def test_fill_pick_erase_and_escape(page, server):
    page.tab.click('#new')
    page.tab.select_option('#start-class', '3')
    page.tab.click('#start-empty')
    page.choose(4)
    page.tool('rectangle')
    page.stroke((0.25, 0.25), (0.75, 0.75))
    page.tool('fill')
    page.choose(6)
    page.tab.mouse.click(*page.at(0.5, 0.5))
    found = page.map()
    assert tuple(found[16, 16]) == colour(server, 6) and tuple(found[2, 2]) == colour(server, 3)
    page.tool('pick')
    page.tab.mouse.click(*page.at(0.05, 0.05))
    assert page.tab.inner_text('#current') == '3'
    page.tool('erase')
    page.tab.mouse.click(*page.at(0.5, 0.5))
    assert tuple(page.map()[16, 16]) == (0, 0, 0)
    label = image(page.saved('label'))
    assert label[16, 16] == 255 and label[2, 2] == 3 and label.dtype == np.uint8
    before = page.map()
    page.tool('polygon')
    for place in ((0.1, 0.1), (0.1, 0.9), (0.9, 0.9)):
        page.tab.mouse.click(*page.at(*place))
    page.tab.keyboard.press('Escape')
    assert np.array_equal(page.map(), before)


@pytest.mark.thorough
def test_redo_in_the_middle_of_a_polygon_ends_it(page):
    page.choose(7)
    page.tool('brush')
    page.stroke((0.2, 0.2), (0.8, 0.8))
    drawn = page.map()
    page.tab.click('#undo')
    page.tool('polygon')
    for place in ((0.1, 0.1), (0.1, 0.9)):
        page.tab.mouse.click(*page.at(*place))
    page.tab.click('#redo')
    page.tab.mouse.move(*page.at(0.9, 0.9))   # an error here would be on the console, which the fixture reads
    assert np.array_equal(page.map(), drawn)


@pytest.mark.thorough
def test_search_and_classes_in_the_map_first(page):
    first = page.tab.locator('#class-list button').first
    assert first.locator('.share').inner_text().endswith('%')
    page.tab.keyboard.press('/')
    page.tab.keyboard.type('8')
    assert page.tab.locator('#class-list button').count() == 1
    page.tab.keyboard.press('Enter')
    assert page.tab.inner_text('#current') == '8'
    page.tab.fill('#search', 'zebra')
    assert 'No class' in page.tab.inner_text('#class-list')


@pytest.mark.thorough
def test_a_new_object_keeps_its_edge(page):
    page.tab.click('#new')
    page.tab.select_option('#start-class', '1')
    page.tab.click('#start-empty')
    page.choose(2)
    page.tool('rectangle')
    page.stroke((0.1, 0.1), (0.5, 0.9))
    assert len(np.unique(image(page.saved('instance')))) == 2
    page.tab.click('#new-object')
    assert 'object 1' in page.tab.inner_text('#object')
    page.stroke((0.5, 0.1), (0.9, 0.9))
    plain = page.layer()
    instance, label = image(page.saved('instance')), image(page.saved('label'))
    assert label[16, 12] == label[16, 20] == 2 and instance[16, 12] != instance[16, 20]
    page.tab.check('#edges')
    page.map()
    assert page.layer() != plain
    page.tab.uncheck('#edges')
    page.map()
    assert page.layer() == plain
    page.tool('pick')
    page.tab.mouse.click(*page.at(0.7, 0.5))
    assert 'object 1' in page.tab.inner_text('#object')


@pytest.mark.thorough
def test_zoom_keeps_the_place_under_the_pointer(page, server):
    page.choose(5)
    page.tab.mouse.move(*page.at(0.25, 0.25))
    page.tab.mouse.wheel(0, -1000)
    page.tab.wait_for_selector('#zoom:not([hidden])')
    page.tool('brush')
    page.slide('size', 1)
    before = page.map()
    page.tab.mouse.click(*page.at(0.25, 0.25))
    changed = np.argwhere((page.map() != before).any(-1))
    assert len(changed) and np.abs(changed - 8).max() <= 1
    page.tab.keyboard.press('0')
    assert page.tab.locator('#zoom').is_hidden()


@pytest.mark.thorough
def test_touch_draws(browser, server):
    page = Page(browser, server, 390, 844, has_touch=True, is_mobile=True)
    try:
        page.tab.tap('#current')
        page.tab.tap('#class-list [data-id="7"]')
        before = page.map()
        page.tab.touchscreen.tap(*page.at(0.5, 0.5))
        assert not np.array_equal(page.map(), before) and tuple(page.map()[16, 16]) == colour(server, 7)
    finally:
        page.close()


# ---- The picture follows

def test_a_late_answer_does_not_replace_a_newer_one(page):
    """The first stroke's answer is held back until the second's is shown."""
    held = []

    def hold(route):
        if held:
            route.continue_()
        else:
            held.append(route)
            held.append(route.fetch())
    page.tab.route('**/paint', hold)
    page.choose(5)
    page.stroke((0.1, 0.1), (0.1, 0.1))
    page.until("document.body.dataset.painting === 'true'")
    shown = page.tab.get_attribute('#picture', 'data-shown')
    page.choose(6)
    page.stroke((0.9, 0.9), (0.9, 0.9))
    page.until(f"document.getElementById('picture').dataset.shown !== '{shown}'")
    until(lambda: len(held) == 2)
    route, answer = held
    route.fulfill(response=answer)
    seen = page.picture()
    page.tab.unroute('**/paint')
    page.tab.keyboard.press('Control+z')
    assert not np.array_equal(page.picture(), seen)     # that of the first stroke
    page.tab.keyboard.press('Control+Shift+z')
    assert np.array_equal(page.picture(), seen)


@pytest.mark.thorough
def test_a_lost_server_is_reported_and_the_next_stroke_tries_again(browser, server):
    page = Page(browser, server)
    page.tab.route('**/paint', lambda route: route.abort())
    page.choose(5)
    page.stroke((0.1, 0.1), (0.9, 0.1))
    assert 'does not answer' in page.message()
    page.tab.unroute('**/paint')
    before = page.pixels('picture')
    page.stroke((0.1, 0.9), (0.9, 0.9))
    assert not np.array_equal(page.picture(), before)
    page.tab.wait_for_selector('#message', state='hidden')
    assert all('ERR_FAILED' in line for line in page.wrong)      # the browser's own line about the refused connection
    page.wrong.clear()
    page.close()
