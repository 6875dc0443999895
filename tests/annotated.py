"""A small drawn set as annotation tools leave it: what docs/own_data.md begins with."""
import json

import numpy as np
from PIL import Image

COLOURS = {'ground': (120, 90, 60), 'house': (200, 40, 40), 'sky': (60, 130, 220)}
SIDE, COUNT = 64, 20   # of them 2 are for validation, as few as a Frechet distance takes


def annotate(folder):
    """Write labelme/ (photos with LabelMe files), instances.json (COCO, of these photos), pix2pix/ (photo and colours
    in one JPEG) with pairs.txt, and counterparts.txt for --init_classes.
    """
    names, images, annotations = list(COLOURS), [], []
    for name in ('labelme', 'pix2pix'):
        (folder / name).mkdir()
    for number in range(COUNT):
        label, shapes, left, top = np.zeros((SIDE, SIDE, 3), np.uint8), [], 2 + 2 * number, 14 + number
        for name, (x0, y0, x1, y1) in (('sky', (0, 0, SIDE, 36)), ('ground', (0, 36, SIDE, SIDE)),
                                       ('house', (left, top, left + 16, 48))):
            label[y0:y1, x0:x1] = COLOURS[name]
            points = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
            shapes.append({'label': name, 'points': points, 'shape_type': 'polygon', 'group_id': None, 'flags': {}})
            annotations.append({'id': len(annotations) + 1, 'image_id': number, 'category_id': names.index(name) + 1,
                                'segmentation': [sum(points, [])], 'area': (x1 - x0) * (y1 - y0), 'iscrowd': 0,
                                'bbox': [x0, y0, x1 - x0, y1 - y0]})
        noise = np.random.default_rng(number).integers(-20, 20, label.shape)
        photo = np.clip(label * 0.6 + 50 + noise, 0, 255).astype(np.uint8)
        Image.fromarray(photo).save(folder / 'labelme' / f'{number}.jpg')
        content = {'version': '5.5.0', 'flags': {}, 'shapes': shapes, 'imagePath': f'{number}.jpg', 'imageData': None,
                   'imageHeight': SIDE, 'imageWidth': SIDE}
        (folder / 'labelme' / f'{number}.json').write_text(json.dumps(content))
        Image.fromarray(np.hstack([photo, label])).save(folder / 'pix2pix' / f'{number}.jpg', quality=95)
        images.append({'id': number, 'file_name': f'{number}.jpg', 'width': SIDE, 'height': SIDE})
    categories = [{'id': index + 1, 'name': name} for index, name in enumerate(names)]
    content = {'images': images, 'annotations': annotations, 'categories': categories}
    (folder / 'instances.json').write_text(json.dumps(content))
    lines = [f'{index} {red} {green} {blue} {name}'
             for index, (name, (red, green, blue)) in enumerate(COLOURS.items())]
    (folder / 'pairs.txt').write_text('\n'.join(lines))
    (folder / 'counterparts.txt').write_text('house, ground\n')
