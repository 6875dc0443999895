"""Warns once, with a remedy, about failures of a run that otherwise go unnoticed for days.

Each function judges its arguments and changes nothing. Losses come from the log, at fixed steps, so that a resumed run
warns like an uninterrupted one.
"""
import itertools
import math

import numpy as np

EVERY = 100    # steps between two checks of losses and loss scales
WINDOW = 500   # steps in which D's loss must stay near 0; it may be that low at the start of a run or of a new D
BEGUN = 500    # updates of G before pictures are judged, since a new generator paints any map grey
STALE = 0.05   # greatest part of those first weights in an average (ema_decay) that is judged

# d_loss of a D that cannot distinguish fakes from photos: hinge 1 + 1, cross-entropy 2 ln 2, least squares (1/2)^2 +
# (1/2)^2. It is 0 for a D that recognizes all of them. Wasserstein's loss has no such floor: it falls without bound
# in a good run too.
BALANCED = {'hinge': 2.0, 'original': 2 * math.log(2), 'ls': 0.5}
WON = 0.05     # part of BALANCED

# Difference of two pictures where their label maps differ, as a part of that of their photos. A working generator has
# 0.46 after 20 steps of the demo, 0.7 or more after its first epoch, and 0.86 to 1.5 on CamVid after 460 steps; one
# that paints grey has 0.01.
DEAD = 0.1
MAPS_DIFFER = 0.05    # part of the pixels (CamVid: 0.04 to 0.18); maps that differ in fewer are not judged
PHOTOS_DIFFER = 0.1   # difference there, in [-1, 1]; photos that differ less are not judged

# Mixed precision is published with scales of 8 to 32768 (Micikevicius et al., ICLR 2018, section 3.2). Paddle starts
# with 65536, halves it at each step that overflows (and skips that step), and doubles it after 2000 good ones.
LOWEST_SCALE = 8


class Trouble:
    """Calls say(line) once a run for each trouble. said: list of the names of those reported, to which it appends."""

    def __init__(self, opt, said, say):
        self.opt, self.said, self.say = opt, said, say

    def after_step(self, losses, loss_scales=()):
        """losses: dict of arrays by LOG_COLUMNS, of up to 2 WINDOW steps, the newest last."""
        self._once('discriminator', discriminator_has_won, losses['d_loss'], losses['g_loss_feat'], self.opt.gan_mode)
        self._once('loss scale', loss_scale_has_collapsed, loss_scales)

    def in_pictures(self, steps, labels, fakes, photos):
        """Judge pictures of the generator or its average after `steps` steps; arguments as for `generator_is_dead`."""
        beyond = steps // self.opt.D_steps_per_G - BEGUN
        if beyond >= 0 and self.opt.ema_decay ** (beyond + 1) <= STALE:
            self._once('generator', generator_is_dead, labels, fakes, photos)

    def _once(self, name, judge, *arguments):
        line = None if name in self.said else judge(*arguments)
        if line:
            self.said.append(name)
            self.say(line)


def discriminator_has_won(d_loss, feature_matching, gan_mode):
    """A line if d_loss was near 0 for WINDOW steps and feature matching did not fall compared with those before.

    Arrays of 2 WINDOW steps, the newest last. Without feature matching (zeros) d_loss alone decides.
    """
    if gan_mode not in BALANCED or len(d_loss) < 2 * WINDOW:
        return None
    level = d_loss[-WINDOW:].mean()
    before, now = feature_matching[-2 * WINDOW:-WINDOW].mean(), feature_matching[-WINDOW:].mean()
    if level >= WON * BALANCED[gan_mode] or (now <= before and now > 0):
        return None
    rises = f', and feature matching rises ({before:.3g}, then {now:.3g})' if now else ''
    return (f'D has won: d_loss was {level:.2g} over the last {WINDOW} steps, where {BALANCED[gan_mode]:.3g} is '
            f'balanced{rises}. G now learns little. Continue with --no_TTUR true (equal learning rates of G and D) or '
            'a lower --lr, or restart with a larger batch (--batchSize, --accumulate), a smaller --ndf, or more photos')


def generator_is_dead(labels, fakes, photos):
    """A line if pictures hardly change where label maps do: labels (N, H, W); fakes, photos (N, C, H, W) in [-1, 1].

    None for a single map, and for similar maps or photos.
    """
    pixels = painted = photographed = 0
    for one, other in itertools.combinations(range(len(labels)), 2):
        where = labels[one] != labels[other]
        pixels += where.sum()
        painted += np.abs(fakes[one] - fakes[other]).mean(0)[where].sum()
        photographed += np.abs(photos[one] - photos[other]).mean(0)[where].sum()
    pairs = len(labels) * (len(labels) - 1) // 2
    alike = pixels <= MAPS_DIFFER * pairs * labels[0].size or photographed <= PHOTOS_DIFFER * pixels
    if alike or painted >= DEAD * photographed:
        return None
    return (f'G is dead: where label maps differ, its pictures differ by {painted / photographed:.1%} of what photos '
            'do. Check with python -m dataset.check that maps and photos match, then restart (--restart) with a lower '
            '--lr or another --seed')


def loss_scale_has_collapsed(loss_scales):
    """A line if float16's loss scale of G or D is below LOWEST_SCALE; loss_scales: dicts with 'scale', G's and D's."""
    low = [f'{network} {state["scale"]:g}'
           for network, state in zip('GD', loss_scales) if state['scale'] < LOWEST_SCALE]
    if not low:
        return None
    return (f'the loss scale of float16 has collapsed ({", ".join(low)}): steps overflow and are skipped. Continue '
            'with --amp bfloat16, --amp none or a lower --lr')
