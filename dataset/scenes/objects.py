"""Things in the demo scenes.

A thing is a list of parts, (colours, shapes, texture or None), in its own coordinates: x to the right and y up, in
units of its size, the origin on the ground below its middle.
"""
from collections import namedtuple

import numpy as np

from dataset.scenes import materials
from dataset.scenes.canvas import box, ellipse, line, placed, polygon


def pick(rng, *choices):
    return choices[rng.integers(len(choices))]


# ---- Animals: one four-legged build, with measures for each species

Build = namedtuple('Build', 'body leg head neck')  # body (rx, ry), leg (length, width), head (x, y, rx, ry), neck width

#            colours dark to light, texture, muzzle and mane, build
ANIMALS = {
    'sheep': (((176, 168, 152), (250, 247, 238)), materials.woolly, (58, 52, 50),
              Build((.44, .28), (.26, .08), (.46, .66, .15, .12), .15)),
    'cow': (((60, 42, 36), (244, 240, 232)), materials.patched, (214, 160, 146),
            Build((.54, .24), (.36, .11), (.68, .80, .17, .11), .22)),
    'horse': (((78, 42, 22), (158, 96, 54)), materials.furry, (52, 30, 22),
              Build((.50, .21), (.50, .09), (.72, 1.10, .19, .10), .20)),
    'dog': (((146, 92, 44), (226, 172, 104)), materials.furry, (60, 42, 32),
            Build((.42, .19), (.26, .12), (.48, .78, .20, .16), .22)),
    'elephant': (((86, 88, 96), (160, 160, 166)), materials.furry, (96, 96, 104),
                 Build((.56, .38), (.38, .18), (.62, .84, .22, .22), .30)),
    'zebra': (((34, 32, 34), (244, 242, 236)), materials.zebra_striped, (44, 40, 40),
              Build((.46, .22), (.44, .08), (.64, .98, .17, .09), .18)),
    'giraffe': (((150, 84, 30), (240, 204, 130)), materials.spotted, (126, 80, 44),
                Build((.40, .21), (.68, .08), (.66, 1.66, .15, .08), .14)),
}
LEGS = {'sheep': (70, 58, 52), 'cow': (70, 58, 52), 'giraffe': (206, 160, 96)}  # the others': their dark colour


def animal(rng, species):
    """Parts of a four-legged animal that looks to the right, about 1 from hoof to back."""
    colours, texture, muzzle, ((rx, ry), (leg, thick), (hx, hy, hrx, hry), neck) = ANIMALS[species]
    back, dark = leg + ry, LEGS.get(species, np.array(colours[0]) * 0.8)
    stride = rng.uniform(0.0, 0.07)
    legs = [line(thick, (x, back), (x + side * stride, thick / 2)) for x, side in
            ((-rx * .72, -1), (-rx * .45, 1), (rx * .45, -1), (rx * .72, 1))]
    body = [ellipse(0, back, rx, ry), ellipse(-rx * .45, back + ry * .06, rx * .5, ry * .95),
            ellipse(rx * .45, back, rx * .5, ry)]
    parts = [(dark, legs, None), (dark, [line(.05, (-rx * .95, back + ry * .3), (-rx * 1.15, back - ry * .7))], None),
             (colours, body + [line(neck, (rx * .72, back + ry * .15), (hx, hy))], texture)]
    head = [ellipse(hx, hy, hrx, hry)]
    if species == 'elephant':
        parts += [(colours, head + [line(.13, (.76, .80), (.88, .50), (.86, .16))], texture),
                  (muzzle, [ellipse(.50, .86, .16, .23)], None),
                  ((248, 244, 230), [line(.045, (.80, .62), (1.0, .56))], None)]
    else:
        parts += [(muzzle if species == 'sheep' else colours, head, None if species == 'sheep' else texture),
                  (muzzle, [ellipse(hx + hrx * .8, hy - hry * .25, hrx * .45, hry * .6)], None),
                  (dark, [polygon((hx - hrx, hy + hry * .3), (hx - hrx * .9, hy + hry * 1.9),
                                  (hx - hrx * .2, hy + hry * .8))],
                   None)]
    if species in ('horse', 'zebra'):
        parts.append((muzzle, [line(.07, (rx * .62, back + ry * .8), (hx - hrx * .7, hy + hry * .7))], None))
    if species == 'dog':
        parts.append((colours, [line(.08, (-rx * .9, back), (-rx * 1.35, back + .26))], None))
    return parts + [((20, 18, 18), [ellipse(hx + hrx * .15, hy + hry * .3, .03)], None)]


