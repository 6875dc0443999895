"""Draws the label maps that come with pretrained/aerial: python pretrained/draw_maps.py FOLDER

Sides in pixels of the aerial photographs: a road is about 9 wide, a house 14 long.
"""
import sys
from itertools import product
from math import atan2, cos, hypot, pi, radians, sin
from random import Random

from PIL import Image, ImageDraw

BUILDING, LAND, ROAD, VEGETATION, WATER = range(5)


class Drawing(ImageDraw.ImageDraw):
    def __init__(self, image, seed):
        super().__init__(image)
        self.uniform = Random(seed).uniform

    def strip(self, points, width, ground=ROAD):
        """A line of this width, with round corners and ends."""
        self.line(points, ground, width, 'curve')
        for point in points:
            self.disc(*point, width / 2 - 0.5, ground)

    def disc(self, x, y, radius, ground):
        self.ellipse((x - radius, y - radius, x + radius, y + radius), ground)

    def box(self, x, y, length, width, angle, ground=BUILDING):
        """A rectangle about (x, y), its length at `angle`."""
        self.polygon([turned(a * length / 2, b * width / 2, angle, (x, y))
                      for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))], ground)

    def blob(self, x, y, radius, ground):
        """A patch with a wavy border."""
        waves = [(number, self.uniform(0, 0.09), self.uniform(0, 2 * pi)) for number in range(2, 6)]
        border = []
        for angle in (2 * pi * step / 60 for step in range(60)):
            size = radius * (1 + sum(size * sin(number * angle + phase) for number, size, phase in waves))
            border.append((x + size * cos(angle), y + size * sin(angle)))
        self.polygon(border, ground)

    def houses(self, points, *distances, every=22):
        """Houses and gardens at these distances from a line, to its right; negative ones, to its left."""
        for distance in distances:
            left = every / 2
            for (x, y), (next_x, next_y) in zip(points, points[1:]):
                length, angle = hypot(next_x - x, next_y - y), atan2(next_y - y, next_x - x)
                while left < length:
                    if self.uniform(0, 1) < 0.4:
                        self.disc(*turned(left + every / 2, distance, angle, (x, y)), self.uniform(2, 5), VEGETATION)
                    self.box(*turned(left, distance, angle, (x, y)), self.uniform(11, 17), self.uniform(9, 13), angle)
                    left += every
                left -= length


def turned(x, y, angle, about):
    return x * cos(angle) - y * sin(angle) + about[0], x * sin(angle) + y * cos(angle) + about[1]


def smooth(*points):
    """The line with its corners cut, three times (Chaikin 1974)."""
    for _ in range(3):
        cut = [tuple(a + share * (b - a) for a, b in zip(*pair))
               for pair in zip(points, points[1:]) for share in (0.25, 0.75)]
        points = [*cut, cut[0]] if points[0] == points[-1] else [points[0], *cut, points[-1]]
    return points


def coast(draw):
    """A bay with a beach, a road along it, houses, a pier and a breakwater."""
    def shore(x, above=0):
        return x, 250 + 34 * sin(x / 75) + 9 * sin(x / 23 + 1) - 0.12 * x - above
    for place in ((60, 60), (180, 40), (330, 70), (250, 120)):
        draw.blob(*place, draw.uniform(14, 26), VEGETATION)
    draw.polygon([*map(shore, range(-10, 460, 5)), (460, 400), (-10, 400)], WATER)
    road = [shore(x, 42) for x in range(-10, 461, 10)]
    lane = [(x, y - 40) for x, y in road]
    draw.strip(lane, 5)
    draw.houses(lane, 13, -13)
    draw.strip(road, 10)
    for points in (((110, -10), (125, 90), shore(118, 42)), ((300, -10), (285, 80), shore(292, 42)),
                   ((-10, 95), (125, 90), (285, 80), (460, 40))):
        draw.strip(points, 8)
    draw.strip((shore(215, 42), (222, 330)), 6)
    draw.box(222, 330, 26, 16, 0)
    draw.strip(smooth(shore(395, 3), (420, 300), (385, 345), (330, 352)), 11, LAND)
    for x in range(20, 440, 26):
        draw.disc(*shore(x, 28), draw.uniform(2, 5), VEGETATION)


