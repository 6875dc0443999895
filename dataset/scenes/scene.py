"""Demo scenes: landscapes, savannas, beaches, streets and rooms, each painted from the far to the near."""
import numpy as np

from dataset.palette import UNLABELLED
from dataset.scenes import materials, objects
from dataset.scenes.canvas import Canvas, box, ellipse, polygon
from dataset.scenes.scenery import birds, clouds, clump, ridge, scattered, swell, winding, window


def landscape(canvas):
    rng, horizon = canvas.rng, canvas.rng.uniform(0.42, 0.56)
    winter = rng.random() < 0.25
    extras = rng.choice(('path', 'house', 'fence', 'flowers', 'birds'), 2, replace=False)
    if winter:
        canvas.soften_light()
    canvas.sky(horizon + 0.1)
    clouds(canvas, horizon)
    if winter or rng.random() < 0.65:
        canvas.paint('mountain', ridge(canvas, horizon + .03, rng.uniform(.2, .34), rng.integers(3, 6)), haze=0.2,
                     relief=.2)
    if not winter:
        canvas.paint('hill', swell(canvas, horizon + .05, .10), haze=0.15, relief=.2)
    for x, y, _ in scattered(canvas, rng.integers(4, 9), horizon + .05, horizon + .08):
        conifer = winter or rng.random() < .4
        objects.plant_tree(canvas, x, y + .02, rng.uniform(.10, .16), conifer, haze=.12, snowy=winter)
    canvas.paint('snow' if winter else 'grass', swell(canvas, horizon + .08, .03), relief=.1)
    if 'path' in extras:
        winding(canvas, objects.pick(rng, 'river', 'dirt'), horizon + .07)
    if 'house' in extras:
        x = rng.uniform(.15, .85) * canvas.aspect
        canvas.thing('house', objects.house(rng), x, horizon + .17, rng.uniform(.16, .23), rng.random() < .5, .8,
                     stuff=True)
    if 'fence' in extras:
        left, right = np.sort(rng.uniform(-.1, canvas.aspect + .1, 2)) + (-.15, .15)
        canvas.paint('fence', *objects.fence_shapes(left, right, horizon + .22, .085), relief=.2)
    undergrowth = objects.pick(rng, 'rock', 'rock' if winter else 'bush')
    for x, y, near in scattered(canvas, rng.integers(1, 4), horizon + .17, .9):
        if rng.random() < .5:
            objects.plant_tree(canvas, x, y, .24 + .3 * near, conifer=winter or rng.random() < .3, snowy=winter)
        else:
            clump(canvas, undergrowth, x, y, .07 + .04 * near)
    if not winter:
        species = objects.pick(rng, 'sheep', 'cow', 'horse')
        for x, y, near in scattered(canvas, rng.integers(1, 5), horizon + .22, .95):
            canvas.thing(species, objects.animal(rng, species), x, y, .14 + .14 * near, rng.random() < .5, shadow=.55)
        if 'flowers' in extras:
            x = rng.uniform(0, canvas.aspect)
            canvas.paint('flower', *(ellipse(x + dx, 1.0, .16, .08) for dx in (-.2, 0, .2)), relief=.2)
    if 'birds' in extras:
        birds(canvas, horizon)


def savanna(canvas):
    rng, horizon = canvas.rng, canvas.rng.uniform(.42, .52)
    canvas.sky(horizon + .05)
    clouds(canvas, horizon)
    canvas.paint('hill', swell(canvas, horizon + .01, .07), haze=.3, relief=.2)
    canvas.paint('dirt', swell(canvas, horizon + .04, .02), relief=.1)
    for x, y, _ in scattered(canvas, rng.integers(2, 5), horizon + .05, horizon + .12):
        objects.plant_tree(canvas, x, y, rng.uniform(.16, .28))
    canvas.paint('grass', swell(canvas, rng.uniform(.66, .74), .06), relief=.1)
    species = objects.pick(rng, 'elephant', 'zebra', 'giraffe')
    size = {'elephant': .30, 'zebra': .25, 'giraffe': .30}[species]
    for x, y, near in scattered(canvas, rng.integers(2, 4), .68, .94):
        canvas.thing(species, objects.animal(rng, species), x, y, size * (.7 + .5 * near), rng.random() < .5, shadow=.6)
    if rng.random() < .6:
        clump(canvas, 'bush', rng.uniform(0, canvas.aspect), .98, .11)
    if rng.random() < .4:
        birds(canvas, horizon)


