"""Pictures to look at: sheets of the first validation pictures, and a page with them and the scores.

    python -m result.sheet --pictures output_val/pics --dataset coco_stuff [--reference theirs/pics] [--rows 20]

result/1.jpg, 2.jpg, ... have ten rows each: ours, the other system's, the photo, and their segmentations.
result/index.html shows them with scores, IoU by class, worst and best pictures, losses and settings, in one file.
"""
import html
import os

from runtime import device  # first: sets the threads, then imports Paddle

# isort: split

import matplotlib.font_manager
import numpy
from PIL import Image, ImageDraw, ImageFont

from dataset import classes
from dataset.files import find_samples
from dataset.palette import colourize, palette
from dataset.photo import load_photo
from log import score_log
from log.page import document, listed, losses, picture
from log.score_log import html_table
from model.init import OPT
from model.weights import folder_of
from output import pictures
from result.evaluate import command_line, scored
from result.measure import resized
from runtime.bar import bar
from runtime.errors import InputError, shown_in_one_line
from runtime.writing import is_marked, refuse_existing, writing

ROWS, GAP, TITLE = 10, 4, 28     # rows of a sheet; pixels between pictures, and of the line of titles
WIDTH = 192                      # least width of a column in pixels, nearly: the titles must fit
EXTREMES = 5                     # worst and best pictures on the page, of half of all at most
SHEET_WIDTH, PICTURE_WIDTH = 1100, 180   # pixels on the page
INK = (51, 51, 51)
STYLE = """
body{font:15px/1.5 sans-serif;color:#333;max-width:1100px;margin:2em auto;padding:0 1em}
h1,h2{font-weight:600} img{max-width:100%} figure{margin:0}
table{border-collapse:collapse} td,th{padding:.2em 1em;border-bottom:1px solid #ddd;text-align:left}
td+td{text-align:right;font-variant-numeric:tabular-nums}
.faint,figcaption{color:#777;font-size:12px;overflow-wrap:anywhere}
.row{display:flex;flex-wrap:wrap;gap:8px}
.bars{columns:3} .bar{display:flex;font-size:12px;break-inside:avoid}
.bar b{font-weight:400;width:11em;overflow:hidden;white-space:nowrap;text-overflow:ellipsis}
.bar i{flex:1;background:#eee;height:9px;margin:4px 6px} .bar i>span{display:block;height:9px;background:#1f5fa8}
"""


# ---- The sheets

def rows(evaluation, systems, count):
    """(stem, [uint8 (H, W, 3), ...]) of the first `count` scored pictures: systems, photo, then their segmentations."""
    size, colours = evaluation.size, _colours(evaluation)
    samples = find_samples(evaluation.opt, 'val')[:count]
    folders = [{picture.stem: picture.path for picture, _ in evaluation.scored[folder]} for folder in systems.values()]
    with bar(len(samples), 'sheets', 'row') as progress:
        for sample in samples:
            progress.update()
            if all(sample.stem in paths for paths in folders):
                paths = [found[sample.stem] for found in folders] + [sample.photo]
                seen = [numpy.asarray(resized(load_photo(path), size, Image.Resampling.BICUBIC)) for path in paths]
                maps = evaluation.segmentation.predict(numpy.stack(seen))
                yield sample.stem, seen + [colourize(predicted, len(colours), colours) for predicted in maps]


def _colours(evaluation):
    """uint8 (classes, 3): those of the scored classes in classes.json of the set, where it has one."""
    count, found = len(evaluation.dataset.names), classes.of_set(evaluation.opt)
    ids = list(evaluation.dataset.ids or range(count))
    return numpy.array(found['colours'], numpy.uint8)[ids] if found else palette(count)


