"""The canvas of the demo scenes, which paints photo, label and instance in one stroke, and the things that stand in them.

A thing is a list of parts, (colours, shapes, texture or None), in its own coordinates: x to the right and y up, in units of
its size, the origin on the ground below its middle. A shape is ('polygon', points), ('ellipse', points) with two opposite
corners, or ('line', points, width).
"""
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from dataset import demo_materials as materials
from dataset.classes import COCO_STUFF, UNLABELLED

OVERSAMPLING = 4  # mask samples per pixel and axis: the photo's edges are smooth, the label's follow the pixel's majority


def polygon(*points):
    return 'polygon', points


def box(left, bottom, right, top):
    return 'polygon', ((left, bottom), (right, bottom), (right, top), (left, top))


def ellipse(x, y, rx, ry=None):
    return 'ellipse', ((x - rx, y - (ry or rx)), (x + rx, y + (ry or rx)))


def line(width, *points):
    return 'line', points, width


def placed(shape, x, y, size, flip=False):
    """A thing's shape on the canvas, where y points down."""
    points = tuple((x + (-px if flip else px) * size, y - py * size) for px, py in shape[1])
    return (shape[0], points) + tuple(width * size for width in shape[2:])


class Canvas:
    """photo float32 (H, W, 3) in 0 .. 255, label and instance uint8 (H, W); lengths are in units of the height."""

    def __init__(self, height, width, rng, mood):
        self.height, self.width, self.rng, self.mood = height, width, rng, mood
        self.texture_rng = np.random.default_rng(rng.integers(2 ** 63))  # its own, since pixels decide how much it is used
        self.aspect = width / height
        self.photo = np.zeros((height, width, 3), np.float32)
        self.label = np.full((height, width), UNLABELLED, np.uint8)
        self.instance = np.zeros((height, width), np.uint8)
        self.owners = [None]     # owners[i]: the class name of stuff or a number for a thing that has instance id i
        self.tints = rng.uniform(0.93, 1.07, (len(COCO_STUFF), 3))  # how this scene's colours differ from the materials'
        self.sun_side = rng.choice((-1, 1))

    def owner_id(self, owner):
        if owner not in self.owners:
            self.owners.append(owner)
        return self.owners.index(owner)

    def mask(self, shapes, soft=0.0):
        """Region of the canvas (two slices) and the fraction (h, w) of each of its pixels that the shapes cover."""
        points = np.array([point for shape in shapes for point in shape[1]]) * self.height
        reach = max([shape[2] for shape in shapes if shape[0] == 'line'] or [0]) * self.height + 2 + 3 * soft * self.height
        low = np.clip(np.floor(np.minimum(points.min(0), points.max(0)) - reach), 0, (self.width, self.height)).astype(int)
        high = np.clip(np.ceil(points.max(0) + reach), 0, (self.width, self.height)).astype(int)
        w, h = high - low
        if w <= 0 or h <= 0:
            return None, None
        image = Image.new('L', (w * OVERSAMPLING, h * OVERSAMPLING))
        draw = ImageDraw.Draw(image)
        for kind, corners, *line_width in shapes:
            corners = [tuple(corner) for corner in (np.array(corners) * self.height - low) * OVERSAMPLING]
            if kind == 'polygon':
                draw.polygon(corners, fill=255)
            elif kind == 'ellipse':
                xs, ys = zip(*corners)
                draw.ellipse((min(xs), min(ys), max(xs), max(ys)), fill=255)
            else:
                thick = line_width[0] * self.height * OVERSAMPLING
                draw.line(corners, fill=255, width=max(1, round(thick)), joint='curve')
                for x, y in corners:
                    draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=255)
        image = image.reduce(OVERSAMPLING)
        if soft:
            image = image.filter(ImageFilter.GaussianBlur(float(soft * self.height)))
        return (slice(low[1], high[1]), slice(low[0], high[0])), np.asarray(image, np.float32) / 255

    def paint(self, name, *shapes, owner=None, texture=None, colours=None, haze=0.0, soft=0.0, relief=0.5, lit=True):
        """Cover the shapes with a class; texture and colours default to its material. `haze` blends into the horizon."""
        region, cover = self.mask(shapes, soft)
        if region is None:
            return
        material = materials.MATERIALS.get(name)
        colours = np.array(colours if colours is not None else material.colours, np.float32)
        value = (texture or material.texture)(materials.Field(self.texture_rng, self.height, cover.shape))
        stops = np.linspace(0, 1, len(colours))
        colour = np.stack([np.interp(value, stops, channel) for channel in colours.T], -1) * self.tints[COCO_STUFF.index(name)]
        colour *= 1 + relief * self.relief(cover)[..., None]
        if lit:
            colour *= self.mood.light
        colour += haze * (np.array(self.mood.horizon) - colour)
        self.blend(region, cover, colour)
        inside = cover >= 0.5
        self.label[region][inside] = COCO_STUFF.index(name)
        self.instance[region][inside] = self.owner_id(owner or name)

    def relief(self, cover):
        """(h, w) in about -0.5 .. 0.5: lit towards the sun, dark on the far side and below, as if the shape were round."""
        step = max(1, round(min(cover.shape) * 0.12))
        image = Image.fromarray(np.pad(np.uint8(cover * 255), 2 * step, 'edge')).filter(ImageFilter.GaussianBlur(step))
        soft = np.asarray(image, np.float32) / 255
        middle, before, after = slice(2 * step, -2 * step), slice(step, -3 * step), slice(3 * step, -step)
        sideways = soft[middle, before] - soft[middle, after]
        return (soft[after, middle] - soft[before, middle] - 0.7 * self.sun_side * sideways) * 0.5

    def blend(self, region, cover, colour):
        self.photo[region] += cover[..., None] * (colour - self.photo[region])

    def shadow(self, x, y, rx, ry, strength=0.45):
        """Darken the ground below a thing, away from the sun; no class changes."""
        region, cover = self.mask([ellipse(x - self.sun_side * rx * 0.25, y, rx, ry)], soft=ry * 0.35)
        if region is not None:
            self.photo[region] *= 1 - strength * cover[..., None]

    def sky(self, bottom):
        """Gradient from zenith to horizon, with a glow around the sun."""
        y = np.linspace(0, 1, max(1, round(bottom * self.height)), dtype=np.float32)[:, None, None]
        x = np.arange(self.width, dtype=np.float32)[None, :, None] / self.height
        sky = np.array(self.mood.zenith) * (1 - y) + np.array(self.mood.horizon) * y
        sun_x, sun_y = self.aspect * (0.5 + 0.34 * self.sun_side), self.rng.uniform(0.1, 0.22)
        distance = np.hypot(x - sun_x, y * bottom - sun_y)
        glow = np.exp(-distance / 0.16) * 0.55 + materials.smoothstep(0.052, 0.042, distance) * 0.9
        self.photo[:len(y)] = sky + np.clip(glow, 0, 1) * (np.array(self.mood.sun) - sky)
        self.label[:len(y)] = COCO_STUFF.index('sky-other')
        self.instance[:len(y)] = self.owner_id('sky-other')

    def thing(self, name, parts, x, y, size, flip=False, shadow=0.0, stuff=False, haze=0.0):
        """Paint a thing that stands at (x, y); it gets an instance id of its own unless it is stuff."""
        if shadow:
            self.shadow(x, y, shadow * size, max(shadow * size * 0.22, 0.012))
        owner = None if stuff else len(self.owners)
        for colours, shapes, texture in parts:
            colours = np.atleast_2d(np.array(colours, np.float32))
            if len(colours) == 1:
                colours = colours * [[0.88], [1.1]]
            self.paint(name, *(placed(shape, x, y, size, flip) for shape in shapes), owner=owner, colours=colours,
                       texture=texture or materials.plain, haze=haze)


    def soften_light(self):
        """Halve the colour of the light: indoors, and on snow, which a low sun would turn to sand."""
        self.mood = self.mood._replace(light=(1 + np.array(self.mood.light)) / 2)


