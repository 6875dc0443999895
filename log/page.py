"""A run on one page, in a single file that can be mailed: python -m log.page [--output output/ --log log/]

Writes page.html into the run's folder: losses, scores, settings, and the same validation maps after each epoch as a
film strip. The page loads nothing from outside. Needs no Paddle.
"""
import argparse
import base64
import html
import io
import os
import re

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator
from PIL import Image

from dataset.files import evenly_spaced
from log import plot, score_log
from log.score_log import SHOWN, html_table
from model.init import OPT
from runtime.errors import InputError, shown_in_one_line
from runtime.writing import is_marked, mark, refuse_existing, writing

FRAMES = 16               # epochs on the film strip: the first, the last, and evenly spaced ones
GAP = 4                   # pixels between the pictures of a row in output/pics (output/pictures.py)
FRAME_WIDTH, WIDTH = 160, 1300
DRAWN = 'mean_iou', 'pixel_accuracy'   # scores in the curves
STYLE = """
body{font:15px/1.5 sans-serif;color:#333;max-width:1300px;margin:2em auto;padding:0 1em}
h1,h2{font-weight:600} img{max-width:100%} table{border-collapse:collapse} figure{margin:0}
td,th{padding:.15em .9em;border-bottom:1px solid #ddd;text-align:left;font-variant-numeric:tabular-nums}
.faint,figcaption{color:#777;font-size:12px;overflow-wrap:anywhere} figcaption{text-align:center}
.row{display:flex;gap:6px;overflow-x:auto;padding-bottom:8px} .row figure{flex:none}
.row img{min-width:110px;image-rendering:pixelated}
"""


def film(folder):
    """[(caption, image)]: label maps, pictures of up to FRAMES epochs, photos; from folder/val_<epoch>.jpg."""
    names = os.listdir(folder) if os.path.isdir(folder) else ()
    pictures, frames = [(int(name[4:-4]), name) for name in names if re.fullmatch(r'val_\d+\.jpg', name)], []
    for epoch, name in evenly_spaced(sorted(pictures), FRAMES):
        label, fake, photo = columns(os.path.join(folder, name))
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
    """The Scores in output/scores.jsonl that have an epoch, in the order of epochs; [] without the file."""
    scored = score_log.read(os.path.join(output, score_log.FILE))
    return sorted((score for score in scored if score.epoch is not None), key=lambda score: score.epoch)


def score_curves(scores):
    """Picture of the scores over epochs, those with the last one's protocol, and of real photos' scores if known."""
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
    return rendered(figure)


def rendered(figure):
    """A figure as an image."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110)
    plt.close(figure)
    return Image.open(buffer, formats=('PNG',))


def page(output, log=None):
    """The HTML text of the run in `output`; log: the folder of its log, by default as in its options."""
    opt = OPT.load(os.path.join(output, 'model', 'opt.json'))
    rows = plot.read(log or opt.log)
    parts = []
    frames = film(os.path.join(output, 'pics'))
    if frames:
        figures = ''.join(f'<figure>{picture(image, FRAME_WIDTH, caption)}<figcaption>{caption}</figcaption></figure>'
                          for caption, image in frames)
        parts.append(f'<h2>The same validation maps, epoch after epoch</h2><div class=row>{figures}</div>')
    scored = scores(output)
    if scored:
        parts.append(f'<h2>Scores</h2>{picture(score_curves(scored), WIDTH, "scores")}{_score_table(scored)}')
    parts.append(f'<h2>Losses</h2>{picture(rendered(plot.losses(rows)), WIDTH, "losses")}')
    changed = OPT().differences(opt, effects=('networks', 'order', 'learned', 'bits', 'free'))
    options = [('option', 'here', 'default'), *((name, str(own), str(default))
                                                for name, (default, own) in changed.items())]
    rest = listed({name: value for name, value in opt.as_dict().items() if name not in changed})
    parts.append(f'<h2>Settings</h2>{html_table(options)}<p class=faint>Defaults: {rest}</p>')
    return document(f'{os.path.normpath(output)}: {len(rows):,} steps', parts, f'data: {opt.dataroot}')


def _score_table(scores):
    """The scores of every epoch, and the last one's protocol; epochs with another protocol are marked."""
    last = scores[-1].protocol
    epochs = [f'{score.epoch}{"" if score.protocol == last else " *"}' for score in scores]
    note = '<p>* another protocol or network: not comparable</p>' if any('*' in epoch for epoch in epochs) else ''
    note += ''.join(f'<p>{html.escape(line)}</p>' for line in score_log.warnings(scores[-1]))
    columns = [('epoch', *epochs)] + [row for row in score_log.rows(scores) if set(row[1:]) != {'-'}]
    return f'{html_table(zip(*columns))}{note}<p class=faint>{listed(last)}</p>'


def listed(entries):
    """Names and values in a line of HTML."""
    return html.escape(' · '.join(f'{name}: {value}' for name, value in entries.items() if value is not None))


def document(title, body, subtitle='', style=''):
    """A whole page as HTML: `body` is a list of HTML, title and subtitle are text, `style` is CSS beside STYLE."""
    return (f'<!doctype html><html lang=en><meta charset=utf-8><meta name=generator content="{mark()}">'
            f'<meta name=viewport content="width=device-width"><title>{html.escape(title)}</title>'
            f'<style>{STYLE}{style}</style><h1>{html.escape(title)}</h1>'
            f'<p class=faint>{html.escape(subtitle)}</p>' + '\n'.join(body) + '</html>')


def picture(image, width, what):
    """An <img> that holds the image as JPEG, not wider than `width`."""
    image = image.convert('RGB')
    image.thumbnail((width, 10 ** 5), Image.Resampling.LANCZOS)
    return f'<img src="{data_url(image, "JPEG", quality=88)}" alt="{html.escape(what)}">'


def data_url(image, form, **settings):
    """The pixels of an image as a data: URL; its comment and other origins are left out."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(buffer, form, **settings)
    return f'data:image/{form.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}'


def main(arguments=None):
    parser = argparse.ArgumentParser(prog='python -m log.page', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--output', default='output/', metavar='DIR', help='folder of the run [output/]')
    parser.add_argument('--log', metavar='DIR', help='folder of its log.npy [as in its options]')
    parser.add_argument('--page', metavar='FILE.html', help='file to write [page.html in the folder of the run]')
    options = parser.parse_args(arguments)
    path = options.page or os.path.join(options.output, 'page.html')
    refuse_existing(path, is_marked)
    write(path, page(options.output, options.log))
    print(f'{path}: {os.path.getsize(path) / 1e6:.1f} MB')


def write(path, text):
    with writing(path) as unfinished, open(unfinished, 'w', encoding='utf-8') as file:
        file.write(text)


if __name__ == '__main__':
    with shown_in_one_line():
        main()