def sheet(titles, cells):
    """uint8 picture of the rows `cells`, lists of pictures of one size, below the titles; small ones enlarged."""
    enlarged = max(1, round(WIDTH / cells[0][0].shape[1]))
    cells = [[pixels.repeat(enlarged, 0).repeat(enlarged, 1) for pixels in row] for row in cells]
    height, width = cells[0][0].shape[:2]
    canvas = Image.new('RGB', ((width + GAP) * len(titles) - GAP, TITLE + (height + GAP) * len(cells) - GAP), 'white')
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.truetype(matplotlib.font_manager.findfont('DejaVu Sans'), 14)
    for column, title in enumerate(titles):
        draw.text((column * (width + GAP) + width // 2, TITLE // 2), title, INK, font, 'mm')
        for row, pixels in enumerate(cells):
            canvas.paste(Image.fromarray(pixels[column]), (column * (width + GAP), TITLE + row * (height + GAP)))
    return numpy.asarray(canvas)


def write_sheets(folder, titles, found):
    """Write `found` (stem, pictures), ten a sheet, as folder/1.jpg, 2.jpg, ...; returns the paths."""
    paths = []
    for start in range(0, len(found), ROWS):
        paths.append(_sheet_path(folder, start))
        pictures.save(sheet(titles, [cells for _, cells in found[start:start + ROWS]]), paths[-1])
    return paths


def _sheet_path(folder, start):
    return os.path.join(folder, f'{start // ROWS + 1}.jpg')


# ---- The page

def extremes(evaluation, folder):
    """[(pixel accuracy, Picture)] from worst to best; pictures of void alone have none."""
    scored = [(accuracy, picture) for picture, accuracy in evaluation.scored[folder] if not numpy.isnan(accuracy)]
    return sorted(scored, key=lambda entry: entry[0])


def page(evaluation, systems, scores, sheets, log, settings):
    """The HTML text; all pictures are in it."""
    parts = [f'<h2>Scores</h2>{html_table([("", *systems), *score_log.rows(scores)])}',
             f'<p>{score_log.warning(scores[0].class_iou)}</p>',
             f'<p class=faint>{listed(score_log.protocol(scores))}</p>',
             '<h2>The first pictures by name</h2>',
             *(picture(load_photo(path), SHEET_WIDTH, os.path.basename(path)) for path in sheets)]
    ranked = extremes(evaluation, settings.pictures)
    count = min(EXTREMES, (len(ranked) + 1) // 2)
    for title, chosen in (('Worst pictures', ranked[:count]), ('Best pictures', ranked[::-1][:count])):
        figures = ''.join(f'<figure>{picture(load_photo(found.path), PICTURE_WIDTH, found.stem)}'
                          f'<figcaption>{html.escape(found.stem)}<br>{accuracy:.3f}</figcaption></figure>'
                          for accuracy, found in chosen)
        parts.append(f'<h2>{title}, by pixel accuracy</h2><div class=row>{figures}</div>')
    parts.append('<h2>IoU by class</h2>' + _bars(
        evaluation.dataset.names, scores[0].class_iou, scores[0].real_class_iou))
    if log is not None:
        parts.append(f'<h2>Losses</h2>{picture(log, SHEET_WIDTH, "losses")}')
    parts.append(f'<h2>Settings</h2><p class=faint>{listed(vars(settings))}</p>')
    if settings.checkpoint and os.path.isdir(settings.checkpoint):
        trained = OPT.load(os.path.join(folder_of(settings.checkpoint), 'opt.json')).as_dict()
        parts.append(f'<p class=faint>Training: {listed(trained)}</p>')
    title = f'{settings.dataset}: {scores[0].protocol["number_of_pictures"]} pictures'
    return document(title, STYLE, parts, scores[0].date)


def _bars(names, values, real=None):
    """A bar for each class that is there, the best first; behind it what real photos get, where that is known."""
    real = real or [None] * len(names)
    there = sorted(((value, name, photo) for name, value, photo in zip(names, values, real) if value is not None),
                   key=lambda row: row[:2], reverse=True)
    bars = ''.join(f'<div class=bar><b title="{html.escape(name)}">{html.escape(name)}</b>'
                   f'<i><span style="width:{100 * value:.1f}%"></span></i>{value:.3f}'
                   + (f' <em>{photo:.3f}</em>' if photo is not None else '') + '</div>' for value, name, photo in there)
    beside = '; in italics: real photos' if any(photo is not None for photo in real) else ''
    return (f'<p class=faint>{len(there)} of {len(names)} classes are in the labels or the segmentation{beside}</p>'
            f'<div class=bars>{bars}</div>')


def main():
    parser = command_line(__doc__)
    parser.add_argument('--rows', type=int, default=2 * ROWS,
                        help=f'validation pictures on the sheets, the first by name [{2 * ROWS}]')
    parser.add_argument('--log', default='log/', metavar='DIR',
                        help='folder of log.npy, for the curves; none without it [log/]')
    parser.add_argument('--output', default='result/', metavar='DIR',
                        help='folder for the sheets and index.html [result/]')
    settings = parser.parse_args()
    if settings.rows < 1 or not settings.segmentation:
        raise InputError('the sheet shows one row at least, and its segmentation: leave --no_segmentation out, and '
                         '--rows above 0')
    path = os.path.join(settings.output, 'index.html')
    for file in [path] + [_sheet_path(settings.output, start) for start in range(0, settings.rows, ROWS)]:
        refuse_existing(file, is_marked)
    device.use_best_device()
    evaluation, scores = scored(settings)
    systems = {'ours': settings.pictures}
    if settings.reference:
        systems['other'] = settings.reference
    names = [*systems, 'photo']
    found = list(rows(evaluation, systems, settings.rows))
    sheets = write_sheets(settings.output, names + [f'{name}: segmented' for name in names], found)
    log = losses(settings.log)[0] if os.path.exists(os.path.join(settings.log, 'log.npy')) else None
    with writing(path) as unfinished, open(unfinished, 'w', encoding='utf-8') as file:
        file.write(page(evaluation, systems, scores, sheets, log, settings))
    print(f'{len(found)} rows: {", ".join(sheets)}; page: {path}')


if __name__ == '__main__':
    with shown_in_one_line():
        main()