def pick(rng, *choices):
    return choices[rng.integers(len(choices))]


# ---- Animals: one four-legged plan, its measures by species

#            colours, texture, body (rx, ry), legs (length, width), head (x, y, rx, ry), neck width, muzzle colour
ANIMALS = {
    'sheep': (((176, 168, 152), (250, 247, 238)), materials.woolly, (.44, .28), (.26, .08), (.46, .66, .15, .12), .15, (58, 52, 50)),
    'cow': (((60, 42, 36), (244, 240, 232)), materials.patched, (.54, .24), (.36, .11), (.68, .80, .17, .11), .22, (214, 160, 146)),
    'horse': (((78, 42, 22), (158, 96, 54)), materials.furry, (.50, .21), (.50, .09), (.72, 1.10, .19, .10), .20, (52, 30, 22)),
    'dog': (((146, 92, 44), (226, 172, 104)), materials.furry, (.42, .19), (.26, .12), (.48, .78, .20, .16), .22, (60, 42, 32)),
    'elephant': (((86, 88, 96), (160, 160, 166)), materials.furry, (.56, .38), (.38, .18), (.62, .84, .22, .22), .30, (96, 96, 104)),
    'zebra': (((34, 32, 34), (244, 242, 236)), materials.zebra_striped, (.46, .22), (.44, .08), (.64, .98, .17, .09), .18, (44, 40, 40)),
    'giraffe': (((150, 84, 30), (240, 204, 130)), materials.spotted, (.40, .21), (.68, .08), (.66, 1.66, .15, .08), .14, (126, 80, 44)),
}


