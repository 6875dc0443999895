"""What the page saves and opens again, in a real browser: maps, pictures, projects, links."""
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.browser import Page, colour

pytestmark = pytest.mark.thorough    # a browser takes its time


def test_saved_maps_through_predict_give_the_pages_picture(page, scripts, styled, tmp_path):
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


def test_a_project_file_and_a_link_restore_everything(page, browser, server, tmp_path):
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


def test_a_link_contains_the_names_of_photo_and_map(page, scripts):
    page.tab.set_input_files('.slot input >> nth=0', scripts.data / 'val_img/002.png')
    page.until("document.querySelector('.slot .what').textContent === '002.png'")
    shown = page.picture()
    page.tab.click('#save-menu summary')
    page.tab.click('[data-save=link]')
    page.message()
    link = page.tab.evaluate('navigator.clipboard.readText()')
    page.tab.close()
    page.open_tab(link)
    assert page.tab.inner_text('.slot .what >> nth=0') == '002.png' and np.array_equal(page.picture(), shown)
    assert json.loads(page.saved('project'))['name'] == '000'


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
