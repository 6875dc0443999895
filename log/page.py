"""One page that tells a run, in a single file that can be mailed: python -m log.page [--output output/ --log log/]

Losses, scores, the same validation pictures epoch after epoch as a film strip, and settings, as page.html in the folder
of the run. It needs nothing from outside, and no Paddle.
"""
import argparse
import base64
import html
import io
import os
import re
import tempfile

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy
from matplotlib.ticker import MaxNLocator
from PIL import Image

from log import plot, score_log
from log.score_log import SHOWN, html_table
from model.init import OPT
from runtime.errors import InputError, shown_in_one_line
from runtime.writing import is_marked, mark, refuse_existing, writing

FRAMES = 16               # epochs on the film strip: the first, the last, and evenly between
GAP = 4                   # pixels between the pictures of a row in output/pics (output/pictures.py)
FRAME_WIDTH, WIDTH = 160, 1300
DRAWN = 'mean_iou', 'pixel_accuracy'   # scores that are drawn over epochs
STYLE = """
body{font:15px/1.5 sans-serif;color:#333;max-width:1300px;margin:2em auto;padding:0 1em}
h1,h2{font-weight:600} img{max-width:100%} table{border-collapse:collapse}
td,th{padding:.15em .9em;border-bottom:1px solid #ddd;text-align:left;font-variant-numeric:tabular-nums}
.faint,figcaption{color:#777;font-size:12px;overflow-wrap:anywhere}
.strip{display:flex;gap:6px;overflow-x:auto;padding-bottom:8px} .strip figure{margin:0;flex:none}
.strip figcaption{text-align:center} .strip img{min-width:110px;image-rendering:pixelated}
"""


def film(folder):
    """[(caption, image)]: label maps, pictures of up to FRAMES epochs, photos; from folder/val_<epoch>.jpg."""
    names = {int(match[1]): name for name in sorted(_listing(folder))
             if (match := re.fullmatch(r'val_(\d+)\.jpg', name))}
    epochs = sorted(names)
    frames = []
    for index in numpy.unique(numpy.linspace(0, len(epochs) - 1, min(FRAMES, len(epochs))).round().astype(int)):
        epoch = epochs[index]
        label, fake, photo = columns(os.path.join(folder, names[epoch]))
        frames += [('labels', label)] * (not frames) + [(f'epoch {epoch}', fake)]
    return frames + [('photos', photo)] if frames else []


def columns(path):
    """The three columns of a training picture: label maps, generated, photos."""
    try:
        with Image.open(path, formats=('JPEG', 'PNG')) as image:
            image = image.convert('RGB')
    except OSError as error:
        raise InputError(f'{path}: cannot be read: {error}: remove it') from None
    width = (image.width - 2 * GAP) // 3
    return [image.crop((left, 0, left + width, image.height)) for left in range(0, 3 * (width + GAP), width + GAP)]


def scores(output):
    """The Scores of output/scores.jsonl that tell their epoch, in its order; [] without it."""
    found = score_log.read(os.path.join(output, score_log.FILE))
    return sorted((score for score in found if score.epoch is not None), key=lambda score: score.epoch)


def score_curves(scores):
    """A picture of the scores over epochs, of the last one's protocol alone; real photos' where they are known."""
    last = scores[-1]
    figure, axis = plt.subplots(figsize=(11, 3.6), constrained_layout=True)
    for name, colour in zip(DRAWN, plot.RUNS):
        points = [(score.epoch, score.scores[name]) for score in scores
                  if score.protocol == last.protocol and score.scores.get(name) is not None]
        if points:
            axis.plot(*zip(*points), color=colour, marker='.', label=SHOWN[name])
            real = (last.real or {}).get(name)
            if real is not None:
                axis.axhline(real, color=colour, linestyle='--', linewidth=1, label=f'{SHOWN[name]} of real photos')
    axis.set_xlabel('epoch')
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.set_ylim(bottom=0)
    axis.grid(axis='y', color='#ececec')
    if axis.lines:
        axis.legend(frameon=False, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100)
    plt.close(figure)
    return Image.open(buffer, formats=('PNG',))


def losses(folder):
    """(the curves of folder/log.npy as an image, its number of rows)."""
    rows, source = plot.read(folder)
    with tempfile.TemporaryDirectory() as place:
        drawn = os.path.join(place, 'log.png')
        try:
            plot.plot(rows, drawn)
        except InputError as error:
            raise InputError(f'{source}: {error}') from None
        with Image.open(drawn, formats=('PNG',)) as image:
            return image.convert('RGB'), len(rows)