def beach(canvas):
    rng, horizon = canvas.rng, canvas.rng.uniform(.36, .48)
    canvas.sky(horizon + .02)
    clouds(canvas, horizon)
    if rng.random() < .5:
        canvas.paint('mountain', ridge(canvas, horizon + .02, .14, 4), haze=.45, relief=.2)
    canvas.paint('sea', box(-.1, horizon, canvas.aspect + .1, 1.02), haze=.12, relief=0)
    for x, y, near in scattered(canvas, rng.integers(1, 4), horizon + .04, horizon + .16):
        canvas.thing('boat', objects.boat(rng), x, y, .09 + .11 * near, rng.random() < .5, shadow=.6)
    shore = swell(canvas, rng.uniform(.68, .76), .05)
    wet = tuple((x, y - .012) for x, y in shore[1])
    canvas.paint('sea', ('polygon', wet), colours=((226, 240, 242), (250, 253, 253)), texture=materials.plain, relief=0)
    canvas.paint('sand', shore, relief=.1)
    for x, y, near in scattered(canvas, rng.integers(2, 5), .80, .97):
        if rng.random() < .5:
            canvas.thing('umbrella', objects.umbrella(rng), x, y, .18 + .05 * near, shadow=.7)
        else:
            canvas.thing('person', objects.person(rng), x, y, .22 + .06 * near, shadow=.25)
    if rng.random() < .5:
        canvas.thing('kite', objects.kite(rng), rng.uniform(.15, .85) * canvas.aspect, rng.uniform(.12, .28), .13)
    if rng.random() < .4:
        birds(canvas, horizon)


def street(canvas):
    rng, ground = canvas.rng, canvas.rng.uniform(.64, .70)
    canvas.sky(ground)
    clouds(canvas, .4)
    x = rng.uniform(-.1, .05)
    while x < canvas.aspect:
        width, top = rng.uniform(.12, .2), rng.uniform(.08, .34)
        tone = rng.uniform(.85, 1.1) * np.array(objects.pick(rng, (128, 146, 168), (150, 150, 160)))
        canvas.paint('skyscraper', box(x, top, x + width, ground), texture=materials.facade(.028, .026, .12), relief=.1,
                     haze=.25, colours=((70, 98, 128), tone, (255, 232, 160)))
        x += width * rng.uniform(1.0, 1.9)
    x = rng.uniform(-.15, -.02)
    while x < canvas.aspect:
        width, top = rng.uniform(.24, .42), rng.uniform(.30, .46)
        wall = objects.pick(rng, (222, 168, 122), (236, 214, 172), (196, 120, 92), (176, 184, 170))
        canvas.paint('building-other', box(x, top, x + width, ground), texture=materials.facade(.075, .09, .15),
                     relief=.15, colours=((58, 78, 100), wall, (255, 226, 150)))
        canvas.paint('building-other', box(x - .008, top - .018, x + width + .008, top), texture=materials.plain,
                     relief=0, colours=(np.array(wall) * .6, np.array(wall) * .75))
        x += width * rng.choice((1.0, 1.0, 1.35))
    canvas.paint('pavement', box(-.1, ground, canvas.aspect + .1, ground + .12), relief=0)
    curb = ground + .10
    for x, y, _ in scattered(canvas, rng.integers(2, 5), ground + .03, ground + .06):
        if rng.random() < .55:
            objects.plant_tree(canvas, x, y, rng.uniform(.26, .36))
        else:
            canvas.thing('person', objects.person(rng), x, y + .02, rng.uniform(.16, .2), rng.random() < .5, shadow=.2)
    canvas.paint('road', box(-.1, curb, canvas.aspect + .1, 1.02), relief=0)
    for x in np.arange(rng.uniform(-.2, 0), canvas.aspect, .26):
        canvas.paint('road', polygon((x, .895), (x + .13, .895), (x + .12, .912), (x - .015, .912)), relief=0,
                     texture=materials.plain, colours=((214, 210, 196), (244, 240, 228)))
    near_lane = objects.pick(rng, 'car', 'bus', 'traffic light')
    if near_lane == 'traffic light':
        canvas.thing(near_lane, objects.traffic_light(rng), rng.uniform(.05, .95) * canvas.aspect, curb, .34)
    if rng.random() < .85:
        x = rng.uniform(.2, .8) * canvas.aspect
        canvas.thing('car', objects.car(rng), x, curb + .06, .15, rng.random() < .5, shadow=1.05)
    name, vehicle, size = ('bus', objects.bus, .28) if near_lane == 'bus' else ('car', objects.car, .20)
    canvas.thing(name, vehicle(rng), rng.uniform(.2, .8) * canvas.aspect, .975, size, rng.random() < .5, shadow=1.05)