def fence_shapes(left, right, y, size):
    """Pickets and two rails from left to right on the canvas, `size` high."""
    posts = np.arange(left, right, size * .62)
    return [('line', ((x, y), (x, y - size)), size * .2) for x in posts] + [
        ('line', ((posts[0], y - size * level), (posts[-1], y - size * level)), size * .16) for level in (.35, .72)]


def cat(rng):
    coat = pick(rng, ((206, 120, 50), (246, 180, 104)), ((74, 74, 80), (128, 128, 134)),
                ((196, 186, 172), (246, 240, 230)))
    return [(coat, [line(.11, (-.25, .10), (-.52, .14), (-.55, .42)), ellipse(0, .30, .30, .32),
                    ellipse(.02, .5, .22, .26),
                    ellipse(.06, .80, .24, .20), polygon((-.16, .86), (-.14, 1.12), (.04, .95)),
                    polygon((.10, .96), (.26, 1.12), (.29, .86))], materials.furry),
            ((246, 240, 232), [ellipse(.06, .36, .12, .18), ellipse(.08, .72, .10, .07)], None),
            ((30, 60, 30), [ellipse(-.02, .82, .035), ellipse(.16, .82, .035)], None)]


def bird(rng):
    colour = pick(rng, (52, 54, 66), (240, 240, 240))
    up = rng.uniform(.2, .4)
    wings = [polygon((side * .08, 0), (side * .5, up), (side * .62, up * .7), (side * .04, -.14)) for side in (-1, 1)]
    return [(colour, wings + [ellipse(0, -.06, .13, .1)], None)]


def person(rng):
    shirt = pick(rng, (206, 52, 48), (48, 96, 180), (238, 188, 50), (244, 244, 240), (60, 140, 96))
    trousers = pick(rng, (44, 52, 84), (70, 62, 56), (120, 112, 98))
    skin, hair = pick(rng, ((236, 190, 158), (96, 58, 30)), ((148, 98, 66), (34, 26, 24)),
                      ((242, 204, 176), (206, 164, 84)))
    stride = rng.uniform(.03, .1)
    return [(trousers, [line(.095, (-.045, .5), (-stride, .05)), line(.095, (.045, .5), (stride, .05))], None),
            (skin, [line(.06, (-.13, .76), (-.18, .50)), line(.06, (.13, .76), (.18, .50)), ellipse(0, .91, .075, .09)],
             None),
            (shirt, [polygon((-.15, .81), (.15, .81), (.12, .46), (-.12, .46)), line(.085, (-.13, .77), (-.17, .62)),
                     line(.085, (.13, .77), (.17, .62))], None),
            (hair, [ellipse(-.01, .96, .075, .06)], None)]


# ---- Vehicles

def car(rng):
    colour = pick(rng, (204, 44, 40), (46, 96, 190), (236, 184, 44), (236, 238, 240), (62, 140, 110))
    return [((38, 38, 42), [box(-.9, .1, .9, .24)], None),
            (colour,
             [polygon((-1, .16), (-1, .42), (-.92, .50), (-.64, .53), (-.42, .80), (.30, .80), (.58, .53), (.92, .46),
                              (1, .36), (1, .16))], None),
            ((120, 158, 184), [polygon((-.53, .54), (-.38, .74), (-.08, .74), (-.08, .54)),
                               polygon((0, .54), (0, .74), (.26, .74), (.46, .54))], None),
            ((30, 30, 34), [ellipse(-.58, .18, .19), ellipse(.58, .18, .19)], None),
            ((186, 188, 194), [ellipse(-.58, .18, .09), ellipse(.58, .18, .09)], None),
            ((255, 244, 190), [ellipse(.94, .38, .06, .05)], None)]


def bus(rng):
    colour = pick(rng, (218, 60, 44), (240, 178, 40), (54, 120, 170))
    panes = [box(x, .56, x + .24, .86) for x in np.arange(-.92, .8, .3)]
    return [((34, 34, 38), [box(-.95, .1, .95, .3)], None),
            (colour, [box(-1, .18, 1, .98), box(-.96, .9, .96, 1.02)], None),
            ((132, 172, 196), panes, None), ((244, 240, 228), [box(-1, .40, 1, .46)], None),
            ((30, 30, 34), [ellipse(-.6, .17, .17), ellipse(.6, .17, .17)], None),
            ((186, 188, 194), [ellipse(-.6, .17, .08), ellipse(.6, .17, .08)], None)]


