"""Miniature archives with the structure of the real ones, for the tests of dataset.prepare."""
import io
import json
import zipfile

import numpy as np
from PIL import Image

SKY, GRASS, WALL = 156, 123, 171
HEIGHT, WIDTH = 60, 80


def picture(pixels, kind):
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, kind)
    return file.getvalue()


def noise(seed, size=(HEIGHT, WIDTH)):
    return np.random.default_rng(seed).integers(0, 255, (*size, 3))


def box(left, top, right, bottom):
    """Polygon of the pixels left .. right - 1, top .. bottom - 1."""
    return [left, top, right, top, right, bottom, left, bottom]


def runs(mask):
    """Run lengths of a mask, down its columns, one pixel at a time."""
    counts, inside = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != inside:
            counts.append(0)
            inside = pixel
        counts[-1] += 1
    return counts


def compressed(counts):
    """The COCO API's string for run lengths: 6 bits a character, differences from the fourth on."""
    text = ''
    for index, count in enumerate(counts):
        value = count - (counts[index - 2] if index > 2 else 0)
        while True:
            piece, value = value & 31, value >> 5
            more = value != (-1 if piece & 16 else 0)
            text += chr(48 + piece + 32 * more)
            if not more:
                break
    return text


class Coco:
    """Collects pictures of a split, then writes the four archives."""

    def __init__(self):
        self.photos, self.labels, self.annotations = {}, {}, {'train': ([], []), 'val': ([], [])}

    def add(self, split, stem, label, objects=(), photo=None):
        """objects: (category, segmentation, crowd); a label of None leaves the pair broken, as does the photo b''."""
        images, annotations = self.annotations[split]
        identity = 1000 + len(images)
        images.append({'id': identity, 'file_name': f'{stem}.jpg'})
        annotations += [{'image_id': identity, 'category_id': category + 1, 'segmentation': segmentation,
                         'iscrowd': crowd,
                         'area': len(json.dumps(segmentation))} for category, segmentation, crowd in objects]
        if photo != b'':
            self.photos[f'{split}2017/{stem}.jpg'] = photo or picture(noise(len(self.photos)), 'JPEG')
        if label is not None:
            self.labels[f'{split}2017/{stem}.png'] = picture(label, 'PNG')

    def write(self, folder, hostile=False):
        folder.mkdir()
        for split in ('train', 'val'):
            with zipfile.ZipFile(folder / f'{split}2017.zip', 'w') as archive:
                for name, content in self.photos.items():
                    if name.startswith(split):
                        archive.writestr(name, content)
                if hostile:
                    for name in ('../evil.jpg', '/evil.jpg', f'{split}2017/../../evil.jpg'):
                        archive.writestr(name, picture(noise(0), 'JPEG'))
                    link = zipfile.ZipInfo(f'{split}2017/link.jpg')
                    link.external_attr = 0o120777 << 16
                    archive.writestr(link, '/etc/passwd')
        with zipfile.ZipFile(folder / 'stuffthingmaps_trainval2017.zip', 'w') as archive:
            for name, content in self.labels.items():
                archive.writestr(name, content)
        with zipfile.ZipFile(folder / 'annotations_trainval2017.zip', 'w') as archive:
            for split, (images, annotations) in self.annotations.items():
                archive.writestr(f'annotations/instances_{split}2017.json', json.dumps({'images': images,
                                                                                         'annotations': annotations}))
        return folder


def stuff_and(*regions):
    """Label map of sky over grass, with (class, left, top, right, bottom) painted into it."""
    label = np.full((HEIGHT, WIDTH), SKY)
    label[HEIGHT // 2:] = GRASS
    for index, left, top, right, bottom in regions:
        label[top:bottom, left:right] = index
    return label


def small_coco(pictures=2):
    coco = Coco()
    touching = stuff_and((0, 10, 10, 50, 40))
    people = [(0, [box(10, 10, 30, 40)], 0), (0, [box(30, 10, 50, 40)], 0)]
    for index in range(pictures):
        coco.add('train', f'touching_{index}', touching, people)
    crowd = np.zeros((HEIGHT, WIDTH), bool)
    crowd[5:20, 40:70] = True
    label = stuff_and((0, 40, 5, 70, 20), (16, 5, 25, 35, 55))
    # a hole, as parts leave it
    ring = [box(5, 25, 35, 30), box(5, 50, 35, 55), box(5, 25, 10, 55), box(30, 25, 35, 55)]
    coco.add('train', 'uncompressed', label, [(0, {'size': [HEIGHT, WIDTH], 'counts': runs(crowd)}, 1), (16, ring, 0)])
    coco.add('train', 'compressed', label,
             [(16, ring, 0), (0, {'size': [HEIGHT, WIDTH], 'counts': compressed(runs(crowd))}, 1)])
    many = [(0, [box(x, y, x + 4, y + 3)], 0) for y in range(0, HEIGHT, 3) for x in range(0, WIDTH, 4)]
    coco.add('train', 'many', np.zeros((HEIGHT, WIDTH)), many)
    coco.add('train', 'grey', touching, people, picture(np.repeat(noise(1)[..., :1], 3, 2), 'JPEG'))
    coco.add('train', 'corrupt', touching, people, picture(noise(2), 'JPEG')[:500])
    coco.add('train', 'without_photo', touching, people, b'')
    coco.add('train', 'without_label', None, people)
    coco.add('train', 'other_size', touching, people, picture(noise(3, (40, 40)), 'JPEG'))
    coco.add('train', 'wrong_region', touching, [(0, {'size': [HEIGHT, WIDTH], 'counts': [5, 5]}, 1)])
    coco.add('val', 'touching', touching, people)
    coco.add('val', 'nothing_countable', stuff_and())
    return coco


def names_in(folder):
    return sorted(path.stem for path in folder.iterdir())
