"""Sheets of the first validation pictures, and a page with them and the scores.

    python -m result.sheet --pictures output_val/pics --dataset coco_stuff [--reference theirs/pics] [--rows 20]
    python -m result.sheet --pictures output_val/pics --dataset own --dataroot mine --nearest

PICTURES_sheet/1.jpg, 2.jpg, ... have ten rows each: the label map, our picture, the other system's, the photo, and
their segmentations. index.html there, a single file, adds scores, IoU and colour of each class, worst and best
pictures, losses and settings.
"""
import html
import os

from runtime import device  # first: sets the threads, then imports Paddle

# isort: split

import matplotlib.font_manager
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dataset import classes
from dataset.files import find_samples
from dataset.labelled_images import middle
from dataset.palette import colourize, palette
from dataset.photo import load_photo
from log import plot, score_log
from log.page import document, listed, picture, rendered, write
from log.score_log import html_table
from model.init import OPT
from model.weights import folder_of
from output import pictures
from result.evaluate import command_line, scored
from result.measure import at_size, true_classes
from result.own.nearest import nearest
from result.protocols import OWN
from runtime.bar import counted
from runtime.errors import InputError, shown_in_one_line
from runtime.writing import is_marked, refuse_existing

ROWS, GAP, TITLE = 10, 4, 28     # rows of a sheet; pixels between pictures; height of the titles
WIDTH = 192                      # approximate minimum width of a column in pixels, for the titles
EXTREMES = 5                     # worst and as many best pictures on the page, at most half of all
SHEET_WIDTH, PICTURE_WIDTH = 1100, 180   # pixels on the page
INK = (51, 51, 51)
STYLE = """
td+td{text-align:right} .row{flex-wrap:wrap} .row img{image-rendering:auto}
.bars{columns:3} .bar{display:flex;font-size:12px;break-inside:avoid}
.bar b{font-weight:400;width:11em;overflow:hidden;white-space:nowrap;text-overflow:ellipsis}
.bar u{width:12px;margin:1px 4px}
.bar i{flex:1;background:#eee;height:9px;margin:4px 6px} .bar i>span{display:block;height:9px;background:#1f5fa8}
"""


# ---- The sheets

def rows(evaluation, systems, count, training=None):
    """[[uint8 (H, W, 3), ...]] of the first `count` scored pictures: label map, systems, photo, their segmentations.

    training: dict of stem -> a training photo, which follows the first system's picture and is not segmented.
    """
    size, colours, cells = evaluation.size, _colours(evaluation), []
    folders = [{picture.stem: picture.path for picture, _ in evaluation.scored[folder]} for folder in systems.values()]
    samples = [sample for sample in find_samples(evaluation.opt, 'val')[:count]
               if all(sample.stem in paths for paths in folders)]
    for sample in counted(samples, len(samples), 'sheets', 'row'):
        paths = [*(folder[sample.stem] for folder in folders), sample.photo]
        beside = [training[sample.stem]] if training else []
        first, *others = (np.asarray(at_size(load_photo(path), size, evaluation.middle)) for path in paths + beside)
        others, beside = others[:len(folders)], others[len(folders):]
        maps = evaluation.segmentation.predict(np.stack([first, *others]))
        label = Image.fromarray(true_classes(sample.label, evaluation.dataset).astype(np.int32))
        label = middle(label, size) if evaluation.middle else label.resize(size, Image.Resampling.NEAREST)
        label, *maps = (colourize(ids, len(colours), colours) for ids in (np.asarray(label), *maps))
        cells.append([label, first, *beside, *others, *maps])
    return cells


def _colours(evaluation):
    """uint8 (classes, 3): colours of the scored classes, from the set's classes.json if it has one."""
    count, content = len(evaluation.dataset.names), classes.of_set(evaluation.opt)
    ids = list(evaluation.dataset.ids or range(count))
    return np.array(content['colours'], np.uint8)[ids] if content else palette(count)


