"""python -m log.page: one file with losses, pictures, scores and settings of a run; and log.plot --compare."""
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from dataset.palette import palette
from log import page as page_module
from log import plot as plot_module
from log.page import columns, film, main, scores
from output import pictures
from runtime.errors import InputError
from tests.runner import says


@pytest.fixture
def run(trained, tmp_path):
    """A copy of a finished run, with the scores of three epochs, the first by another network."""
    shutil.copytree(trained / 'output', tmp_path / 'output', symlinks=True)
    with open(tmp_path / 'output/scores.jsonl', 'w') as file:
        for epoch in (2, 1, 3):
            protocol = {'name': 'own', 'network_sha256': 'aa' if epoch == 1 else 'b<b'}
            line = {'checkpoint': f'epoch {epoch} of out', 'scores': {'mean_iou': epoch / 10, 'fid': None},
                    'protocol': protocol, 'real': {'mean_iou': 0.5}}
            file.write(json.dumps(line) + '\n')
    return tmp_path / 'output', trained / 'log'


def test_the_page_is_complete_and_loads_nothing(run):
    """Film strip of both epochs between labels and photos;
    scores in the order of epochs, another network's marked; settings.
    """
    output, log = run
    main(['--output', str(output)])     # the log is where the run's options say
    text = (output / 'page.html').read_text()
    assert 'http' not in text and text.count('<img src="data:image/jpeg;base64,') == 4 + 1 + 1
    assert says(text, '>labels<', '>epoch 1<', '>epoch 2<', '>photos<', 'Losses', '<td>1 *</td><td>0.1000</td>',
                '<td>3</td>',
                'not comparable', 'network_sha256: b&lt;b', '<td>crop_size</td><td>32</td><td>256</td>')
    assert 'FID' not in text and '<th>mean IoU</th>' in text and \
        text.index('<td>1 *') < text.index('<td>2</td>') < text.index('<td>3</td>')
    assert [score.epoch for score in scores(output)] == [1, 2, 3]


def test_scores_of_another_protocol_are_not_drawn(run, monkeypatch):
    figures = []
    monkeypatch.setattr(page_module.plt, 'close', figures.append)
    page_module.score_curves(scores(run[0]))
    drawn, ceiling = figures[0].axes[0].lines
    assert drawn.get_xdata().tolist() == [2, 3] and drawn.get_ydata().tolist() == [0.2, 0.3] and \
        set(ceiling.get_ydata()) == {0.5}
    monkeypatch.undo()
    page_module.plt.close(figures[0])


def test_columns_are_those_of_the_training_pictures(tmp_path):
    """Cut at the places of output.pictures: the generated column is grey, the photo white."""
    fake, photo = np.zeros((2, 3, 24, 40), np.float32), np.ones((2, 3, 24, 40), np.float32)
    pixels = pictures.rows(np.full((2, 24, 40), 9), fake, photo, palette(9))
    pictures.save(pixels, str(tmp_path / 'val_0001.png'))
    found = [np.asarray(image) for image in columns(tmp_path / 'val_0001.png')]
    assert [part.shape for part in found] == [(24 * 2 + 4, 40, 3)] * 3
    assert [int(part[0, 0, 0]) for part in found] == [int(part[23, 39, 2]) for part in found] == [0, 128, 255]


def test_a_long_run_has_a_short_film(tmp_path):
    for epoch in range(1, 101):
        Image.new('RGB', (3 * 8 + 8, 8)).save(tmp_path / f'val_{epoch:04d}.jpg')
    captions = [caption for caption, _ in film(tmp_path)]
    assert len(captions) == page_module.FRAMES + 2 and captions[1] == 'epoch 1' and captions[-2] == 'epoch 100'
    assert film(tmp_path / 'nowhere') == []


def test_what_cannot_be_read_is_named(run, tmp_path):
    output, log = run
    with pytest.raises(InputError, match='no such file'):
        main(['--output', str(output), '--log', str(tmp_path)])
    with pytest.raises(InputError, match='opt.json'):
        main(['--output', str(tmp_path), '--log', str(log)])
    (output / 'scores.jsonl').write_text('{"checkpoint": 3}\n')
    with pytest.raises(InputError, match='scores.jsonl, line 1: cannot be read'):
        main(['--output', str(output), '--log', str(log)])
    assert not (output / 'page.html').exists()


# ---- log.plot --compare

def test_compared_runs_are_smoothed_alike_and_distinct(tmp_path, monkeypatch):
    for name, steps, level in (('a', 400, 1), ('b', 100, 2)):
        rows = np.full((steps, 7), float(level))
        rows[:, 2] = 0
        rows[:, 3] = 0 if name == 'a' else 1
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / 'log.npy', rows)
    figures = []
    monkeypatch.setattr(plot_module.plt, 'close', figures.append)
    plot_module.main(['--compare', str(tmp_path / 'a'), str(tmp_path / 'b'), '--out', str(tmp_path / 'out.png')])
    axes = figures[0].axes
    assert [len(axis.lines) for axis in axes[:4]] == [2, 2, 0, 1] and axes[2].texts[0].get_text() == 'off'
    for line, steps, level in zip(axes[0].lines, (400, 100), (1, 2)):
        assert line.get_xdata()[-1] == steps and set(line.get_ydata()) == {level}
    assert len({line.get_color() for line in axes[0].lines}) == 2
    labels = [text.get_text() for text in axes[7].get_legend().get_texts()]
    assert labels == [f'{tmp_path}/a (400 steps)', f'{tmp_path}/b (100 steps)']
    assert 'means over 3 steps\n' in axes[7].texts[0].get_text()   # what 100 steps get; 400 alone would get 9
    monkeypatch.undo()
    plot_module.plt.close(figures[0])
    assert Image.open(tmp_path / 'out.png').size[0] > 1500 and sorted(os.listdir(tmp_path)) == ['a', 'b', 'out.png']
    with pytest.raises(InputError, match='no such file'):
        plot_module.main(['--compare', str(tmp_path / 'a'), str(tmp_path / 'c')])
    (tmp_path / 'c').mkdir()
    (tmp_path / 'b').rename(tmp_path / 'c/log')
    with pytest.raises(InputError, match='it is in .*c/log$'):
        plot_module.main(['--compare', str(tmp_path / 'a'), str(tmp_path / 'c')])
