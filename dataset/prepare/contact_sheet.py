"""A picture to look at before training: photos, coloured labels and instance edges of a few samples."""
import numpy as np
from PIL import Image

from dataset.demo import edges
from dataset.files import load_instance, load_photo
from dataset.palette import colourize

SAMPLES = 8
CELL = 256, 192  # largest width and height of a picture on the sheet, in pixels
GAP = 4


def contact_sheet(samples, colours):
    """RGB image: a column for each of up to SAMPLES of `samples` (dataset.files.Sample), evenly spaced.

    Photo, labels (ids as in the files) in `colours`, uint8 (classes, 3), and instance edges where there are instance maps.
    """
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(SAMPLES, len(samples))).round().astype(int))
    columns = [_column(samples[index], colours) for index in chosen]
    rows = max(map(len, columns))
    sheet = Image.new('RGB', (len(columns) * (CELL[0] + GAP) - GAP, rows * (CELL[1] + GAP) - GAP), 'white')
    for x, column in enumerate(columns):
        for y, picture in enumerate(column):
            sheet.paste(picture, (x * (CELL[0] + GAP) + (CELL[0] - picture.width) // 2,
                                  y * (CELL[1] + GAP) + (CELL[1] - picture.height) // 2))
    return sheet


def _column(sample, colours):
    photo = load_photo(sample.photo)
    scale = min(CELL[0] / photo.width, CELL[1] / photo.height)
    size = max(1, round(photo.width * scale)), max(1, round(photo.height * scale))
    label = colourize(_small(sample.label, size), len(colours), colours)
    pictures = [photo.resize(size, Image.Resampling.BICUBIC), Image.fromarray(label)]
    return pictures + ([Image.fromarray(edges(_small(sample.instance, size)))] if sample.instance else [])


def _small(path, size):
    return np.asarray(Image.fromarray(load_instance(path)).resize(size, Image.Resampling.NEAREST))