def animal(rng, species):
    """Parts of a four-legged animal that looks to the right, about 1 from hoof to back."""
    colours, texture, (rx, ry), (leg, thick), (hx, hy, hrx, hry), neck, muzzle = ANIMALS[species]
    back, dark = leg + ry, np.array(colours[0]) * 0.8
    if species in ('sheep', 'cow'):
        dark = np.array((70, 58, 52))
    if species == 'giraffe':
        dark = np.array((206, 160, 96))
    stride = rng.uniform(0.0, 0.07)
    legs = [line(thick, (x, back), (x + side * stride, thick / 2)) for x, side in
            ((-rx * .72, -1), (-rx * .45, 1), (rx * .45, -1), (rx * .72, 1))]
    body = [ellipse(0, back, rx, ry), ellipse(-rx * .45, back + ry * .06, rx * .5, ry * .95), ellipse(rx * .45, back, rx * .5, ry)]
    parts = [(dark, legs, None), (dark, [line(.05, (-rx * .95, back + ry * .3), (-rx * 1.15, back - ry * .7))], None),
             (colours, body + [line(neck, (rx * .72, back + ry * .15), (hx, hy))], texture)]
    head = [ellipse(hx, hy, hrx, hry)]
    if species == 'elephant':
        parts += [(colours, head + [line(.13, (.76, .80), (.88, .50), (.86, .16))], texture),
                  (muzzle, [ellipse(.50, .86, .16, .23)], None), ((248, 244, 230), [line(.045, (.80, .62), (1.0, .56))], None)]
    else:
        parts += [(muzzle if species == 'sheep' else colours, head, None if species == 'sheep' else texture),
                  (muzzle, [ellipse(hx + hrx * .8, hy - hry * .25, hrx * .45, hry * .6)], None),
                  (dark, [polygon((hx - hrx, hy + hry * .3), (hx - hrx * .9, hy + hry * 1.9), (hx - hrx * .2, hy + hry * .8))], None)]
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
    coat = pick(rng, ((206, 120, 50), (246, 180, 104)), ((74, 74, 80), (128, 128, 134)), ((196, 186, 172), (246, 240, 230)))
    return [(coat, [line(.11, (-.25, .10), (-.52, .14), (-.55, .42)), ellipse(0, .30, .30, .32), ellipse(.02, .5, .22, .26),
                    ellipse(.06, .80, .24, .20), polygon((-.16, .86), (-.14, 1.12), (.04, .95)),
                    polygon((.10, .96), (.26, 1.12), (.29, .86))], materials.furry),
            ((246, 240, 232), [ellipse(.06, .36, .12, .18), ellipse(.08, .72, .10, .07)], None),
            ((30, 60, 30), [ellipse(-.02, .82, .035), ellipse(.16, .82, .035)], None)]


def bird(rng):
    colour = pick(rng, (52, 54, 66), (240, 240, 240))
    up = rng.uniform(.2, .4)
    return [(colour, [polygon((-.08, 0), (-.5, up), (-.62, up * .7), (-.04, -.14)), polygon((.08, 0), (.5, up), (.62, up * .7),
                                                                                       (.04, -.14)), ellipse(0, -.06, .13, .1)], None)]


