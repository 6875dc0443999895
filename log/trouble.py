"""What goes wrong in a training, said once in a line with what to try, where it is else found after days.

Each function judges what a run has at hand, and changes nothing. The losses are read from the log and looked at in
fixed steps, so that a run which was stopped in between says what one that was not would have said.
"""
import itertools
import math

import numpy as np

EVERY = 100    # steps between two looks at losses and loss scales
# steps that D's loss must have stayed near 0: in the first ones of a run, or of a new D, it may well fall so low
WINDOW = 500
BEGUN = 500    # updates of G before pictures are judged: a new generator paints grey, whatever the map
STALE = 0.05   # and the part of what an average of its weights (ema_decay) then was that may be left in it

# d_loss of a D that cannot tell fakes from photos: hinge 1 + 1, cross-entropy 2 ln 2, least squares (1/2)^2 + (1/2)^2.
# One that tells all of them apart has 0. Wasserstein's loss has no such floor: it falls below any bound in a good run
# too, so that nothing can be read from it.
BALANCED = {'hinge': 2.0, 'original': 2 * math.log(2), 'ls': 0.5}
WON = 0.05     # of it

# Where two label maps differ, how much two pictures do, as a part of how much the photos do. Of a generator that lives
# it is 0.46 after the first 20 steps of the demo and 0.7 or more from its first epoch on, and 0.86 to 1.5 on CamVid
# after 460 steps; of one that paints grey, 0.01.
DEAD = 0.1
# in part of the pixels (CamVid: 0.04 to 0.18), and there in [-1, 1]; else all is alike
MAPS_DIFFER, PHOTOS_DIFFER = 0.05, 0.1

# Mixed precision is published with scales of 8 to 32768 (Micikevicius et al., ICLR 2018, section 3.2). Paddle begins
# with 65536, halves it in each step that overflows, which is then left out, and doubles it after 2000 good ones.
LOWEST_SCALE = 8


class Trouble:
    """say(line) hears of each trouble once a run. said: names of those it has heard of, a list that is added to."""

    def __init__(self, opt, said, say):
        self.opt, self.said, self.say = opt, said, say

    def after_step(self, losses, loss_scales=()):
        """losses: dict of arrays by the names of LOG_COLUMNS, the last 2 WINDOW steps or what there is,
        the newest last.
        """
        self._once('discriminator', discriminator_has_won, losses['d_loss'], losses['g_loss_feat'], self.opt.gan_mode)
        self._once('loss scale', loss_scale_has_collapsed, loss_scales)

    def in_pictures(self, steps, labels, fakes, photos):
        """What the generator, or its average, has painted after so many steps; arguments as for `generator_is_dead`."""
        beyond = steps // self.opt.D_steps_per_G - BEGUN
        if beyond >= 0 and self.opt.ema_decay ** (beyond + 1) <= STALE:
            self._once('generator', generator_is_dead, labels, fakes, photos)

    def _once(self, name, judge, *arguments):
        line = None if name in self.said else judge(*arguments)
        if line:
            self.said.append(name)
            self.say(line)


def discriminator_has_won(d_loss, feature_matching, gan_mode):
    """A line if d_loss was near 0 for WINDOW steps in which feature matching did not fall against the WINDOW steps
    before.

    Arrays of 2 WINDOW steps, the newest last. Without feature matching, a row of zeros, d_loss alone decides.
    """
    if gan_mode not in BALANCED or len(d_loss) < 2 * WINDOW:
        return None
    level = d_loss[-WINDOW:].mean()
    before, now = feature_matching[-2 * WINDOW:-WINDOW].mean(), feature_matching[-WINDOW:].mean()
    if level >= WON * BALANCED[gan_mode] or (now <= before and now > 0):
        return None
    rises = f', and feature matching rises ({before:.3g}, then {now:.3g})' if now else ''
    return (f'D has won: d_loss was {level:.2g} over the last {WINDOW} steps, where {BALANCED[gan_mode]:.3g} is '
            f'balanced{rises}: G learns little more. Try --no_TTUR true (D then learns no faster than G) or a lower '
            '--lr, with which the same command goes on, or begin anew with a larger batch (--batchSize, --accumulate), '
            'a smaller --ndf, or more photos')


def generator_is_dead(labels, fakes, photos):
    """A line if pictures hardly change where label maps do: labels (N, H, W); fakes, photos (N, C, H, W) in [-1, 1].

    Maps or photos that are alike, or a single one, show nothing.
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
            'do. Try python -m dataset.check (do maps and photos belong together?), then begin anew with a lower --lr '
            'or another --seed (--restart)')


def loss_scale_has_collapsed(loss_scales):
    """A line if float16's loss scale, of G or D, has fallen below LOWEST_SCALE:
    dicts with 'scale', of G and of D, or none.
    """
    low = [f'{network} {state["scale"]:g}'
           for network, state in zip('GD', loss_scales) if state['scale'] < LOWEST_SCALE]
    if not low:
        return None
    return (f'the loss scale of float16 has collapsed ({", ".join(low)}): steps overflow and are left out. Try --amp '
            'bfloat16, or --amp none, or a lower --lr; the same command goes on with it')