def room(canvas):
    rng, floor, wide = canvas.rng, canvas.rng.uniform(.64, .72), canvas.aspect
    canvas.soften_light()
    wall, ground = objects.pick(rng, ('wall-other', 'floor-wood'), ('wall-brick', 'floor-wood'),
                                ('wall-tile', 'floor-tile'))
    canvas.paint(wall, box(-.1, -.1, wide + .1, floor), relief=0)
    canvas.paint('ceiling-other', polygon((-.1, -.1), (wide + .1, -.1), (wide + .1, .03), (wide - .1, .09), (.1, .09),
                                          (-.1, .03)), relief=0)
    canvas.paint(ground, box(-.1, floor, wide + .1, 1.02), relief=0)
    canvas.shadow(wide / 2, floor, wide * .7, .02, .35)
    x = rng.uniform(.28, .72) * wide
    window(canvas, x, .2, rng.uniform(.15, .2), .27)
    furniture = objects.pick(rng, 'couch', 'bed', 'dining table')
    extras = rng.choice(('tv', 'rug', 'potted plant', 'light', 'pet'), 2 if furniture == 'dining table' else 4,
                        replace=False)
    if 'tv' in extras:
        canvas.thing('tv', objects.television(rng), x + (.34 if x < wide / 2 else -.34), floor - .16, .16)
    if 'rug' in extras:
        canvas.paint('rug', ellipse(wide / 2 + rng.uniform(-.1, .1), .88, rng.uniform(.28, .36), .085), relief=.1)
    x = rng.uniform(.38, .62) * wide
    if furniture == 'couch':
        canvas.thing('couch', objects.couch(rng), x, floor + .10, .29, shadow=1.0)
    elif furniture == 'bed':
        canvas.thing('bed', objects.bed(rng), x, floor + .15, .36, rng.random() < .5, shadow=1.0)
    else:
        for side in (-1, 1):
            canvas.thing('chair', objects.chair(rng), x + side * .29, floor + .15, .34, side > 0, shadow=.3)
        canvas.thing('dining table', objects.table(rng), x, floor + .17, .25, shadow=.9)
        canvas.thing('vase', objects.vase(rng), x, floor + .17 - .178, .15)
    if 'potted plant' in extras:
        x = objects.pick(rng, .1, .9) * wide
        canvas.thing('potted plant', objects.potted_plant(rng), x, floor + .14, rng.uniform(.26, .34), shadow=.3)
    if 'light' in extras:
        canvas.thing('light', objects.lamp(rng), rng.uniform(.3, .7) * wide, .20, .14, stuff=True)
    if 'pet' in extras:
        name, parts = objects.pick(rng, ('cat', objects.cat(rng)), ('dog', objects.animal(rng, 'dog')))
        canvas.thing(name, parts, rng.uniform(.25, .75) * wide, .95, .22, rng.random() < .5, shadow=.4)


COMPOSERS = (landscape, landscape, savanna, beach, street, street, room, room)


def scene(seed, height, width):
    """photo uint8 (H, W, 3), label uint8 (H, W) in COCO-Stuff ids, instance uint8 (H, W).

    A pure function of its arguments; the layout depends only on the seed and on width / height. An instance id
    belongs to
    one thing, or to all stuff of one class; the few unlabelled pixels (255) have id 0.
    """
    rng = np.random.default_rng(seed)
    canvas = Canvas(height, width, rng, objects.pick(rng, *materials.MOODS))
    objects.pick(rng, *COMPOSERS)(canvas)
    photo = finished(canvas)
    if rng.random() < 0.4:
        unlabel(canvas)
    return photo, canvas.label, canvas.instance


def finished(canvas):
    """uint8 photo: a vignette and the grain of film."""
    y, x = np.mgrid[-1:1:canvas.height * 1j, -1:1:canvas.width * 1j].astype(np.float32)
    photo = canvas.photo * (1.03 - 0.10 * (x * x + y * y) / 2)[..., None]
    photo += canvas.texture_rng.normal(0, 2.0, canvas.photo.shape[:2])[..., None]
    return np.clip(np.rint(photo), 0, 255).astype(np.uint8)


def unlabel(canvas):
    """Forget the label along a few stretches of the borders between objects, as annotators do."""
    border = np.zeros(canvas.label.shape, bool)
    border[:, 1:] = canvas.instance[:, 1:] != canvas.instance[:, :-1]
    stretch = materials.Field(canvas.texture_rng, canvas.height, canvas.label.shape).noise(.12) > .85
    canvas.label[border & stretch], canvas.instance[border & stretch] = UNLABELLED, 0