def person(rng, clothes=None):
    shirt = pick(rng, (206, 52, 48), (48, 96, 180), (238, 188, 50), (244, 244, 240), (60, 140, 96))
    trousers = pick(rng, (44, 52, 84), (70, 62, 56), (120, 112, 98))
    skin, hair = pick(rng, ((236, 190, 158), (96, 58, 30)), ((148, 98, 66), (34, 26, 24)), ((242, 204, 176), (206, 164, 84)))
    stride = rng.uniform(.03, .1)
    return [(trousers, [line(.095, (-.045, .5), (-stride, .05)), line(.095, (.045, .5), (stride, .05))], None),
            (skin, [line(.06, (-.13, .76), (-.18, .50)), line(.06, (.13, .76), (.18, .50)), ellipse(0, .91, .075, .09)], None),
            (shirt, [polygon((-.15, .81), (.15, .81), (.12, .46), (-.12, .46)), line(.085, (-.13, .77), (-.17, .62)),
                     line(.085, (.13, .77), (.17, .62))], None),
            (hair, [ellipse(-.01, .96, .075, .06)], None)]


# ---- Vehicles

def car(rng):
    colour = pick(rng, (204, 44, 40), (46, 96, 190), (236, 184, 44), (236, 238, 240), (62, 140, 110))
    return [((38, 38, 42), [box(-.9, .1, .9, .24)], None),
            (colour, [polygon((-1, .16), (-1, .42), (-.92, .50), (-.64, .53), (-.42, .80), (.30, .80), (.58, .53), (.92, .46),
                              (1, .36), (1, .16))], None),
            ((120, 158, 184), [polygon((-.53, .54), (-.38, .74), (-.08, .74), (-.08, .54)),
                               polygon((0, .54), (0, .74), (.26, .74), (.46, .54))], None),
            ((30, 30, 34), [ellipse(-.58, .18, .19), ellipse(.58, .18, .19)], None),
            ((186, 188, 194), [ellipse(-.58, .18, .09), ellipse(.58, .18, .09)], None),
            ((255, 244, 190), [ellipse(.94, .38, .06, .05)], None)]


def bus(rng):
    colour = pick(rng, (218, 60, 44), (240, 178, 40), (54, 120, 170))
    panes = [box(x, .56, x + .24, .86) for x in np.arange(-.92, .8, .3)]
    return [((34, 34, 38), [box(-.95, .1, .95, .3)], None), (colour, [box(-1, .18, 1, .98), box(-.96, .9, .96, 1.02)], None),
            ((132, 172, 196), panes, None), ((244, 240, 228), [box(-1, .40, 1, .46)], None),
            ((30, 30, 34), [ellipse(-.6, .17, .17), ellipse(.6, .17, .17)], None),
            ((186, 188, 194), [ellipse(-.6, .17, .08), ellipse(.6, .17, .08)], None)]


def boat(rng):
    hull = pick(rng, (186, 44, 40), (40, 70, 130), (122, 78, 44))
    sail = pick(rng, (250, 246, 234), (240, 206, 120), (232, 120, 90))
    return [((92, 66, 44), [line(.04, (0, .2), (0, 1.3))], None), (sail, [polygon((.06, .36), (.06, 1.28), (.62, .40))], None),
            (np.array(sail) * .88, [polygon((-.06, .36), (-.06, 1.15), (-.48, .40))], None),
            (hull, [polygon((-.7, .30), (.8, .30), (.52, .0), (-.5, .0))], None),
            ((246, 242, 232), [polygon((-.7, .30), (.8, .30), (.76, .24), (-.67, .24))], None)]


def traffic_light(rng):
    lamps = [(60, 30, 28), (62, 56, 26), (24, 56, 34)]
    lamps[pick(rng, 0, 2)] = pick(rng, (255, 70, 50), (90, 240, 120))
    return [((52, 54, 58), [line(.05, (0, 0), (0, .75))], None), ((40, 42, 44), [box(-.12, .62, .12, 1.1)], None)] + [
        (lamp, [ellipse(0, 1.0 - .14 * i, .055)], None) for i, lamp in enumerate(lamps)]


# ---- Plants and houses: stuff, painted with their classes' materials