def boat(rng):
    hull = pick(rng, (186, 44, 40), (40, 70, 130), (122, 78, 44))
    sail = pick(rng, (250, 246, 234), (240, 206, 120), (232, 120, 90))
    return [((92, 66, 44), [line(.04, (0, .2), (0, 1.3))], None),
            (sail, [polygon((.06, .36), (.06, 1.28), (.62, .40))], None),
            (np.array(sail) * .88, [polygon((-.06, .36), (-.06, 1.15), (-.48, .40))], None),
            (hull, [polygon((-.7, .30), (.8, .30), (.52, .0), (-.5, .0))], None),
            ((246, 242, 232), [polygon((-.7, .30), (.8, .30), (.76, .24), (-.67, .24))], None)]


def traffic_light(rng):
    lamps = pick(rng, ((255, 70, 50), (62, 56, 26), (24, 56, 34)), ((60, 30, 28), (62, 56, 26), (90, 240, 120)))
    return [((52, 54, 58), [line(.05, (0, 0), (0, .75))], None), ((40, 42, 44), [box(-.12, .62, .12, 1.1)], None)] + [
        (lamp, [ellipse(0, 1.0 - .14 * i, .055)], None) for i, lamp in enumerate(lamps)]


# ---- Plants and houses: stuff, painted with their classes' materials

def tree_shapes(rng, conifer):
    """Trunk and crown of a tree 1 high."""
    if conifer:
        tiers = [(.30 - i * .07, .12 + i * .22, .48 + i * .18) for i in range(4)]
        return [box(-.035, 0, .035, .2)], [polygon((-half, low), (half, low), (0, top)) for half, low, top in tiers]
    clumps = [ellipse(.24 * np.cos(a) * rng.uniform(.8, 1.1), .66 + .2 * np.sin(a), rng.uniform(.13, .19))
              for a in np.arange(0, 6.28, .9)]
    trunk = [polygon((-.06, 0), (.06, 0), (.035, .5), (-.035, .5)), line(.03, (0, .35), (.15, .55))]
    return trunk, clumps + [ellipse(0, .66, .27, .27)]


def plant_tree(canvas, x, y, size, conifer=False, haze=0.0, snowy=False):
    trunk, crown = tree_shapes(canvas.rng, conifer)
    canvas.shadow(x, y, .3 * size, max(.06 * size, .01))
    canvas.paint('tree', *(placed(shape, x, y, size) for shape in trunk), colours=((72, 46, 28), (128, 90, 58)),
                 texture=materials.furry, haze=haze)
    colours = ((22, 62, 48), (56, 104, 72), (214, 226, 232)) if snowy else None
    canvas.paint('tree', *(placed(shape, x, y, size) for shape in crown), haze=haze, colours=colours, relief=.9,
                 texture=materials.needled if conifer else None)


def house(rng):
    wall = pick(rng, (244, 228, 196), (232, 232, 226), (226, 176, 130), (190, 208, 214))
    roof = pick(rng, ((120, 44, 34), (196, 88, 62)), ((70, 72, 84), (124, 128, 140)))
    glass, frame = (98, 130, 156), (250, 248, 240)
    windows = [(-.40, .34), (.16, .34)]
    panes = [box(x + step, y, x + step + .11, y + .26) for x, y in windows for step in (0, .13)]
    return [((150, 84, 62), [box(.22, .8, .34, 1.25)], None), (wall, [box(-.6, 0, .6, .72)], None),
            (roof, [polygon((-.72, .68), (.72, .68), (.42, 1.18), (-.42, 1.18))], materials.boarded),
            (frame, [box(x - .02, y - .02, x + .26, y + .28) for x, y in windows], None),
            (glass, panes, None), ((122, 72, 40), [box(-.09, 0, .1, .46)], None)]


# ---- Rooms

