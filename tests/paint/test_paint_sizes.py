"""The page with a model of any size: canvases, noise, and pictures that follow the pen."""
import argparse
import json
import threading

import numpy as np
import pytest

from model import styles
from model.painter import load_painter
from model.semantics import SemanticMap
from output import pictures
from paint.turns import Superseded, Turns
from tests.browser import Page, colour
from tests.exporting import write_checkpoint
from tests.painting import body, png, served

LABEL = np.random.default_rng(0).integers(0, 5, (10, 14)).repeat(5, 0).repeat(5, 1).astype(np.uint16)   # 50 x 70


@pytest.fixture(scope='module')
def free(scripts, any_size):
    with served(any_size, start=scripts.start_command) as found:
        yield found


# ---- The server

def test_any_canvas_is_painted_as_predict_paints_it(free, any_size, one_thread):
    opt, painter = load_painter(argparse.Namespace(lastoutput=str(any_size / 'output'), which_epoch=None, weights=None))
    assert free.model['any_size'] and free.model['seeds'] and not free.model['styles']
    assert (free.model['width'], free.model['height'], free.model['multiple']) == (32, 32, 32)
    semantics = SemanticMap(LABEL[None].astype(int), None, opt, round_up=True)
    expected = [pictures.to_uint8(painter.paint(semantics, z=styles.of_seed(opt, seed, semantics.size)[None]))[0]
                for seed in (7, 8)]
    assert expected[0].shape == (50, 70, 3) and not np.array_equal(*expected)
    for seed, picture in zip((7, 8), expected):
        head = dict(page='p', number=seed, style={'seed': seed}, width=70, height=50)
        status, content, _ = free.ask('POST', '/paint', body(head, LABEL.astype('<u2').tobytes()))
        assert status == 200 and content == picture.tobytes()


def test_what_no_canvas_is(free, server):
    def paint(width, height):
        return body(dict(page='p', number=1, width=width, height=height), bytes(8))
    largest = free.model['largest']
    assert 32 * 32 < largest <= 4096 ** 2
    for width, height in ((4097, 1), (0, 5), (-5, 5), (5000, 5000)):
        facts = free.refused('/paint', paint(width, height), 413, 'canvas')
        assert f'{width} x {height}' in facts['text'] and facts['most'] == pytest.approx(largest / 1e6, abs=0.01)
    for size in ((None, 5), ('x', 5), ([], 5), (5, 5), (1e400, 1)):
        free.refused('/paint', paint(*size), 400, 'malformed')
    head = dict(page='p', number=1, width=64, height=64)
    assert '32 x 32' in server.refused('/paint', body(head, bytes(16384)), 400, 'one_size')['text']
    for style in ({'z': 8 * [0.0]}, {'between': [{'seed': 1}, {'seed': 2}], 'share': 0.5}):
        head = dict(page='p', number=1, width=70, height=50, style=style)
        free.refused('/paint', body(head, LABEL.astype('<u2').tobytes()), 400, 'style')


def test_files_open_at_their_own_size(free):
    content = png(LABEL.astype(np.uint8))
    status, answer, headers = free.ask('POST', '/open', body(dict(label=len(content)), content))
    assert (status, headers['size']) == (200, '50x70')
    np.testing.assert_array_equal(np.frombuffer(answer, '<u2').reshape(2, 50, 70)[0], LABEL)


def test_validation_maps_come_at_their_own_size_or_at_any(scripts, tmp_path):
    """Own sizes with --size map; with another first canvas the sizes that are asked for."""
    write_checkpoint(tmp_path / 'output', no_instance=True, contain_dontcare_label=False, use_vae=False,
                     dataroot=str(tmp_path))
    (tmp_path / 'val_label').mkdir()
    for name, part in (('a', LABEL), ('b', LABEL[:40, :30])):
        (tmp_path / 'val_label' / f'{name}.png').write_bytes(png(part.astype(np.uint8)))
    with served(tmp_path, '--size', 'map', start=scripts.start_command) as server:
        assert (server.model['width'], server.model['height'], server.model['own_sizes']) == (70, 50, True)
        for index, part in ((0, LABEL), (1, LABEL[:40, :30])):
            status, answer, headers = server.get(f'/maps/{index}')
            assert (status, headers['size']) == (200, '{}x{}'.format(*part.shape))
            np.testing.assert_array_equal(np.frombuffer(answer, '<u2').reshape(2, *part.shape)[0], part)
        status, answer, headers = server.get('/maps/1?width=60&height=80')
        np.testing.assert_array_equal(np.frombuffer(answer, '<u2').reshape(2, 80, 60)[0],
                                      LABEL[:40, :30].repeat(2, 0).repeat(2, 1))
        for query in ('width=5', 'width=x&height=5', 'width=0&height=5', 'width=9999&height=1'):
            assert server.get(f'/maps/1?{query}')[0] in (400, 413)


def test_work_hears_when_it_is_overtaken():
    turns, begun = Turns(), threading.Event()

    def work():
        begun.set()
        while not turns.overtaken('page', 1):
            pass
        raise Superseded
    older = turns.submit('page', 1, work)
    assert begun.wait(60) and not turns.overtaken('page', 1)
    turns.submit('other', 9, lambda: 'other')       # another page's is none
    assert turns.submit('page', 2, lambda: 'newer').result(60) == 'newer'
    with pytest.raises(Superseded):
        older.result(60)


