"""Draws the label maps that come with pretrained/aerial: python pretrained/draw_maps.py FOLDER

Sides in pixels of the aerial photographs: a road is about 9 wide, a house 14 long.
"""
import math
import os
import random
import sys

from PIL import Image, ImageDraw

BUILDING, LAND, ROAD, VEGETATION, WATER = range(5)


class Drawing:
    """A label map under way."""

    def __init__(self, width, height, ground, seed):
        self.image = Image.new('L', (width, height), ground)
        self.pen, self.random = ImageDraw.Draw(self.image), random.Random(seed)

    def strip(self, points, width, ground=ROAD):
        """A line of this width, with round corners and ends."""
        self.pen.line(points, ground, width, 'curve')
        for x, y in points:
            self.disc(x, y, width / 2 - 0.5, ground)

    def disc(self, x, y, radius, ground):
        self.pen.ellipse((x - radius, y - radius, x + radius, y + radius), ground)

    def box(self, x, y, length, width, angle, ground=BUILDING):
        """A rectangle about (x, y), its length at `angle`."""
        along, across = turned(length / 2, 0, angle), turned(0, width / 2, angle)
        self.pen.polygon([(x + a * along[0] + b * across[0], y + a * along[1] + b * across[1])
                          for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))], ground)

    def blob(self, x, y, radius, ground):
        """A patch with a wavy border."""
        waves = [(self.random.uniform(0, 0.09), self.random.uniform(0, 2 * math.pi)) for _ in range(4)]
        steps = [2 * math.pi * step / 60 for step in range(60)]
        sizes = [radius * (1 + sum(size * math.sin((number + 2) * step + phase)
                                   for number, (size, phase) in enumerate(waves))) for step in steps]
        self.pen.polygon([(x + size * math.cos(step), y + size * math.sin(step))
                          for size, step in zip(sizes, steps)], ground)

    def houses(self, points, distance, every=22):
        """Houses and gardens at this distance from a line, to its right; a negative one, to its left."""
        left = every / 2
        for (x, y), (next_x, next_y) in zip(points, points[1:]):
            length, angle = math.hypot(next_x - x, next_y - y), math.atan2(next_y - y, next_x - x)
            while left < length:
                beside = turned(left, distance, angle)
                if self.random.random() < 0.4:
                    garden = turned(left + every / 2, distance, angle)
                    self.disc(x + garden[0], y + garden[1], self.random.uniform(2, 5), VEGETATION)
                self.box(x + beside[0], y + beside[1], self.random.uniform(11, 17), self.random.uniform(9, 13), angle)
                left += every
            left -= length


def turned(x, y, angle):
    return x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)


def smooth(points, closed=False):
    """The line with its corners cut, three times (Chaikin 1974)."""
    for _ in range(3):
        pairs = list(zip(points, points[1:]))
        cut = [tuple(a + share * (b - a) for a, b in zip(one, other)) for one, other in pairs for share in (0.25, 0.75)]
        points = [*cut, cut[0]] if closed else [points[0], *cut, points[-1]]
    return points


def coast():
    """A bay with a beach, a road along it, houses, a pier and a breakwater."""
    drawing = Drawing(448, 384, LAND, 1)

    def shore(x):
        return 250 + 34 * math.sin(x / 75) + 9 * math.sin(x / 23 + 1) - 0.12 * x
    for place in ((60, 60), (180, 40), (330, 70), (250, 120)):
        drawing.blob(*place, drawing.random.uniform(14, 26), VEGETATION)
    drawing.pen.polygon([*((x, shore(x)) for x in range(-10, 460, 5)), (460, 400), (-10, 400)], WATER)
    road = [(x, shore(x) - 42) for x in range(-10, 461, 10)]
    drawing.strip([(x, y - 40) for x, y in road], 5)
    drawing.houses([(x, y - 40) for x, y in road], 13)
    drawing.houses([(x, y - 40) for x, y in road], -13)
    drawing.strip([(110, -10), (125, 90), (118, shore(118) - 42)], 8)
    drawing.strip([(300, -10), (285, 80), (292, shore(292) - 42)], 8)
    drawing.strip([(-10, 95), (125, 90), (285, 80), (460, 40)], 8)
    drawing.strip(road, 10)
    drawing.strip([(215, shore(215) - 42), (222, 330)], 6)
    drawing.box(222, 330, 26, 16, 0, BUILDING)
    drawing.strip(smooth([(395, shore(395) - 3), (420, 300), (385, 345), (330, 352)]), 11, LAND)
    for x in range(20, 440, 26):
        drawing.disc(x, shore(x) - 28, drawing.random.uniform(2, 5), VEGETATION)
    return drawing.image


