"""The canvas of the demo scenes: one stroke paints photo, label and instance.

A shape is ('polygon', points), ('ellipse', points) with two opposite corners, or ('line', points, width). Lengths are
in units of the picture's height.
"""
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from dataset.palette import COCO_STUFF, UNLABELLED
from dataset.scenes import materials

# mask samples per pixel and axis: the photo's edges are smooth, the label's follow the pixel's majority
OVERSAMPLING = 4


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
        # a generator of its own: the number of its draws depends on the size
        self.texture_rng = np.random.default_rng(rng.integers(2 ** 63))
        self.aspect = width / height
        self.photo = np.zeros((height, width, 3), np.float32)
        self.label = np.full((height, width), UNLABELLED, np.uint8)
        self.instance = np.zeros((height, width), np.uint8)
        self.owners = [None]     # owners[i]: the class name of stuff or a number for a thing that has instance id i
        # this scene's differences from the colours of the materials
        self.tints = rng.uniform(0.96, 1.04, (len(COCO_STUFF), 3))
        self.sun_side = rng.choice((-1, 1))

    def owner_id(self, owner):
        if owner not in self.owners:
            self.owners.append(owner)
        return self.owners.index(owner)

    def mask(self, shapes, soft=0.0):
        """Region of the canvas (two slices) and the fraction (h, w) of each of its pixels that the shapes cover."""
        points = np.array([point for shape in shapes for point in shape[1]]) * self.height
        reach = max([shape[2] for shape in shapes if shape[0] == 'line'] or
                    [0]) * self.height + 2 + 3 * soft * self.height
        low = np.clip(np.floor(np.minimum(points.min(0), points.max(0)) - reach), 0,
                      (self.width, self.height)).astype(int)
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
        """Cover the shapes with a class; texture and colours default to its material. `haze` blends into the horizon.
        """
        region, cover = self.mask(shapes, soft)
        if region is None:
            return
        material = materials.MATERIALS.get(name)
        colours = np.array(colours if colours is not None else material.colours, np.float32)
        value = (texture or material.texture)(materials.Field(self.texture_rng, self.height, cover.shape))
        stops = np.linspace(0, 1, len(colours))
        colour = np.stack([np.interp(value, stops, channel) for channel in colours.T],
                          -1) * self.tints[COCO_STUFF.index(name)]
        colour *= 1 + relief * self.relief(cover)[..., None]
        if lit:
            colour *= self.mood.light
        colour += haze * (np.array(self.mood.horizon) - colour)
        self.blend(region, cover, colour)
        inside = cover >= 0.5
        self.label[region][inside] = COCO_STUFF.index(name)
        self.instance[region][inside] = self.owner_id(owner or name)

    def relief(self, cover):
        """(h, w) in about -0.5 .. 0.5: lit towards the sun, dark on the far side and below, as if the shape were round.
        """
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
        """Paint a thing at (x, y); it gets an instance id of its own unless it is stuff."""
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
