"""Materials of the demo scenes: light, textures, and a table of the look of each class.

A texture maps a Field to values (h, w) in about [0, 1]; a material maps these to a ramp of colours from dark to light.
The numbers are choices of taste, in units of the picture's height.
"""
from collections import namedtuple

import numpy as np
from PIL import Image

Material = namedtuple('Material', 'texture colours')
# Time of day: colours of zenith, horizon and sun, the factors of the light on things,
# and the relative number of clouds.
Mood = namedtuple('Mood', 'zenith horizon light sun clouds')

MOODS = (
    Mood((62, 128, 208), (186, 219, 240), (1.00, 1.00, 0.98), (255, 250, 225), 1.0),   # noon
    Mood((92, 150, 205), (244, 224, 190), (1.04, 0.97, 0.88), (255, 238, 190), 0.8),   # morning
    Mood((92, 98, 160), (252, 176, 112), (1.06, 0.88, 0.76), (255, 214, 140), 0.9),    # evening
    Mood((140, 155, 170), (208, 214, 219), (0.88, 0.90, 0.92), (225, 228, 230), 1.6),  # overcast
)


class Field:
    """Coordinates and noise for a region; lengths are in units of the picture's height.

    x (1, w) and y (h, 1) count from the region's top left corner; s and t are the same from 0 to 1.
    """

    def __init__(self, rng, picture_height, shape):
        self.rng, self.unit, self.shape = rng, picture_height, shape
        self.y = np.arange(shape[0], dtype=np.float32)[:, None] / picture_height
        self.x = np.arange(shape[1], dtype=np.float32)[None] / picture_height
        self.t, self.s = self.y * picture_height / shape[0], self.x * picture_height / shape[1]

    def noise(self, width, height=None):
        """(h, w) smooth noise in [0, 1] with features of this size, but never finer than the pixels can show."""
        cell = [max(size * self.unit, 1.3) for size in (height or width, width)]
        grid = [int(np.ceil(length / size)) + 2 for length, size in zip(self.shape, cell)]
        image = Image.fromarray(self.rng.random(grid, dtype=np.float32))
        box = 0.5, 0.5, 0.5 + self.shape[1] / cell[1], 0.5 + self.shape[0] / cell[0]
        return np.clip(np.asarray(image.resize(self.shape[::-1], Image.BICUBIC, box)), 0, 1)

    def billows(self, size):
        """(h, w) noise of several sizes in [0, 1]."""
        return (self.noise(size) * 4 + self.noise(size / 2) * 2 + self.noise(size / 4)) / 7

    def cells(self, width, height, offset=0.0):
        """Masonry: (position across, position down) within a cell in [0, 1), and one random number per cell."""
        width, height = max(width, 4 / self.unit), max(height, 3 / self.unit)
        down = np.broadcast_to(self.y / height, self.shape)
        row = down.astype(int)
        across = self.x / width + row % 2 * offset
        column = across.astype(int)
        return across % 1, down % 1, self.rng.random((row.max() + 1, column.max() + 1))[row, column]


def smoothstep(low, high, value):
    value = np.clip((value - low) / (high - low), 0, 1)
    return value * value * (3 - 2 * value)


def plain(f):
    return 0.35 + 0.3 * f.noise(0.01)


def speckled(f):
    return 0.55 * f.noise(0.006) + 0.45 * f.noise(0.12, 0.05)


def grassy(f):
    blades = f.noise(0.007, 0.02) * (1 - f.t) + f.noise(0.014, 0.06) * f.t  # longer towards the viewer
    return np.clip(0.65 * blades + 0.5 * f.noise(0.25, 0.08) - 0.1 + 0.1 * f.t, 0, 1)


def leafy(f):
    leaves = 0.6 * f.noise(0.02) + 0.4 * f.noise(0.009)
    return np.clip(0.75 * smoothstep(0.2, 0.8, leaves) + 0.45 * f.noise(0.06) - 0.35 * f.t + 0.03, 0, 1)


