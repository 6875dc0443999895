"""Scenery of several scenes: skylines, hills, clouds, heaps, ways, flocks, windows; and the places of things."""
import numpy as np

from dataset.scenes import materials, objects
from dataset.scenes.canvas import box, ellipse, polygon


def ridge(canvas, base, height, roughness):
    """Polygon of a rugged skyline, `height` above `base` at most, down to a little below `base`."""
    x = np.linspace(-0.02, canvas.aspect + 0.02, 65)
    knots = np.interp(x, np.linspace(x[0], x[-1], 2 + roughness), canvas.rng.random(2 + roughness))
    detail = sum(np.interp(x, np.linspace(x[0], x[-1], n), canvas.rng.random(n)) / n for n in (17, 33)) * roughness
    skyline = base - height * (0.25 + 0.75 * knots) - height * 0.25 * detail
    return polygon(*zip(x, skyline), (x[-1], base + .09), (x[0], base + .09))


def swell(canvas, base, height):
    """Polygon from a smooth hilltop line down to the picture's lower edge."""
    x = np.linspace(-0.02, canvas.aspect + 0.02, 49)
    phase, waves = canvas.rng.uniform(0, 6.28), canvas.rng.uniform(2, 5)
    return polygon(*zip(x, base - height * (0.5 + 0.5 * np.sin(phase + waves * x))), (x[-1], 1.02), (x[0], 1.02))


def clouds(canvas, bottom):
    for _ in range(canvas.rng.poisson(2 * canvas.mood.clouds)):
        x, y = canvas.rng.uniform(0, canvas.aspect), canvas.rng.uniform(0.06, bottom * 0.75)
        size = canvas.rng.uniform(0.05, 0.11)
        puffs = [ellipse(x + size * dx, y - size * dy, size * r, size * r * .7)
                 for dx, dy, r in ((-1.3, 0, .6), (-.5, .3, .8), (.4, .25, .9), (1.3, 0, .55), (0, 0, 1.1))]
        canvas.paint('clouds', *puffs, soft=0.006, haze=0.25, relief=0.35, lit=False)


def scattered(canvas, count, top, bottom):
    """Ground points (x, y, nearness 0 .. 1) from far to near, spread so that few things overlap."""
    columns = canvas.rng.permutation(count)
    for i, near in enumerate(np.sort(canvas.rng.random(count))):
        yield (columns[i] + canvas.rng.uniform(0.25, 0.75)) / count * canvas.aspect, top + (bottom - top) * near, near


def clump(canvas, name, x, y, size):
    """A bush or a rock at (x, y): a low heap."""
    canvas.shadow(x, y, size * 1.5, size * .3)
    heap = [ellipse(x + size * dx, y - size * dy, size * r, size * r * .9)
            for dx, dy, r in ((-.7, .35, .5), (0, .55, .7), (.7, .35, .55))]
    canvas.paint(name, *heap, relief=.6)


def winding(canvas, name, top):
    """A river or a path that comes from the horizon and widens."""
    t = np.linspace(0, 1, 25)
    start, bend = canvas.rng.uniform(.3, .7), canvas.rng.uniform(-.25, .25)
    middle = canvas.aspect * (start + bend * np.sin(t * 4.5) * (.3 + t))
    half, y = .012 + .17 * t ** 1.6, top + (1.02 - top) * t
    canvas.paint(name, polygon(*zip(middle - half, y), *zip((middle + half)[::-1], y[::-1])), relief=-.25,
                 haze=.15 if name == 'river' else 0)


def birds(canvas, bottom):
    for _ in range(canvas.rng.integers(1, 4)):
        canvas.thing('bird', objects.bird(canvas.rng), canvas.rng.uniform(.1, .9) * canvas.aspect,
                     canvas.rng.uniform(.08, bottom * .7), canvas.rng.uniform(.05, .09))


def window(canvas, x, top, half, height):
    """A window on the sky, its frame, and curtains at both sides."""
    sky = (canvas.mood.horizon, canvas.mood.zenith)
    bottom, frame = top + height, ((220, 216, 206), (250, 248, 242))
    canvas.paint('window-other', box(x - half - .015, top - .015, x + half + .015, bottom + .015),
                 texture=materials.plain, colours=frame, relief=0)
    for left in (x - half, x + .008):
        canvas.paint('window-other', box(left, top, left + half - .008, bottom), colours=sky, lit=False, relief=0,
                     texture=lambda f: np.clip(.9 - .7 * f.t + .1 * f.noise(.1), 0, 1))
    for side in (-1, 1):
        edge, inner = x + side * (half + .05), x + side * half * .62
        canvas.paint('curtain', polygon((edge, top - .04), (x + side * half * .5, top - .04), (inner, bottom + .02),
                                        (inner + side * .01, bottom + .12), (edge, bottom + .12)), relief=.2)