def test_a_picture_gives_up_for_a_newer_one(any_size, one_thread):
    from paint.studio import Studio
    studio = Studio(argparse.Namespace(lastoutput=str(any_size / 'output'), which_epoch=None, weights=None))
    asked = iter([False] * 5 + [True])
    with pytest.raises(Superseded):
        studio.painted(LABEL.astype(int), LABEL.astype(int), {'seed': 0}, lambda: next(asked))
    assert next(asked, None) is None        # at the sixth convolution, and no later one
    picture, _ = studio.painted(LABEL.astype(int), LABEL.astype(int), {'seed': 0}, lambda: False)
    np.testing.assert_array_equal(picture, studio.painted(LABEL.astype(int), LABEL.astype(int), {'seed': 0})[0])


# ---- The browser

@pytest.fixture
def canvas(browser, free):
    found = Page(browser, free)
    yield found
    found.close()


def resize(page, width, height):
    page.tab.click('#canvas-size')
    page.tab.fill('#canvas-width', str(width))
    page.tab.fill('#canvas-height', str(height))
    page.tab.click('#canvas-use')


@pytest.mark.thorough
def test_the_canvas_has_any_size(canvas, free):
    canvas.choose(3)
    canvas.stroke((0.1, 0.5), (0.9, 0.5))
    small = canvas.map()
    resize(canvas, 96, 64)
    assert canvas.tab.inner_text('#canvas-size') == '96 × 64' and '96 × 64' in canvas.tab.inner_text('#about-model')
    assert canvas.picture().shape == canvas.map().shape == (64, 96, 3)
    assert tuple(canvas.map()[32, 48]) == colour(free, 3)
    canvas.choose(4)
    canvas.stroke((0.5, 0.1), (0.5, 0.3))
    assert tuple(canvas.map()[12, 48]) == colour(free, 4)
    drawn = canvas.map()
    project = canvas.saved('project')
    for _ in range(2):
        canvas.tab.click('#undo')
    assert np.array_equal(canvas.map(), small) and canvas.picture().shape == (32, 32, 3)
    for _ in range(2):
        canvas.tab.click('#redo')
    assert np.array_equal(canvas.map(), drawn)
    canvas.tab.click('#new')
    canvas.tab.set_input_files('#project-file', {'name': 'a.json', 'mimeType': 'application/json', 'buffer': project})
    canvas.tab.wait_for_selector('#start-dialog', state='hidden')
    assert np.array_equal(canvas.map(), drawn)
    canvas.tab.click('#new')
    canvas.tab.set_input_files('#label-file', {'name': 'b.png', 'mimeType': 'image/png',
                                               'buffer': png(LABEL.astype(np.uint8))})
    canvas.tab.click('#start-open')
    canvas.tab.wait_for_selector('#start-dialog', state='hidden')
    assert canvas.map().shape == (50, 70, 3)
    resize(canvas, 9999, 9999)
    assert '4096 a side' in canvas.message()
    canvas.tab.click('#message button')


@pytest.mark.thorough
def test_the_dice_draw_noise(canvas):
    assert canvas.tab.inner_text('#styles h2') == 'Noise' and canvas.tab.locator('#second').is_hidden()
    assert canvas.tab.locator('#styles label:visible').count() == 0
    first = canvas.picture()
    canvas.tab.keyboard.press('d')
    assert not np.array_equal(canvas.picture(), first)
    canvas.tab.click('#sheet-open')
    canvas.until("document.querySelectorAll('#sheet [data-painted]').length === 8")
    canvas.tab.locator('#sheet button').nth(3).click()
    canvas.picture()


@pytest.mark.thorough
def test_a_slow_picture_follows_the_pen_with_fewer_pixels(canvas):
    """As if the server took 8 s for 256 x 256 and less for less; the last one that is asked for is whole."""
    asked = []

    def slowly(route):
        head = json.loads(route.request.post_data_buffer.split(b'\n', 1)[0])
        answer = route.fetch()
        asked.append(head)
        timing = f'paint;dur={8000 * head["width"] * head["height"] / 256 ** 2}, all;dur=1'
        route.fulfill(response=answer, headers={**answer.headers, 'server-timing': timing})
    canvas.tab.route('**/paint', slowly)
    resize(canvas, 256, 256)
    canvas.settle()
    canvas.stroke((0.2, 0.2), (0.8, 0.8), steps=20)
    picture = canvas.picture()
    assert [head['width'] for head in (asked[0], asked[-1])] == [256, 256] and asked[-1]['give_up']
    assert {(head['width'], head['height'], head['give_up']) for head in asked[1:-1]} == {(64, 64, False)}
    assert picture.shape == (256, 256, 3)


@pytest.mark.thorough
@pytest.mark.parametrize('width, height', [(1280, 800), (390, 844), (320, 568)])
@pytest.mark.parametrize('locale', ['en-US', 'zh-CN'])
def test_the_dialog_fits(browser, free, width, height, locale):
    page = Page(browser, free, width, height, locale=locale)
    try:
        page.tab.click('#canvas-size')
        for name in ('#canvas-use', '#canvas-width', '#canvas-presets button:last-child'):
            box = page.tab.locator(name).bounding_box()
            assert box['x'] >= 0 and box['x'] + box['width'] <= width and box['y'] + box['height'] <= height
        page.tab.locator('#canvas-presets button', has_text='256').first.click()
        page.settle()
        assert page.tab.evaluate('document.documentElement.scrollWidth') <= width
    finally:
        page.close()