def tree_shapes(rng, conifer):
    """Trunk and crown of a tree 1 high."""
    if conifer:
        return [box(-.035, 0, .035, .2)], [polygon((-.30 + i * .07, .12 + i * .22), (.30 - i * .07, .12 + i * .22), (0, .48 + i * .18))
                                           for i in range(4)]
    crown = [ellipse(0, .66, .27, .27)] + [ellipse(.24 * np.cos(a) * rng.uniform(.8, 1.1), .66 + .2 * np.sin(a), rng.uniform(.13, .19))
                                           for a in np.arange(0, 6.28, .9)]
    return [polygon((-.06, 0), (.06, 0), (.035, .5), (-.035, .5)), line(.03, (0, .35), (.15, .55))], crown


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
    return [((150, 84, 62), [box(.22, .8, .34, 1.25)], None), (wall, [box(-.6, 0, .6, .72)], None),
            (roof, [polygon((-.72, .68), (.72, .68), (.42, 1.18), (-.42, 1.18))], materials.boarded),
            (frame, [box(x - .02, y - .02, x + .26, y + .28) for x, y in windows], None),
            (glass, [box(x, y, x + .11, y + .26) for x, y in windows] + [box(x + .13, y, x + .24, y + .26) for x, y in windows], None),
            ((122, 72, 40), [box(-.09, 0, .1, .46)], None)]


# ---- Rooms

def couch(rng):
    colour = pick(rng, (56, 110, 130), (176, 74, 62), (96, 116, 84), (214, 168, 80))
    dark = np.array(colour) * .82
    return [((64, 42, 28), [box(-.92, 0, -.84, .14), box(.84, 0, .92, .14)], None),
            (colour, [box(-.88, .3, .88, .86), ellipse(-.45, .82, .43, .12), ellipse(.45, .82, .43, .12)], materials.woven),
            (np.array(colour) * 1.08, [box(-.86, .26, -.01, .48), box(.01, .26, .86, .48)], materials.woven),
            (dark, [box(-1, .1, 1, .28), box(-1, .1, -.8, .6), box(.8, .1, 1, .6), ellipse(-.9, .6, .1), ellipse(.9, .6, .1)],
             materials.woven)]


def bed(rng):
    cover = pick(rng, (70, 110, 168), (200, 92, 96), (110, 150, 110))
    return [((112, 68, 36), [box(-1.02, 0, -.9, .86), box(.92, 0, 1.0, .46)], materials.boarded),
            ((240, 238, 232), [box(-.92, .14, .94, .42)], None), ((252, 250, 246), [ellipse(-.66, .48, .24, .11)], None),
            (cover, [box(-.36, .12, .95, .46), ellipse(.3, .44, .66, .07)], materials.woven)]


def chair(rng):
    wood = (150, 96, 50)
    return [(wood, [line(.06, (-.2, .45), (-.24, .03)), line(.06, (.2, .45), (.24, .03)), line(.07, (-.2, .42), (-.25, 1.0)),
                    line(.05, (-.24, .95), (-.10, .95)), line(.05, (-.22, .72), (-.10, .72))], None),
            (pick(rng, (192, 64, 56), (66, 112, 150)), [box(-.25, .42, .27, .52)], None)]


def table(rng):
    wood = ((104, 62, 30), (178, 118, 66))
    return [(wood, [box(-.86, 0, -.76, .62), box(.76, 0, .86, .62)], materials.furry), (wood, [box(-1, .6, 1, .72)], materials.boarded)]


def potted_plant(rng):
    leaves = [line(.09, (0, .36), (.5 * np.sin(a), .42 + .55 * np.cos(a))) for a in np.linspace(-1.2, 1.2, 7) + rng.uniform(-.1, .1, 7)]
    return [(((26, 84, 38), (82, 150, 62)), leaves, materials.leafy),
            ((190, 98, 62), [polygon((-.24, .42), (.24, .42), (.17, 0), (-.17, 0)), box(-.27, .36, .27, .45)], None)]


def television(rng):
    return [((26, 26, 30), [box(-.8, 0, .8, .95)], None), (((40, 70, 120), (120, 180, 214)), [box(-.72, .08, .72, .88)], materials.rolling)]


def lamp(rng):
    return [((70, 62, 54), [line(.03, (0, .3), (0, 1.6))], None), ((255, 232, 160), [polygon((-.34, 0), (.34, 0), (.16, .38), (-.16, .38))], None)]


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