def page(output, log):
    """The HTML text."""
    opt = OPT.load(os.path.join(output, 'model', 'opt.json'))
    curves, steps = losses(log)
    title = f'{os.path.normpath(output)}: {steps:,} steps'
    parts = []
    frames = film(os.path.join(output, 'pics'))
    if frames:
        figures = ''.join(f'<figure>{picture(image, FRAME_WIDTH, caption)}<figcaption>{caption}</figcaption></figure>'
                          for caption, image in frames)
        parts.append(f'<h2>The same validation maps, epoch after epoch</h2><div class=strip>{figures}</div>')
    found = scores(output)
    if found:
        parts.append(f'<h2>Scores</h2>{picture(score_curves(found), WIDTH, "scores")}{_score_table(found)}')
    parts.append(f'<h2>Losses</h2>{picture(curves, WIDTH, "losses")}')
    changed = OPT().differences(opt, effects=('networks', 'order', 'learned', 'bits', 'free'))
    rows = ''.join(f'<tr><td>{name}</td><td>{html.escape(str(own))}</td><td class=faint>{html.escape(str(default))}'
                   '</td></tr>' for name, (default, own) in changed.items())
    rest = listed({name: value for name, value in opt.as_dict().items() if name not in changed})
    parts.append(f'<h2>Settings</h2><table><tr><th>option</th><th>here</th><th>default</th></tr>{rows}</table>'
                 f'<p class=faint>As by default: {rest}</p>')
    return document(title, STYLE, parts, f'data: {opt.dataroot}')


def _score_table(scores):
    """The scores of every epoch, and their protocol; epochs of another protocol than the last are marked."""
    last = scores[-1].protocol
    epochs = [f'{score.epoch}{"" if score.protocol == last else " *"}' for score in scores]
    others = '<p>* by another protocol or network: not comparable</p>' if any('*' in epoch for epoch in epochs) else ''
    columns = [('epoch', *epochs)] + [row for row in score_log.rows(scores) if set(row[1:]) != {'-'}]
    return f'{html_table(zip(*columns))}{others}<p class=faint>{listed(last)}</p>'


def listed(entries):
    """Names and values in a line of HTML."""
    return html.escape(' · '.join(f'{name}: {value}' for name, value in entries.items() if value is not None))


def document(title, style, body, subtitle=''):
    """A whole page as HTML: `body` is HTML, title and subtitle are text."""
    return (f'<!doctype html><html lang=en><meta charset=utf-8><meta name=generator content="{mark()}">'
            f'<meta name=viewport content="width=device-width"><title>{html.escape(title)}</title>'
            f'<style>{style}</style><h1>{html.escape(title)}</h1>'
            f'<p class=faint>{html.escape(subtitle)}</p>' + '\n'.join(body) + '</html>')


def picture(image, width, what):
    """An <img> that holds the image as JPEG, not wider than `width`."""
    image = image.convert('RGB')
    image.thumbnail((width, 10 ** 5), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, 'JPEG', quality=88)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/jpeg;base64,{data}" alt="{html.escape(what)}">'


def log_of(output):
    """The folder of the run's log, as its options have it."""
    return OPT.load(os.path.join(output, 'model', 'opt.json')).log


def _listing(folder):
    return os.listdir(folder) if os.path.isdir(folder) else []


def main(arguments=None):
    parser = argparse.ArgumentParser(prog='python -m log.page', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--output', default='output/', metavar='DIR', help='folder of the run [output/]')
    parser.add_argument('--log', metavar='DIR', help='folder of its log.npy [where the run says that it writes it]')
    parser.add_argument('--page', metavar='FILE.html', help='file to write [page.html in the folder of the run]')
    given = parser.parse_args(arguments)
    path = given.page or os.path.join(given.output, 'page.html')
    refuse_existing(path, is_marked)
    text = page(given.output, given.log or log_of(given.output))
    with writing(path) as unfinished, open(unfinished, 'w', encoding='utf-8') as file:
        file.write(text)
    print(f'{path}: {os.path.getsize(path) / 1e6:.1f} MB')


if __name__ == '__main__':
    with shown_in_one_line():
        main()
