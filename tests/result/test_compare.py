"""The blind choice between two folders of pictures: the page, in a browser too, its key, and the share of A."""
import base64
import io
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dataset import classes
from output.pictures import save
from result.compare import count, make
from result.scores import wilson_interval
from tests.runner import message, says

pytestmark = pytest.mark.without_paddle

NAMES = [f'{index:02d}' for index in range(12)]
Z = 1.959963984540054     # of 95 %


@given(st.integers(1, 10 ** 6).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_the_interval_ends_where_the_share_is_z_deviations_away(counts):
    """Wilson's condition, (share - p)^2 = z^2 p (1 - p) / n, at both ends; for 0 and n they are 0 and 1."""
    successes, trials = counts
    share, ends = successes / trials, wilson_interval(successes, trials)
    assert 0 <= ends[0] <= share + 1e-12 and share - 1e-12 <= ends[1] <= 1
    for end in ends:
        assert (share - end) ** 2 == pytest.approx(Z ** 2 * end * (1 - end) / trials, rel=1e-6, abs=1e-15)


def test_the_interval_in_closed_form():
    z2 = Z ** 2
    assert wilson_interval(0, 10) == pytest.approx((0, z2 / (10 + z2)))
    assert wilson_interval(10, 10) == pytest.approx((10 / (10 + z2), 1))
    half = 0.5 * (z2 / (10 + z2)) ** 0.5
    assert wilson_interval(5, 10) == pytest.approx((0.5 - half, 0.5 + half))


@pytest.fixture
def folders(tmp_path):
    """A's dark pictures as our JPEG, B's bright ones as PNG, and label maps."""
    for name in ('ours', 'theirs', 'maps'):
        (tmp_path / name).mkdir()
    for index, name in enumerate(NAMES):
        save(np.full((24, 32, 3), 20 + index, np.uint8), tmp_path / f'ours/{name}.jpg')
        Image.fromarray(np.full((24, 32, 3), 220 + index, np.uint8)).save(tmp_path / f'theirs/{name}.png')
        Image.fromarray(np.full((24, 32), index, np.uint8)).save(tmp_path / f'maps/{name}.png')
    return tmp_path


def made(folder, a='ours', b='theirs', labels=None, pairs=500, seed=0):
    """(path of the page, its text, its key)."""
    output = folder / f'choices {a} {b} {labels} {pairs} {seed}'
    make(SimpleNamespace(a=str(folder / a), b=str(folder / b), labels=labels and str(folder / labels), pairs=pairs,
                         seed=seed, output=str(output)))
    page, = output.glob('choose_*.html')
    key = output / page.name.replace('choose_', 'key_').replace('.html', '.json')
    return page, page.read_text(), json.loads(key.read_text())


def test_the_page_tells_nothing_of_its_sides(folders):
    """No name of a folder or picture, no mark of a file; equal pixels are equal bytes, from whichever folder."""
    page, html, key = made(folders, labels='maps')
    for told in ('ours', 'theirs', 'maps', str(folders), *(f'"{name}"' for name in NAMES), 'spade-paddle'):
        assert told not in html and told not in page.name
    assert sorted(question['name'] for question in key['questions']) == NAMES
    for path in (folders / 'ours').iterdir():
        Image.open(path).save(folders / f'maps/{path.stem}.png')    # the same pixels, without the mark of a JPEG
    data = json.loads(re.search('id=data>(.*)</script>', made(folders, 'ours', 'maps')[1])[1])
    assert all(first == second for _, first, second in data['questions'])


def test_sides_and_order_follow_from_the_seed(folders):
    one, again, other = (made(folders, seed=seed)[2]['questions'] for seed in (0, 0, 1))
    assert one == again != other
    assert {question['a'] for question in one} == {'first', 'second'}
    assert [question['name'] for question in one] not in (NAMES, [question['name'] for question in other])
    assert len(made(folders, pairs=3)[2]['questions']) == 3


def test_label_maps_have_the_colours_of_their_set(folders):
    colours = [[index, 100, 200] for index in range(len(NAMES))]
    (folders / 'classes.json').write_text(json.dumps({'names': NAMES, 'colours': colours}))
    _, html, key = made(folders, labels='maps')
    questions = json.loads(re.search('id=data>(.*)</script>', html)[1])['questions']
    for (shown, *_), question in zip(questions, key['questions']):
        pixels = np.array(Image.open(io.BytesIO(base64.b64decode(shown.split(',')[1]))))
        assert (pixels == colours[int(question['name'])]).all() and pixels.shape == (24, 32, 3)
    Image.fromarray(np.full((24, 32), 12, np.uint8)).save(folders / 'maps/05.png')
    assert (classes.drawn(folders / 'maps/05.png') == 0).all()   # as label_nc: unlabelled
    Image.fromarray(np.full((24, 32), 13, np.uint8)).save(folders / 'maps/05.png')
    assert says(message(made, folders, labels='maps'), folders / 'maps/05.png', 'label id 13', 'expected 0 .. 11')


def csv_of(path, page, sides, person='abc'):
    lines = [f'{page},{person},{number},{side}\n' for number, side in enumerate(sides, 1)]
    path.write_text('page,person,question,choice\n' + ''.join(lines))
    return str(path)


def test_the_share_of_a(folders, capsys):
    page, _, key = made(folders)
    identity, sides = page.stem.split('_')[1], [question['a'] for question in key['questions']]
    wrong = ['second' if side == 'first' else 'first' for side in sides]
    files = [csv_of(folders / 'x.csv', identity, sides), csv_of(folders / 'y.csv', identity, wrong[:4], 'def')]
    capsys.readouterr()
    count(files, page.parent)
    low, high = wilson_interval(12, 16)
    assert says(capsys.readouterr().out, f'{folders}/ours preferred to {folders}/theirs in 12 of 16 choices: 75.0%; ',
                f'95 % interval (Wilson, independent choices): {low:.1%} .. {high:.1%}')


def test_files_that_are_no_choices_of_the_page(folders, tmp_path):
    page = made(folders)[0]
    one, other = page.stem.split('_')[1], made(folders, 'theirs', 'ours')[0].stem.split('_')[1]
    right = csv_of(tmp_path / 'right.csv', one, ['first'] * 12)
    for name, content, told in (
            ('other', csv_of(tmp_path / 'other.csv', other, ['first']), f'of another page than {right}'),
            ('twice', right, 'twice'), ('long', csv_of(tmp_path / 'long.csv', one, ['first'] * 13, 'def'), 'its key'),
            ('absent', str(tmp_path / 'absent.csv'), 'cannot be read'), ('folder', str(tmp_path), 'cannot be read')):
        assert says(message(count, [right, content], page.parent), told, content if name != 'long' else right)
    for content in (b'', b'page\n', b'a\n1;2;3;4\n', b'\xff\xfe\0', b'a\n' + one.encode() + b',a,0,first'):
        (tmp_path / 'bad.csv').write_bytes(content)
        assert says(message(count, [str(tmp_path / 'bad.csv')], page.parent), tmp_path / 'bad.csv')
    assert says(message(count, [str(tmp_path / 'other.csv')], page.parent), f'key_{other}.json', '--output')


def test_folders_that_make_no_pairs(folders):
    (folders / 'empty').mkdir()
    assert says(message(made, folders, 'empty', 'empty'), folders / 'empty', 'it is empty')
    assert says(message(made, folders, 'absent'), folders / 'absent', '--a')
    (folders / 'theirs/07.png').rename(folders / 'theirs/seven.png')
    assert says(message(made, folders), folders / 'ours', '1 of 13 pictures are missing: seven', 'name without ending')
    (folders / 'theirs/seven.png').rename(folders / 'theirs/07.png')
    (folders / 'maps/03.png').unlink()
    assert says(message(made, folders, labels='maps'), '--labels', '1 of 12 pictures are missing: 03')
    Image.fromarray(np.zeros((48, 32, 3), np.uint8)).save(folders / 'theirs/07.png')
    assert says(message(made, folders), folders / 'ours/07.jpg', '(32, 24)', folders / 'theirs/07.png', '(32, 48)')


def test_the_command(scripts, folders):
    for flags in ((), ('--a', 'x'), ('--a', 'x', '--b', 'y', '--count', 'z'), ('--a', 'x', '--b', 'y', '--pairs', 0)):
        process = scripts.run('-m', 'result.compare', *flags)
        assert process.returncode == 1 and process.stderr.count('\n') == 1
        assert says(process.stderr, 'give both --a DIR and --b DIR', '--count FILE.csv alone')
    process = scripts.run('-m', 'result.compare', '--a', folders / 'ours', '--b', folders / 'maps', '--output', folders)
    assert process.returncode == 0 and says(process.stdout, '12 of 12 pairs', 'key_')


# ---- In a browser

def test_choosing(browser, folders, capsys):
    """By keys, clicks and touch, back and forth, through a reload; always A, the darker one, and the file says so."""
    page, _, key = made(folders, labels='maps')
    context = browser.new_context(viewport=dict(width=390, height=844), has_touch=True, accept_downloads=True)
    tab, wrong = context.new_page(), []
    tab.on('pageerror', lambda error: wrong.append(str(error)))
    tab.on('request', lambda request: request.url.startswith(('file:', 'data:', 'blob:')) or wrong.append(request.url))
    tab.goto(page.as_uri())
    assert tab.locator('#back').is_disabled() and tab.locator('#map').is_visible() and tab.locator('#anew').is_hidden()
    tab.keyboard.press('ArrowRight')
    tab.keyboard.press('ArrowLeft')
    tab.keyboard.press('Backspace')
    tab.click('#back')
    for number, question in enumerate(key['questions']):
        assert tab.inner_text('#place') == f'{number} / 12'
        darkest = tab.evaluate("""async () => {
            const brightness = async (name) => {
                const picture = document.querySelector(`#${name} img`);
                const canvas = new OffscreenCanvas(1, 1).getContext('2d');
                await picture.decode();
                canvas.drawImage(picture, 0, 0);
                return canvas.getImageData(0, 0, 1, 1).data[0];
            };
            return await brightness('first') < await brightness('second') ? 'first' : 'second';
        }""")
        assert darkest == question['a']
        if number % 3 == 0:
            tab.keyboard.press(dict(first='ArrowLeft', second='ArrowRight')[darkest])
        elif number % 3 == 1:
            tab.tap(f'#{darkest}')
        else:
            tab.click(f'#{darkest}')
        if number == 5:
            tab.reload()
    assert tab.locator('main').is_hidden() and tab.locator('#end').is_visible()
    tab.keyboard.press('ArrowLeft')
    assert tab.inner_text('#place') == '12 / 12' and tab.locator('#anew').is_hidden()
    with tab.expect_download() as download:
        tab.click('#save')
    assert re.fullmatch(r'choices_[0-9a-f]+_[0-9a-f]+\.csv', download.value.suggested_filename)
    download.value.save_as(folders / 'choices.csv')
    capsys.readouterr()
    count([str(folders / 'choices.csv')], page.parent)
    assert says(capsys.readouterr().out, '12 of 12 choices: 100.0%')
    tab.click('#anew')
    tab.wait_for_function("document.getElementById('place').textContent === '0 / 12'")
    context.close()
    assert wrong == []