def couch(rng):
    colour = pick(rng, (56, 110, 130), (176, 74, 62), (96, 116, 84), (214, 168, 80))
    dark = np.array(colour) * .82
    return [((64, 42, 28), [box(-.92, 0, -.84, .14), box(.84, 0, .92, .14)], None),
            (colour, [box(-.88, .3, .88, .86), ellipse(-.45, .82, .43, .12), ellipse(.45, .82, .43, .12)],
             materials.woven),
            (np.array(colour) * 1.08, [box(-.86, .26, -.01, .48), box(.01, .26, .86, .48)], materials.woven),
            (dark, [box(-1, .1, 1, .28), box(-1, .1, -.8, .6), box(.8, .1, 1, .6), ellipse(-.9, .6, .1),
                    ellipse(.9, .6, .1)],
             materials.woven)]


def bed(rng):
    cover = pick(rng, (70, 110, 168), (200, 92, 96), (110, 150, 110))
    return [((112, 68, 36), [box(-1.02, 0, -.9, .86), box(.92, 0, 1.0, .46)], materials.boarded),
            ((240, 238, 232), [box(-.92, .14, .94, .42)], None),
            ((252, 250, 246), [ellipse(-.66, .48, .24, .11)], None),
            (cover, [box(-.36, .12, .95, .46), ellipse(.3, .44, .66, .07)], materials.woven)]


def chair(rng):
    wood = (190, 136, 80)
    return [(wood, [line(.06, (-.2, .45), (-.24, .03)), line(.06, (.2, .45), (.24, .03)),
                    line(.07, (-.2, .42), (-.25, 1.0)),
                    line(.05, (-.24, .95), (-.10, .95)), line(.05, (-.22, .72), (-.10, .72))], None),
            (pick(rng, (192, 64, 56), (66, 112, 150)), [box(-.25, .42, .27, .52)], None)]


def table(rng):
    wood = ((140, 92, 50), (222, 170, 108))
    return [(wood, [box(-.86, 0, -.76, .62), box(.76, 0, .86, .62)], materials.furry),
            (wood, [box(-1, .6, 1, .72)], materials.boarded)]


def potted_plant(rng):
    angles = np.linspace(-1.2, 1.2, 7) + rng.uniform(-.1, .1, 7)
    leaves = [line(.09, (0, .36), (.5 * np.sin(angle), .42 + .55 * np.cos(angle))) for angle in angles]
    return [(((26, 84, 38), (82, 150, 62)), leaves, materials.leafy),
            ((190, 98, 62), [polygon((-.24, .42), (.24, .42), (.17, 0), (-.17, 0)), box(-.27, .36, .27, .45)], None)]


def television(rng):
    return [((26, 26, 30), [box(-.8, 0, .8, .95)], None),
            (((40, 70, 120), (120, 180, 214)), [box(-.72, .08, .72, .88)], materials.rolling)]


def lamp(rng):
    return [((70, 62, 54), [line(.03, (0, .3), (0, 1.6))], None),
            ((255, 232, 160), [polygon((-.34, 0), (.34, 0), (.16, .38), (-.16, .38))], None)]


def vase(rng):
    petals = [ellipse(.3 * np.sin(a), .85 + .22 * np.cos(a), .13) for a in (-1.6, -.8, 0, .8, 1.6)]
    return [((60, 120, 50), [line(.05, (0, .4), (.3 * np.sin(a), .85)) for a in (-1, 0, 1)], None),
            (pick(rng, (232, 84, 120), (246, 190, 60)), petals, None),
            ((70, 110, 170), [ellipse(0, .26, .2, .26), box(-.1, .4, .1, .56)], None)]


# ---- Beach

def umbrella(rng):
    first, second = pick(rng, ((216, 56, 52), (250, 246, 236)), ((40, 110, 180), (250, 226, 110)))
    rim = np.linspace(-.8, .8, 7)
    gores = [polygon((0, 1.25), (a, .82), ((a + b) / 2, .78), (b, .82)) for a, b in zip(rim, rim[1:])]
    return [((236, 232, 222), [line(.05, (0, 0), (0, 1.2))], None), (first, gores, None), (second, gores[1::2], None)]


def kite(rng):
    first, second = pick(rng, ((224, 60, 60), (250, 200, 60)), ((60, 90, 200), (250, 140, 60)))
    return [((240, 240, 240), [line(.03, (0, -.5), (.15, -.8), (.0, -1.1))], None),
            (first, [polygon((0, .5), (.36, .1), (0, -.5), (-.36, .1))], None),
            (second, [polygon((0, .5), (.36, .1), (0, .1)), polygon((0, -.5), (-.36, .1), (0, .1))], None)]