def needled(f):
    boughs = 0.5 + 0.5 * np.sin(f.t * 34 + 3 * f.noise(0.03))
    return np.clip(0.55 * boughs + 0.45 * f.noise(0.012, 0.03) - 0.1, 0, 1)


def blooming(f):
    return np.where(f.noise(0.016) > 0.55, 0.65 + 0.35 * f.noise(0.03), 0.3 * f.noise(0.01))


def wavy(f):
    swell = np.sin(6.3 * 13 * np.sqrt(f.y + 0.01) + 5 * f.noise(0.25, 0.04))  # closer together towards the horizon
    return np.clip(0.42 + 0.22 * swell + 0.5 * (f.noise(0.06, 0.012) - 0.5), 0, 1) * 0.85 + 0.15 * f.t


def craggy(f):
    rock = sum((1 - np.abs(2 * f.noise(size, 1.6 * size) - 1)) * size for size in (0.14, 0.07, 0.035, 0.018)) / 0.263
    facets = np.clip(0.32 + 1.5 * (np.roll(rock, max(1, round(0.014 * f.unit)), axis=1) - rock), 0.05, 0.62)
    snow = smoothstep(0.36, 0.26, f.t + 0.22 * (f.noise(0.05, 0.09) - 0.5))
    return facets * (1 - snow) + (0.78 + 0.45 * (facets - 0.1)) * snow


def stony(f):
    rock = f.billows(0.09)
    return np.clip(0.5 + 4 * (np.roll(rock, 1, axis=0) - rock) + 0.3 * (0.5 - f.t), 0, 1)


def drifted(f):
    return np.clip(0.5 * f.noise(0.3, 0.04) + 0.35 + 0.2 * f.noise(0.008), 0, 1)


def rolling(f):
    return np.clip(0.3 + 0.35 * f.noise(0.02, 0.012) + 0.35 * f.noise(0.3, 0.1), 0, 1)


def bricked(f):
    across, down, shade = f.cells(0.075, 0.034, offset=0.5)
    mortar = (across * 0.075 < 0.010) | (down * 0.034 < 0.010)
    return np.where(mortar, 0.95, 0.55 * shade + 0.12 * f.noise(0.01))


def tiled(f):
    depth = 1.0 / (1.25 - f.t)  # rows widen towards the viewer, columns fan out
    column = np.floor((f.s - 0.5) * 14 / depth ** 0.8 + 50)
    row = np.floor(9 * (1 - 1 / depth) * 1.25 + 20)
    return 0.25 + 0.5 * ((row + column) % 2) + 0.15 * f.noise(0.02)


def boarded(f):
    _, down, shade = f.cells(0.42, 0.05, offset=0.37)
    grain = f.noise(0.13, 0.007)
    return np.where(down < 0.16, 0.02, 0.2 + 0.5 * shade + 0.3 * grain)


def paved(f):
    across, down, shade = f.cells(0.16, 0.045, offset=0.5)
    return np.where((across < 0.06) | (down < 0.2), 0.1, 0.45 + 0.35 * shade + 0.2 * f.noise(0.008))


def papered(f):
    stripe = 0.5 + 0.5 * np.sin(f.x * 6.28 / 0.08)
    return 0.4 + 0.2 * smoothstep(0.3, 0.7, stripe) + 0.1 * f.noise(0.01) + 0.2 * f.s


def tiled_wall(f):
    across, down, shade = f.cells(0.07, 0.07)
    return np.where((across < 0.13) | (down < 0.13), 0.1, 0.55 + 0.3 * shade + 0.1 * (across - down))


def folded(f):
    return 0.5 + 0.42 * np.sin(f.x * 6.28 / 0.04 + 2 * f.noise(0.2, 0.5))


def furry(f):
    return 0.3 + 0.18 * f.noise(0.007) + 0.22 * f.noise(0.03) + 0.3 * (1 - f.t) ** 2


def woolly(f):
    return np.clip(0.25 + 0.75 * smoothstep(0.15, 0.75, f.noise(0.018)) - 0.2 * f.t, 0, 1)


