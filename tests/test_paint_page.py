"""The page in a real browser: Debian's chromium, driven by Playwright. Skipped where there is none."""
import base64
import io
import json
import os
import re
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.conftest import until
from tests.painting import served
from tests.test_paint import plain_model, styled  # noqa: F401  fixtures

playwright = pytest.importorskip('playwright.sync_api', reason='pip install -r tests/requirements.txt')

BROWSER = next(filter(None, map(shutil.which, (os.environ.get('SPADE_BROWSER', ''), 'chromium', 'chromium-browser',
                                               'google-chrome'))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason='no chromium on PATH: apt-get install chromium')
ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
             '--disable-component-update', '--disable-sync']
SETTLED = "document.body.dataset.painting === 'false'"


@pytest.fixture(scope='module')
def server(scripts, styled):  # noqa: F811
    with served(styled, environment=scripts.environment) as found:
        yield found


@pytest.fixture(scope='module')
def browser():
    with playwright.sync_playwright() as player:
        chromium = player.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield chromium
        chromium.close()


class Page:
    """The page in a tab of its own. `wrong` collects errors of the console; a test ends with none."""

    def __init__(self, browser, server, width=1280, height=800, **options):
        self.server = server
        self.context = browser.new_context(viewport=dict(width=width, height=height), accept_downloads=True,
                                           **{'locale': 'en-US', **options})
        self.context.grant_permissions(['clipboard-read', 'clipboard-write'])
        self.context.set_default_timeout(60000)
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
            return btoa(String.fromCharCode(...data));
        }""", name)
        height, width = self.server.model['height'], self.server.model['width']
        return np.frombuffer(base64.b64decode(found), np.uint8).reshape(height, width, 4)[..., :3]

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
        """Where on the screen a place of the map, 0 .. 1, is."""
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
        """bytes of what the menu saves."""
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


@pytest.fixture
def page(browser, server):
    found = Page(browser, server)
    yield found
    found.close()


def image(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def colour(server, index):
    return tuple(server.model['classes'][index]['colour'])


# ---- Drawing

def test_a_stroke_changes_map_and_picture_and_undo_gives_them_back(page, server):
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


@pytest.mark.parametrize('tool, inside, outside', [
    ('line', (16, 16), (8, 24)), ('rectangle', (10, 22), (2, 2)), ('ellipse', (16, 16), (8, 8)), ('polygon', (10, 16), (24, 4))])
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

def test_a_late_answer_does_not_win(page):
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
    newest = page.pixels('picture')
    until(lambda: len(held) == 2)
    route, answer = held
    route.fulfill(response=answer)
    assert np.array_equal(page.picture(), newest)
    page.tab.unroute('**/paint')
    page.tab.keyboard.press('Control+z')
    page.tab.keyboard.press('Control+Shift+z')
    assert np.array_equal(page.picture(), newest)


def test_a_server_that_is_away_is_said_and_the_next_stroke_tries_again(browser, server):
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


# ---- Files

def test_saved_maps_through_predict_give_the_pages_picture(page, scripts, styled, tmp_path):  # noqa: F811
    page.choose(5)
    page.stroke((0.1, 0.3), (0.9, 0.6))
    page.tab.click('#new-object')
    page.stroke((0.3, 0.9), (0.7, 0.1))
    shown = page.picture()
    with zipfile.ZipFile(io.BytesIO(page.saved('all'))) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    assert np.array_equal(np.asarray(Image.open(tmp_path / 'picture/000.png')), shown)
    process = scripts.run('predict.py', '--lastoutput', styled / 'output', '--label', tmp_path / 'label/000.png',
                          '--instance', tmp_path / 'instance/000.png', '--out', tmp_path / 'predicted.png')
    assert process.returncode == 0, process.stderr
    assert np.array_equal(np.asarray(Image.open(tmp_path / 'predicted.png')), shown)


def test_upload_and_what_is_refused(page, server, tmp_path):
    label = np.repeat(np.arange(8, dtype=np.uint8), 4)[None].repeat(32, 0)
    Image.fromarray(label).save(tmp_path / 'mine.png')
    Image.fromarray(np.full((32, 32), 200, np.uint8)).save(tmp_path / 'wrong.png')
    (tmp_path / 'broken.png').write_bytes((tmp_path / 'mine.png').read_bytes()[:60])
    page.tab.click('#new')
    page.tab.set_input_files('#label-file', tmp_path / 'mine.png')
    page.tab.click('#start-open')
    page.tab.wait_for_selector('#start-dialog', state='hidden')
    assert tuple(page.map()[5, 13]) == colour(server, 3)
    kept = page.map(), page.picture()
    for name, said in (('wrong.png', '200 (1024)'), ('broken.png', 'damaged or cut off')):
        page.tab.click('#new')
        page.tab.set_input_files('#label-file', tmp_path / name)
        page.tab.click('#start-open')
        page.tab.wait_for_selector('#start-dialog', state='hidden')
        assert said in page.message()
        page.tab.click('#message button')
    assert np.array_equal(page.map(), kept[0]) and np.array_equal(page.picture(), kept[1])
    assert all('422' in line for line in page.wrong)     # the browser's own line about the status
    page.wrong.clear()


def test_a_project_file_and_a_link_bring_everything_back(page, browser, server, tmp_path):
    page.tab.click('#styles [data-do=dice] >> nth=0')
    page.tab.click('#second')
    page.choose(5)
    page.stroke((0.1, 0.3), (0.9, 0.6))
    shown = page.map(), page.picture()
    (tmp_path / 'mine.spade.json').write_bytes(page.saved('project'))
    page.tab.click('#save-menu summary')
    page.tab.click('[data-save=link]')
    assert 'Link copied' in page.message()
    link = page.tab.evaluate('navigator.clipboard.readText()')
    other = Page(browser, server)
    try:
        assert not np.array_equal(other.picture(), shown[1])
        other.tab.click('#new')
        other.tab.set_input_files('#project-file', tmp_path / 'mine.spade.json')
        other.tab.wait_for_selector('#start-dialog', state='hidden')
        assert np.array_equal(other.map(), shown[0]) and np.array_equal(other.picture(), shown[1])
        other.tab.close()
        other.open_tab(link)
        assert np.array_equal(other.map(), shown[0]) and np.array_equal(other.picture(), shown[1])
        project = json.loads((tmp_path / 'mine.spade.json').read_text())
        (tmp_path / 'damaged.json').write_text(json.dumps({**project, 'maps': 'AAAA'}))
        other.tab.click('#new')
        other.tab.set_input_files('#project-file', tmp_path / 'damaged.json')
        assert 'damaged' in other.message()
    finally:
        other.close()


def test_leaving_with_unsaved_work_asks(page):
    asked = []
    page.tab.on('dialog', lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.tab.reload()
    page.tab.wait_for_selector('body[data-ready=true]')
    page.settle()
    assert asked == []
    page.choose(5)
    page.stroke((0.1, 0.3), (0.9, 0.6))
    page.picture()
    page.tab.reload()
    assert asked == ['beforeunload']


# ---- Styles and languages

def test_styles(page, scripts):
    plain = page.picture()
    page.tab.keyboard.press('d')
    diced = page.picture()
    assert not np.array_equal(plain, diced)
    page.tab.set_input_files('.slot input >> nth=0', scripts.data / 'val_img/002.png')
    page.until("document.querySelector('.slot .what').textContent === '002.png'")
    photo = page.picture()
    assert not np.array_equal(photo, diced)
    page.tab.click('#second')
    page.slide('share', 0)
    assert np.array_equal(page.picture(), photo)
    page.slide('share', 60)
    assert not np.array_equal(page.picture(), photo)
    page.tab.click('#remove-second')
    assert np.array_equal(page.picture(), photo)


def test_the_sheet_of_eight(page):
    page.tab.click('#sheet-open')
    page.until("document.querySelectorAll('#sheet [data-painted]').length === 8")
    fourth = page.tab.locator('#sheet button').nth(3)
    fourth.click()
    assert page.tab.inner_text('.slot .what >> nth=0') == 'seed 3'
    page.picture()


def test_languages(browser, server):
    page = Page(browser, server, locale='zh-CN')
    try:
        assert page.tab.inner_text('#new') == '新建' and page.tab.get_attribute('html', 'lang') == 'zh-CN'
        assert '用时' in page.tab.inner_text('#status')
        page.tab.click('#language')
        assert page.tab.inner_text('#new') == 'New' and 'painted in' in page.tab.inner_text('#status')
        page.tab.reload()
        page.tab.wait_for_selector('body[data-ready=true]')
        assert page.tab.inner_text('#new') == 'New'
        page.settle()
    finally:
        page.close()


def test_both_languages_say_everything(page):
    """The same names in both, with the same values in them."""
    text = page.tab.evaluate("async () => (await fetch('/static/i18n.js')).text()")
    table = text[text.index('const WORDS'):text.index('const KEPT')]
    words = page.context.new_page().evaluate(f'() => {{ {table} return WORDS }}')
    assert words['en'].keys() == words['zh'].keys()
    for name, english in words['en'].items():
        assert set(re.findall(r'\[\w+\]', english)) == set(re.findall(r'\[\w+\]', words['zh'][name])), name
    named = page.tab.evaluate("() => [...document.querySelectorAll('[data-words], [data-name]')].flatMap("
                              "(element) => [element.dataset.words, element.dataset.name]).filter(Boolean)")
    assert set(named) <= words['en'].keys()


def test_a_model_without_styles_instances_and_unlabelled_shows_none_of_it(browser, scripts, plain_model):  # noqa: F811
    """And begins with an empty canvas, since it has no validation maps; help lists the keys that there are."""
    with served(plain_model, environment=scripts.environment) as server:
        page = Page(browser, server)
        try:
            for hidden in ('#styles', '#objects', '.check'):
                assert page.tab.locator(hidden).is_hidden()
            assert page.tab.locator('#tools [data-tool=erase]').count() == 0
            assert len(np.unique(page.map().reshape(-1, 3), axis=0)) == 1
            page.tab.keyboard.press('?')
            listed = page.tab.inner_text('#keys')
            assert 'Undo' in listed and not any(word in listed for word in ('style', 'object', 'Erase'))
            page.tab.keyboard.press('Escape')
            page.tab.keyboard.press('r')
            assert page.tab.get_attribute('#tools [data-tool=rectangle]', 'aria-pressed') == 'true'
            page.choose(3)
            shown = int(page.tab.get_attribute('#picture', 'data-shown'))
            page.stroke((0.1, 0.1), (0.9, 0.5))
            page.settle()
            assert int(page.tab.get_attribute('#picture', 'data-shown')) > shown
            assert tuple(page.map()[8, 16]) == colour(server, 3)
        finally:
            page.close()


LAYOUT = """() => {
    const wrong = [];
    const shown = (element) => element.checkVisibility() && element.getBoundingClientRect().width > 1;
    const wanted = 'header button, header summary, #dock button, #dock input, .frame, #styles button';
    const controls = [...document.querySelectorAll(wanted)].filter((element) => shown(element) && !element.closest('#class-list'));
    const inStage = (element) => Boolean(element.closest('#stage'));    // which scrolls
    for (const element of controls) {
        const box = element.getBoundingClientRect(), name = element.id || element.dataset.tool || element.className;
        if (box.left < -0.5 || box.right > innerWidth + 0.5) wrong.push(name + ' leaves the window');
        if (!inStage(element) && (box.top < -0.5 || box.bottom > innerHeight + 0.5)) wrong.push(name + ' leaves the window');
        const isCut = element.matches('button, summary') && element.scrollWidth > element.clientWidth + 1;
        if (isCut && element.id !== 'current') wrong.push(name + ' is cut off');
        for (const other of controls) {
            const its = other.getBoundingClientRect();
            const related = other.contains(element) || element.contains(other) || inStage(other) !== inStage(element);
            const across = box.left < its.right - 1 && its.left < box.right - 1;
            if (!related && across && box.top < its.bottom - 1 && its.top < box.bottom - 1) {
                wrong.push(name + ' overlaps ' + (other.id || other.className));
            }
        }
    }
    if (document.documentElement.scrollWidth > innerWidth) wrong.push('the page is wider than the window');
    return wrong;
}"""


@pytest.mark.parametrize('width, height', [(1280, 800), (390, 844), (820, 600), (1920, 1080)])
@pytest.mark.parametrize('locale', ['en-US', 'zh-CN'])
def test_nothing_overlaps_and_nothing_is_cut_off(browser, server, width, height, locale):
    """Controls lie inside the window or in what scrolls, not above each other, and show their words whole."""
    page = Page(browser, server, width, height, locale=locale)
    try:
        found = page.tab.evaluate(LAYOUT)
        assert found == []
    finally:
        page.close()
