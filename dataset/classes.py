"""Class names and colours. Imports nothing of ours.

Ids are those of the COCO-Stuff pixel maps (stuffthingmaps): COCO's category number minus one, so that person is 0,
things with COCO's gaps are 0 .. 90, stuff is 91 .. 181, and 255 is unlabelled.
"""
import numpy as np

UNLABELLED = 255

COCO_STUFF = (
    'person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat', 'traffic light',
    'fire hydrant', 'street sign', 'stop sign', 'parking meter', 'bench', 'bird', 'cat', 'dog', 'horse', 'sheep',
    'cow', 'elephant', 'bear', 'zebra', 'giraffe', 'hat', 'backpack', 'umbrella', 'shoe', 'eye glasses',
    'handbag', 'tie', 'suitcase', 'frisbee', 'skis', 'snowboard', 'sports ball', 'kite', 'baseball bat', 'baseball glove',
    'skateboard', 'surfboard', 'tennis racket', 'bottle', 'plate', 'wine glass', 'cup', 'fork', 'knife', 'spoon',
    'bowl', 'banana', 'apple', 'sandwich', 'orange', 'broccoli', 'carrot', 'hot dog', 'pizza', 'donut',
    'cake', 'chair', 'couch', 'potted plant', 'bed', 'mirror', 'dining table', 'window', 'desk', 'toilet',
    'door', 'tv', 'laptop', 'mouse', 'remote', 'keyboard', 'cell phone', 'microwave', 'oven', 'toaster',
    'sink', 'refrigerator', 'blender', 'book', 'clock', 'vase', 'scissors', 'teddy bear', 'hair drier', 'toothbrush',
    'hair brush', 'banner', 'blanket', 'branch', 'bridge', 'building-other', 'bush', 'cabinet', 'cage', 'cardboard',
    'carpet', 'ceiling-other', 'ceiling-tile', 'cloth', 'clothes', 'clouds', 'counter', 'cupboard', 'curtain', 'desk-stuff',
    'dirt', 'door-stuff', 'fence', 'floor-marble', 'floor-other', 'floor-stone', 'floor-tile', 'floor-wood', 'flower', 'fog',
    'food-other', 'fruit', 'furniture-other', 'grass', 'gravel', 'ground-other', 'hill', 'house', 'leaves', 'light',
    'mat', 'metal', 'mirror-stuff', 'moss', 'mountain', 'mud', 'napkin', 'net', 'paper', 'pavement',
    'pillow', 'plant-other', 'plastic', 'platform', 'playingfield', 'railing', 'railroad', 'river', 'road', 'rock',
    'roof', 'rug', 'salad', 'sand', 'sea', 'shelf', 'sky-other', 'skyscraper', 'snow', 'solid-other',
    'stairs', 'stone', 'straw', 'structural-other', 'table', 'tent', 'textile-other', 'towel', 'tree', 'vegetable',
    'wall-brick', 'wall-concrete', 'wall-other', 'wall-panel', 'wall-stone', 'wall-tile', 'wall-wood', 'water-other',
    'waterdrops', 'window-blind', 'window-other', 'wood',
)

# Where a class has a colour that people expect; all others take the general map.
NATURAL = {
    'sky-other': (150, 200, 240), 'clouds': (232, 238, 245), 'fog': (205, 212, 218), 'sea': (40, 110, 185),
    'river': (70, 150, 215), 'water-other': (95, 170, 205), 'grass': (120, 190, 70), 'tree': (40, 120, 50),
    'bush': (85, 145, 60), 'leaves': (100, 165, 85), 'plant-other': (60, 160, 100), 'flower': (240, 130, 190),
    'hill': (150, 170, 90), 'mountain': (130, 115, 125), 'rock': (105, 98, 90), 'stone': (140, 135, 120),
    'sand': (235, 215, 150), 'dirt': (150, 110, 70), 'mud': (110, 80, 50), 'snow': (246, 250, 253),
    'road': (90, 90, 100), 'pavement': (180, 175, 165), 'railroad': (120, 100, 95), 'building-other': (200, 150, 110),
    'skyscraper': (110, 140, 170), 'house': (215, 105, 80), 'roof': (165, 60, 50), 'fence': (190, 140, 90),
    'wall-brick': (180, 85, 65), 'wall-concrete': (170, 170, 180), 'wall-other': (225, 205, 175), 'wood': (140, 90, 45),
    'floor-wood': (195, 145, 85), 'floor-tile': (205, 195, 190), 'ceiling-other': (240, 235, 220),
    'window-other': (175, 225, 235), 'curtain': (200, 110, 160), 'light': (255, 240, 130), 'person': (220, 40, 70),
    'car': (30, 60, 220), 'bus': (240, 160, 20), 'bird': (70, 60, 160), 'boat': (190, 30, 30), 'cat': (250, 160, 90),
    'dog': (160, 90, 30), 'horse': (120, 60, 30), 'sheep': (250, 235, 215), 'cow': (90, 60, 90), 'elephant': (120, 130, 160),
    'zebra': (60, 60, 60), 'giraffe': (245, 200, 60), 'couch': (60, 140, 160), 'bed': (90, 120, 210), 'chair': (230, 150, 60),
    'dining table': (150, 75, 20), 'potted plant': (30, 150, 60), 'tv': (40, 40, 90), 'vase': (110, 70, 200),
    'rug': (170, 50, 80), 'wall-tile': (160, 210, 205), 'umbrella': (250, 80, 120), 'traffic light': (250, 220, 0),
}


def palette(count):
    """uint8 (count, 3): a fixed colour for every class id, all distinct, none black.

    The bit-interleaved colour map of Pascal VOC, shifted by one id, since VOC's first colour is the black that stands for
    unlabelled here. With as many classes as COCO-Stuff has, its well-known classes get natural colours.
    """
    codes = np.arange(1, count + 1)
    colours = np.zeros((count, 3), int)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (codes >> (3 * bit + channel) & 1) << (7 - bit)
    if count == len(COCO_STUFF):
        for name, colour in NATURAL.items():
            colours[COCO_STUFF.index(name)] = colour
    return colours.astype(np.uint8)


def colourize(label, label_nc):
    """Integer ids (...) -> uint8 RGB (..., 3); unlabelled pixels, 255 or label_nc, are black. ValueError for any other id."""
    label = np.asarray(label)
    unlabelled = (label == label_nc) | (label == UNLABELLED)
    known = np.where(unlabelled, label_nc, label)
    if known.size and not 0 <= known.min() <= known.max() <= label_nc:
        wrong = known[(known < 0) | (known > label_nc)].flat[0]
        raise ValueError(f'label id {wrong}: expected 0 .. {label_nc - 1}, or {label_nc} or {UNLABELLED} for unlabelled')
    return np.vstack([palette(label_nc), np.zeros((1, 3), np.uint8)])[known]