def patched(f):
    return smoothstep(0.46, 0.52, f.noise(0.05)) * 0.9 + 0.1 * f.noise(0.01)


def zebra_striped(f):
    return smoothstep(0.35, 0.6, 0.5 + 0.5 * np.sin(f.x * 6.28 / max(0.030, 3.4 / f.unit) + 2.5 * f.noise(0.08)))


def spotted(f):
    return smoothstep(0.40, 0.55, f.noise(0.020))


def woven(f):
    return 0.45 + 0.25 * f.noise(0.006) + 0.12 * np.sin(f.x * 6.28 / 0.02) * np.sin(f.y * 6.28 / 0.02)


def ringed(f):
    radius = np.hypot(f.s - 0.5, f.t - 0.5)
    return 0.5 + 0.4 * np.sign(np.sin(radius * 40)) + 0.1 * f.noise(0.008)


def facade(width, height, lit):
    """Rows of windows in a wall around 0.5; some are lit (1), some reflect the sky (0 .. 0.25)."""
    def texture(f):
        across, down, chance = f.cells(width, height)
        window = (across > 0.28) & (across < 0.8) & (down > 0.25) & (down < 0.8)
        glass = np.where(chance > 1 - lit, 1.0, 0.25 * chance + 0.1 * (1 - down))
        return np.where(window, glass, 0.5 + 0.12 * (f.noise(0.02) - 0.5) + 0.05 * f.s)
    return texture


MATERIALS = {
    'clouds': Material(rolling, ((205, 214, 226), (250, 251, 253))),
    'mountain': Material(craggy, ((62, 66, 84), (116, 112, 120), (148, 138, 138), (244, 247, 252))),
    'hill': Material(rolling, ((88, 124, 66), (142, 168, 88))),
    'grass': Material(grassy, ((50, 104, 32), (98, 158, 46), (168, 204, 84))),
    'tree': Material(leafy, ((18, 58, 26), (46, 110, 42), (118, 168, 66))),
    'bush': Material(leafy, ((40, 76, 26), (88, 132, 44), (158, 186, 80))),
    'flower': Material(blooming, ((48, 112, 40), (88, 150, 58), (226, 60, 120), (255, 190, 215))),
    'river': Material(wavy, ((42, 98, 138), (88, 156, 186), (196, 226, 236))),
    'sea': Material(wavy, ((16, 74, 128), (38, 124, 168), (176, 218, 224))),
    'sand': Material(speckled, ((198, 168, 112), (228, 204, 150), (246, 230, 188))),
    'dirt': Material(speckled, ((118, 84, 50), (160, 122, 78), (196, 160, 112))),
    'rock': Material(stony, ((56, 52, 52), (114, 106, 100), (176, 168, 158))),
    'snow': Material(drifted, ((196, 210, 232), (238, 243, 250), (255, 255, 255))),
    'road': Material(speckled, ((66, 66, 72), (92, 92, 98), (116, 116, 120))),
    'pavement': Material(paved, ((128, 122, 114), (178, 172, 160), (206, 200, 188))),
    'fence': Material(boarded, ((150, 128, 100), (222, 206, 178), (244, 234, 214))),
    'wall-brick': Material(bricked, ((132, 54, 40), (186, 92, 66), (214, 198, 182))),
    'wall-other': Material(papered, ((196, 178, 142), (226, 212, 180), (242, 232, 206))),
    'wall-tile': Material(tiled_wall, ((120, 160, 164), (186, 216, 216), (222, 240, 238))),
    'floor-wood': Material(boarded, ((92, 52, 24), (168, 108, 58), (206, 150, 92))),
    'floor-tile': Material(tiled, ((92, 96, 104), (228, 224, 214))),
    'ceiling-other': Material(plain, ((226, 222, 212), (246, 243, 236))),
    'rug': Material(ringed, ((152, 40, 48), (222, 182, 130))),
    'curtain': Material(folded, ((136, 42, 66), (204, 96, 112), (236, 150, 154))),
}
