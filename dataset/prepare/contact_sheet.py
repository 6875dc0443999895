"""A picture to look at before training: photos, coloured labels and instance edges of a few samples."""
import textwrap

import numpy as np
from PIL import Image, ImageDraw

from dataset.demo import edges
from dataset.files import evenly_spaced, load_instance
from dataset.palette import colourize
from dataset.photo import load_photo
from runtime.errors import printable

SAMPLES = 8
CELL = 256, 192  # largest width and height of a picture on the sheet, in pixels
GAP = 4
LINE = 14        # pixels of a line of text
LETTERS = 40     # letters of a line as wide as a picture
MARK = 'orange'  # colour that marks samples with notes


def contact_sheet(samples, colours, title):
    """RGB image: `title`, and a column for each of up to SAMPLES samples, evenly spaced, up to half of them with notes.

    samples: [(dataset.files.Sample, notes)]. A column has the notes, the photo, the labels (ids as in the files) in
    `colours`, uint8 (classes, 3), and the edges of an instance map; photo and instance map may be None. Columns with
    notes are marked.
    """
    noted = evenly_spaced([index for index, (_, notes) in enumerate(samples) if notes], SAMPLES // 2)
    plain = evenly_spaced([index for index in range(len(samples)) if index not in noted], SAMPLES - len(noted))
    chosen = [samples[index] for index in sorted({*noted, *plain})]
    columns = [_column(sample, colours) for sample, _ in chosen]
    head = LINE * (2 + max(len(_wrapped(notes)) for _, notes in chosen))
    rows = max(map(len, columns))
    sheet = Image.new('RGB', (len(columns) * (CELL[0] + GAP) - GAP, head + rows * (CELL[1] + GAP) - GAP), 'white')
    draw = ImageDraw.Draw(sheet)
    _text(draw, (2, 0), title)
    for x, ((sample, notes), column) in enumerate(zip(chosen, columns)):
        left = x * (CELL[0] + GAP)
        if notes:
            draw.rectangle((left, LINE + 2, left + CELL[0] - 1, sheet.height), fill=MARK)
        for number, line in enumerate([sample.stem[-LETTERS:], *_wrapped(notes)], 1):
            _text(draw, (left + 2, LINE * number + 1), line)
        for y, picture in enumerate(column):
            sheet.paste(picture, (left + (CELL[0] - picture.width) // 2,
                                  head + y * (CELL[1] + GAP) + (CELL[1] - picture.height) // 2))
    return sheet


def _wrapped(notes):
    return [line for note in notes for line in textwrap.wrap(note, LETTERS)]


def _text(draw, place, text):
    """Draw text in the built-in font, which has Latin letters only."""
    draw.text(place, printable(text).encode('ascii', 'replace').decode(), fill='black')


def _column(sample, colours):
    ids = load_instance(sample.label)
    scale = min(CELL[0] / ids.shape[1], CELL[1] / ids.shape[0])
    size = max(1, round(ids.shape[1] * scale)), max(1, round(ids.shape[0] * scale))
    pictures = [Image.fromarray(colourize(_small(ids, size), len(colours), colours))]
    if sample.photo:
        pictures.insert(0, load_photo(sample.photo, ids.shape[::-1]).resize(size, Image.Resampling.BICUBIC))
    if sample.instance:
        pictures.append(Image.fromarray(edges(_small(load_instance(sample.instance), size))))
    return pictures


def _small(ids, size):
    return np.asarray(Image.fromarray(ids).resize(size, Image.Resampling.NEAREST))