def town(draw):
    """Blocks on a turned grid, an avenue, a roundabout and a park with a pond."""
    def place(x, y, about=(224, 192)):
        return turned(x, y, angle, about)
    angle = radians(-17)
    for row, column in product(range(-4, 5), repeat=2):
        block = place(88 * column, 70 * row)
        if (row * 3 + column) % 7 == 0:
            draw.box(*block, 58, 38, angle)
            draw.box(*block, 26, 12, angle, LAND)
        elif (row, column) != (0, -1):  # the park
            for line in (-15, 15):
                draw.houses([place(-38, line, block), place(38, line, block)], 0, every=19)
    for number in range(-5, 5):
        draw.strip([place(88 * number + 44, end) for end in (-400, 400)], 7)
        draw.strip([place(end, 70 * number + 35) for end in (-400, 400)], 7)
    (x, y), centre = place(-44, 0), place(132, 35)
    draw.box(x, y, 164, 60, angle, VEGETATION)
    draw.strip(smooth((x - 75, y + 30), (x + 5, y - 8), (x + 70, y - 28)), 4, LAND)
    draw.blob(x + 40, y + 8, 13, WATER)
    for points in ((500, 10), (420, 90), centre), (centre, (335, 300), (345, 400)):
        draw.strip(smooth(*points), 13)
    draw.disc(*centre, 24, ROAD)
    draw.disc(*centre, 12, VEGETATION)


def palm_island(draw):
    """A trunk, bent fronds with houses, and a broken ring around them, in the sea."""
    draw.arc((22, 14, 490, 482), 155, 385, LAND, 22)
    draw.arc((29, 21, 483, 475), 157, 383, ROAD, 5)
    for place in map(radians, (203, 270, 337)):     # gaps for the tide, with the ring's road as a bridge
        draw.disc(256 + 223 * cos(place), 248 + 223 * sin(place), 17, WATER)
    draw.rectangle((0, 470, 511, 511), LAND)
    fronds = (438, 104), (382, 150), (326, 178), (274, 182), (222, 172), (170, 132)
    for (foot, reach), side in product(fronds, (-1, 1)):
        bend = [(256 + side * reach * step / 16, foot - 36 * step / 16 - 42 * (step / 16) ** 2) for step in range(17)]
        draw.strip(bend, 27, LAND)
        draw.houses(bend[2:], 9, -9, every=17)
        draw.strip(bend[:-1], 4)
    draw.strip([(256, 511), (256, 70)], 46, LAND)
    for y, side in product(range(90, 460, 30), (-1, 1)):
        draw.disc(256 + 17 * side, y + 8, draw.uniform(2, 4), VEGETATION)
        draw.box(256 + 15 * side, y - 8, 13, 10, pi / 2)
    draw.strip([(256, 511), (256, 90)], 9)
    draw.disc(256, 90, 15, ROAD)
    draw.disc(256, 90, 7, VEGETATION)
    draw.strip([(-10, 491), (522, 491)], 9)
    for side in (-13, 13):
        draw.houses([(-10, 491), (225, 491)], side)
        draw.houses([(288, 491), (522, 491)], side)


def golf_course(draw):
    """Fairways with bunkers between ponds, a path for carts, a clubhouse, and villas around."""
    ring = smooth((40, 50), (140, 28), (300, 30), (405, 62), (418, 190), (400, 310), (290, 352), (150, 350), (48, 320),
                  (28, 180), (40, 50))
    draw.polygon(ring, VEGETATION)
    draw.polygon([(x + (224 - x) * 0.13, y + (192 - y) * 0.13) for x, y in ring], LAND)
    holes = (((85, 90), (120, 120), (190, 98)), ((240, 80), (300, 76), (350, 105)),
             ((365, 150), (345, 210), (368, 270)), ((310, 300), (250, 312), (210, 290)),
             ((160, 300), (105, 288), (78, 240)), ((90, 190), (150, 172), (195, 190)),
             ((250, 150), (290, 160), (308, 215)), ((150, 240), (205, 238), (250, 255)))
    for hole in holes:
        draw.strip(smooth(*hole), 36, VEGETATION)
        draw.disc(*hole[-1], 23, VEGETATION)
    draw.strip(smooth((64, 186), (60, 130), (100, 150), (210, 140), (225, 110), (325, 130), (335, 260), (270, 285),
                      (190, 268), (120, 210), (100, 180), (64, 186)), 4)
    for x, y, radius in ((222, 205, 24), (262, 203, 19), (250, 110, 12), (120, 148, 13), (298, 118, 12)):
        draw.blob(x, y, radius, WATER)
    for (*_, (x, y)), angle in product(holes, (1, 2.3, 4)):
        draw.blob(x + 17 * cos(angle), y + 17 * sin(angle), draw.uniform(3, 5), LAND)
    draw.houses(ring, -24)
    for points in ring, ((66, 308), (-10, 360)), ((393, 70), (460, 30)):
        draw.strip(points, 9)
    draw.strip(((30, 180), (62, 182)), 7)
    draw.box(70, 178, 34, 20, 1.2)
    draw.box(86, 158, 20, 13, 0.3)


def main():
    folder, = sys.argv[1:]
    for seed, (draw, size, ground) in enumerate(((coast, (448, 384), LAND), (town, (448, 384), LAND),
                                                 (palm_island, (512, 512), WATER), (golf_course, (448, 384), LAND)), 1):
        image = Image.new('L', size, ground)
        draw(Drawing(image, seed))
        image.save(f'{folder}/{draw.__name__}.png', optimize=True)


if __name__ == '__main__':
    main()
