"""Styles, languages and the layout of the page, in a real browser."""
import base64
import re

import numpy as np
import pytest

from tests.browser import Page, colour
from tests.painting import served

pytestmark = pytest.mark.thorough    # a browser takes its time


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


def drop(page, selector, *files):
    """Drop the files on an element, as the browser tells of it."""
    contents = [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in files]
    page.tab.evaluate("""([selector, files]) => {
        const transfer = new DataTransfer();
        for (const [name, content] of files) {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            transfer.items.add(new File([bytes], name, { type: 'image/png' }));
        }
        const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
        document.querySelector(selector).dispatchEvent(new DragEvent('drop', options));
    }""", [selector, contents])


NAMED = "[...document.querySelectorAll('.slot:not([hidden]) .what')].map((element) => element.textContent).join()"


@pytest.mark.parametrize('one_by_one', [True, False])
def test_two_dropped_photos_are_the_two_styles(page, scripts, one_by_one):
    """The second does not replace the first while that is loading: not on the page, and not in the server's queue."""
    photos = [scripts.data / f'val_img/00{index}.png' for index in (0, 2)]
    page.tab.evaluate("""() => {
        const fetched = window.fetch;
        window.asked = [];
        window.fetch = async (path, options) => {
            if (path === '/style') window.asked.push(JSON.parse((await options.body.text()).split('\\n', 1)[0]).page);
            return fetched(path, options);
        };
    }""")
    if one_by_one:
        page.tab.click('#second')
        for number, photo in enumerate(photos, 1):
            drop(page, f'.slot:nth-of-type({number})', photo)
    else:
        drop(page, '#picture-frame', *photos)
    page.until(f"{NAMED} === '000.png,002.png'")
    asked = page.tab.evaluate('window.asked')
    assert len(set(asked)) == len(asked) == 2


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


def test_both_languages_are_complete(page):
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


def test_a_model_without_styles_instances_and_unlabelled_shows_none_of_it(browser, scripts, plain_model):
    """And begins with an empty canvas, since it has no validation maps; help lists the keys that there are."""
    with served(plain_model, start=scripts.start_command) as server:
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


# ---- Token

@pytest.mark.parametrize('width, height, locale', [(1280, 800, 'en-US'), (390, 844, 'zh-CN')])
def test_the_address_with_a_token_opens_the_page(browser, scripts, styled, width, height, locale):
    """Reloaded, and in a second tab, without; who has not opened it sees what to do, also in the middle of painting."""
    with served(styled, '--host', '0.0.0.0', start=scripts.start_command) as server:
        local = f'http://127.0.0.1:{server.port}/'
        server.address = f'{local}?token={server.token}'
        page = Page(browser, server, width, height, locale=locale)
        assert page.tab.evaluate('location.href') == local
        page.stroke((0.2, 0.2), (0.8, 0.6))
        page.picture()
        page.tab.click('#save-menu summary')
        page.tab.click('[data-save=link]')
        page.message()
        link = page.tab.evaluate('navigator.clipboard.readText()')
        assert link.startswith(local + '#') and server.token not in link
        page.tab.on('dialog', lambda dialog: dialog.accept())
        page.tab.reload()
        page.tab.wait_for_selector('body[data-ready=true]')
        page.settle()
        assert page.wrong == []
        page.open_tab(link)
        page.picture()
        page.open_tab(local)
        page.picture()
        assert page.wrong == []
        page.context.clear_cookies()    # as after a restart of the server
        page.stroke((0.2, 0.2), (0.8, 0.6))
        assert ('token' if locale == 'en-US' else '令牌') in page.message()
        page.tab.goto(local)
        assert 'token' in page.tab.inner_text('body') and '令牌' in page.tab.inner_text('body')
        page.context.close()


# ---- Layout

LAYOUT = """() => {
    const wrong = [];
    const shown = (element) => element.checkVisibility() && element.getBoundingClientRect().width > 1;
    const wanted = 'header button, header summary, #dock button, #dock input, .frame, #styles button';
    const controls = [...document.querySelectorAll(wanted)].filter(
        (element) => shown(element) && !element.closest('#class-list'));
    const inStage = (element) => Boolean(element.closest('#stage'));    // which scrolls
    for (const element of controls) {
        const box = element.getBoundingClientRect(), name = element.id || element.dataset.tool || element.className;
        if (box.left < -0.5 || box.right > innerWidth + 0.5) wrong.push(name + ' leaves the window');
        const below = box.top < -0.5 || box.bottom > innerHeight + 0.5;
        if (below && !inStage(element)) wrong.push(name + ' leaves the window');
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


@pytest.mark.parametrize('width, height', [(1280, 800), (390, 844), (320, 568), (740, 360), (844, 390), (820, 600),
                                           (1920, 1080)])
@pytest.mark.parametrize('locale', ['en-US', 'zh-CN'])
def test_nothing_overlaps_and_nothing_is_cut_off(browser, server, width, height, locale):
    """Controls lie inside the window or in what scrolls, not above each other, and show their words whole."""
    page = Page(browser, server, width, height, locale=locale)
    try:
        found = page.tab.evaluate(LAYOUT)
        assert found == []
    finally:
        page.close()