def town():
    """Blocks on a turned grid, an avenue, a roundabout and a park with a pond."""
    drawing, angle = Drawing(448, 384, LAND, 2), math.radians(-17)
    for row in range(-4, 5):
        for column in range(-4, 5):
            x, y = (part + middle for part, middle in zip(turned(88 * column, 70 * row, angle), (224, 192)))
            if (row, column) in ((0, -1), (0, 0)):
                continue
            if (row * 3 + column) % 7 == 0:
                drawing.box(x, y, 58, 38, angle)
                drawing.box(x, y, 26, 12, angle, LAND)
                continue
            for line in (-15, 15):
                ends = [(part + x, other + y) for part, other in (turned(-38, line, angle), turned(38, line, angle))]
                drawing.houses(ends, 0, 19)
    for column in range(-5, 5):
        drawing.strip([(part[0] + 224, part[1] + 192) for part in (turned(88 * column + 44, -400, angle),
                                                                   turned(88 * column + 44, 400, angle))], 7)
    for row in range(-5, 5):
        drawing.strip([(part[0] + 224, part[1] + 192) for part in (turned(-400, 70 * row + 35, angle),
                                                                   turned(400, 70 * row + 35, angle))], 7)
    park = [part + middle for part, middle in zip(turned(-44, 0, angle), (224, 192))]
    drawing.box(*park, 164, 60, angle, VEGETATION)
    path = [(park[0] + x, park[1] + y) for x, y in ((-75, 30), (5, -8), (70, -28))]
    drawing.strip(smooth(path), 4, LAND)
    drawing.blob(park[0] + 40, park[1] + 8, 13, WATER)
    centre = [part + middle for part, middle in zip(turned(132, 35, angle), (224, 192))]
    drawing.strip(smooth([(500, 10), (420, 90), tuple(centre)]), 13)
    drawing.strip(smooth([tuple(centre), (335, 300), (345, 400)]), 13)
    drawing.disc(*centre, 24, ROAD)
    drawing.disc(*centre, 12, VEGETATION)
    return drawing.image


def palm_island():
    """A trunk, bent fronds with houses, and a broken ring around them, in the sea."""
    drawing, middle = Drawing(512, 512, WATER, 3), 256
    drawing.pen.arc((22, 14, 490, 482), 155, 385, LAND, 22)
    drawing.pen.arc((29, 21, 483, 475), 157, 383, ROAD, 5)
    for place in (203, 270, 337):   # gaps for the tide, with the ring's road as a bridge
        x, y = (middle + 223 * math.cos(math.radians(place)), 248 + 223 * math.sin(math.radians(place)))
        drawing.disc(x, y, 17, WATER)
    drawing.pen.rectangle((0, 470, 511, 511), LAND)
    for foot, reach in ((438, 104), (382, 150), (326, 178), (274, 182), (222, 172), (170, 132)):
        for side in (-1, 1):
            bend = [(middle + side * reach * part, foot - 36 * part - 42 * part ** 2)
                    for part in (step / 16 for step in range(17))]
            drawing.strip(bend, 27, LAND)
            drawing.houses(bend[2:], 9, 17)
            drawing.houses(bend[2:], -9, 17)
            drawing.strip(bend[:-1], 4)
    drawing.strip([(middle, 511), (middle, 70)], 46, LAND)
    for y in range(90, 460, 30):
        for side in (-1, 1):
            drawing.disc(middle + 17 * side, y + 8, drawing.random.uniform(2, 4), VEGETATION)
            drawing.box(middle + 15 * side, y - 8, 13, 10, math.pi / 2)
    drawing.strip([(middle, 511), (middle, 90)], 9)
    drawing.disc(middle, 90, 15, ROAD)
    drawing.disc(middle, 90, 7, VEGETATION)
    drawing.strip([(-10, 491), (522, 491)], 9)
    for side in (-13, 13):
        drawing.houses([(-10, 491), (225, 491)], side)
        drawing.houses([(288, 491), (522, 491)], side)
    return drawing.image


def golf_course():
    """Fairways with bunkers between ponds, a path for carts, a clubhouse, and villas around."""
    drawing = Drawing(448, 384, LAND, 4)
    ring = [(40, 50), (140, 28), (300, 30), (405, 62), (418, 190), (400, 310), (290, 352), (150, 350), (48, 320),
            (28, 180), (40, 50)]
    ring = smooth(ring, closed=True)
    drawing.pen.polygon(ring, VEGETATION)
    drawing.pen.polygon([(x + (224 - x) * 0.13, y + (192 - y) * 0.13) for x, y in ring], LAND)
    holes = [[(85, 90), (120, 120), (190, 98)], [(240, 80), (300, 76), (350, 105)],
             [(365, 150), (345, 210), (368, 270)], [(310, 300), (250, 312), (210, 290)],
             [(160, 300), (105, 288), (78, 240)], [(90, 190), (150, 172), (195, 190)],
             [(250, 150), (290, 160), (308, 215)], [(150, 240), (205, 238), (250, 255)]]
    for hole in holes:
        drawing.strip(smooth(hole), 36, VEGETATION)
        drawing.disc(*hole[-1], 23, VEGETATION)
    drawing.strip(smooth([(64, 186), (60, 130), (100, 150), (210, 140), (225, 110), (325, 130), (335, 260), (270, 285),
                          (190, 268), (120, 210), (100, 180), (64, 186)]), 4)
    for x, y, radius in ((222, 205, 24), (262, 203, 19), (250, 110, 12), (120, 148, 13), (298, 118, 12)):
        drawing.blob(x, y, radius, WATER)
    for hole in holes:
        x, y = hole[-1]
        for place in (1, 2.3, 4):
            drawing.blob(x + 17 * math.cos(place), y + 17 * math.sin(place), drawing.random.uniform(3, 5), LAND)
    drawing.houses(ring, -24)
    drawing.strip(ring, 9)
    drawing.strip([(66, 308), (-10, 360)], 9)
    drawing.strip([(393, 70), (460, 30)], 9)
    drawing.strip([(30, 180), (62, 182)], 7)
    drawing.box(70, 178, 34, 20, 1.2)
    drawing.box(86, 158, 20, 13, 0.3)
    return drawing.image


def main():
    folder, = sys.argv[1:]
    for drawn in (coast, town, palm_island, golf_course):
        drawn().save(os.path.join(folder, f'{drawn.__name__}.png'), optimize=True)


if __name__ == '__main__':
    main()