def sheet(titles, cells):
    """uint8 picture: titles above the rows `cells`, lists of pictures of one size; small ones are enlarged."""
    scale = max(1, round(WIDTH / cells[0][0].shape[1]))
    cells = [[pixels.repeat(scale, 0).repeat(scale, 1) for pixels in row] for row in cells]
    height, width = cells[0][0].shape[:2]
    canvas = Image.new('RGB', ((width + GAP) * len(titles) - GAP, TITLE + (height + GAP) * len(cells) - GAP), 'white')
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.truetype(matplotlib.font_manager.findfont('DejaVu Sans'), 14)
    for column, title in enumerate(titles):
        draw.text((column * (width + GAP) + width // 2, TITLE // 2), title, INK, font, 'mm')
        for row, pixels in enumerate(cells):
            canvas.paste(Image.fromarray(pixels[column]), (column * (width + GAP), TITLE + row * (height + GAP)))
    return np.asarray(canvas)


def write_sheets(folder, titles, cells):
    """Write the rows `cells`, ten a sheet, as folder/1.jpg, 2.jpg, ...; returns the paths."""
    paths = sheet_paths(folder, len(cells))
    for number, path in enumerate(paths):
        pictures.save(sheet(titles, cells[number * ROWS:][:ROWS]), path)
    return paths


def sheet_paths(folder, count):
    return [os.path.join(folder, f'{start // ROWS + 1}.jpg') for start in range(0, count, ROWS)]


# ---- The page

def page(evaluation, systems, scores, sheets, log, settings, distances=''):
    """The HTML text, with all pictures in it. distances: text of result.own.nearest."""
    parts = [f'<h2>Scores</h2>{html_table([("", *systems), *score_log.rows(scores)])}',
             *(f'<p>{html.escape(line)}</p>' for line in score_log.warnings(scores[0])),
             f'<p class=faint>{listed(score_log.protocol(scores))}</p>',
             *([f'<p>{html.escape(distances)}</p>'] if distances else []),
             '<h2>The first pictures by name</h2>',
             *(picture(load_photo(path), SHEET_WIDTH, os.path.basename(path)) for path in sheets)]
    ranked = sorted((entry for entry in evaluation.scored[settings.pictures] if not np.isnan(entry[1])),
                    key=lambda entry: entry[1])
    count = min(EXTREMES, (len(ranked) + 1) // 2)
    for title, chosen in (('Worst pictures', ranked[:count]), ('Best pictures', ranked[::-1][:count])):
        figures = ''.join(f'<figure>{picture(load_photo(each.path), PICTURE_WIDTH, each.stem)}'
                          f'<figcaption>{html.escape(each.stem)}<br>{accuracy:.3f}</figcaption></figure>'
                          for each, accuracy in chosen)
        parts.append(f'<h2>{title}, by pixel accuracy</h2><div class=row>{figures}</div>')
    parts.append('<h2>IoU by class</h2>' + _bars(
        evaluation.dataset.names, scores[0].class_iou, scores[0].real_class_iou, _colours(evaluation)))
    if log is not None:
        parts.append(f'<h2>Losses</h2>{picture(log, SHEET_WIDTH, "losses")}')
    parts.append(f'<h2>Settings</h2><p class=faint>{listed(vars(settings))}</p>')
    if settings.checkpoint and os.path.isdir(settings.checkpoint):
        options = OPT.load(os.path.join(folder_of(settings.checkpoint), 'opt.json')).as_dict()
        parts.append(f'<p class=faint>Options of the run: {listed(options)}</p>')
    title = f'{settings.dataset}: {scores[0].protocol["number_of_pictures"]} pictures'
    return document(title, parts, scores[0].date, STYLE)


def _bars(names, values, real, colours):
    """A bar for each class with an IoU, the best first: its colour on the sheets, the IoU of real photos if known."""
    bars = sorted(((value, name, photo, bytes(colour).hex()) for name, value, photo, colour in zip(
        names, values, real or [None] * len(names), colours) if value is not None),
        key=lambda bar: bar[:2], reverse=True)
    lines = ''.join(f'<div class=bar><u style="background:#{colour}"></u><b title="{html.escape(name)}">'
                    f'{html.escape(name)}</b>'
                    f'<i><span style="width:{100 * value:.1f}%"></span></i>{value:.3f}'
                    + (f' <em>{photo:.3f}</em>' if photo is not None else '') + '</div>'
                    for value, name, photo, colour in bars)
    note = '; in italics: real photos' * bool(real) + '; before each its colour on the sheets (unlabelled: black)'
    return (f'<p class=faint>{len(bars)} of {len(names)} classes are in the labels or the segmentation{note}</p>'
            f'<div class=bars>{lines}</div>')


def main():
    parser = command_line(__doc__)
    parser.add_argument('--rows', type=int, default=2 * ROWS, metavar='INT',
                        help=f'validation pictures on the sheets, the first by name [{2 * ROWS}]')
    parser.add_argument('--nearest', action='store_true', help="with --dataset own: show each picture's nearest "
                        'training photo, by features, and compare its distance with those of real photos')
    parser.add_argument('--log', default='log/', metavar='DIR', help='folder of log.npy, for the loss curves [log/]')
    parser.add_argument('--output', metavar='DIR', help='folder of sheets and index.html [PICTURES_sheet, beside the '
                        'pictures]')
    settings = parser.parse_args()
    settings.output = settings.output or f'{os.path.normpath(settings.pictures)}_sheet'
    if settings.nearest and (settings.dataset != OWN or not settings.distance):
        raise InputError("--nearest needs the features of the set's own network (result.train_segmenter): add "
                         f'--dataset {OWN}, omit --no_fid')
    if settings.rows < 1 or not settings.segmentation:
        raise InputError('the sheet needs the segmentation and at least one row: omit --no_segmentation, set --rows '
                         'above 0')
    path = os.path.join(settings.output, 'index.html')
    for file in [path, *sheet_paths(settings.output, settings.rows)]:
        refuse_existing(file, is_marked)
    device.use_best_device()
    evaluation, scores = scored(settings)
    systems = {'ours': settings.pictures, **({'other': settings.reference} if settings.reference else {})}
    training, distances = nearest(evaluation, settings.pictures) if settings.nearest else (None, '')
    shown = ['ours', *['nearest in training'] * settings.nearest, *[*systems][1:], 'photo']
    cells = rows(evaluation, systems, settings.rows, training)
    titles = ['label map', *shown] + [f'{name}: segmented' for name in (*systems, 'photo')]
    sheets = write_sheets(settings.output, titles, cells)
    has_log = os.path.exists(os.path.join(settings.log, 'log.npy'))
    log = rendered(plot.losses(plot.read(settings.log))) if has_log else None
    write(path, page(evaluation, systems, scores, sheets, log, settings, distances))
    for line in [distances] * bool(distances) + score_log.warnings(scores[0]):
        print(line)
    print(f'{len(cells)} rows: {", ".join(sheets)}; page: {path}')


if __name__ == '__main__':
    with shown_in_one_line('stopped: the same command goes on after the last measured picture'):
        main()
