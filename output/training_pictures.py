"""Pictures drawn while training, in output/pics:
of the batch in hand, and of the same validation maps after every epoch.
"""
import functools
import os

import numpy as np

from dataset import classes
from dataset.labelled_images import ValidationImages
from dataset.loader import stacked
from output import pictures
from runtime.errors import InputError

COUNT = 4  # samples in a picture


class TrainingPictures:
    """Draws with `train_step`; say(line) hears why there are no validation pictures, where the set has no such part.

    What is drawn is shown to `trouble` (of the training batches only if there is nothing else) and to the dashboard.
    """

    def __init__(self, opt, train_step, say, trouble, dashboard):
        self.opt, self.train_step, self.say, self.trouble, self.dashboard = opt, train_step, say, trouble, dashboard
        self.colours = classes.colours(classes.of_set(opt), opt.label_nc)
        try:
            data = ValidationImages(opt)
            count = min(COUNT, len(data))   # from all over the set: of a film's frames, neighbours are alike
            self.validation = stacked(data, [index * len(data) // count for index in range(count)])
        except InputError as error:
            say(f'no validation pictures while training: {error}')
            self.validation = None

    def of_batch(self, epoch, batch):
        """batch: dict of arrays 'label', 'instance' (perhaps) and 'image'."""
        batch = {name: batch[name][:COUNT] for name in ('label', 'instance', 'image') if name in batch}
        self._save(batch, f'{epoch}_{self.train_step.steps}.jpg', 'training', judged=self.validation is None)

    def of_validation(self, epoch):
        if self.validation is not None:
            self._save(self.validation, f'val_{epoch:04d}.jpg', 'validation', judged=True)

    def _save(self, batch, name, kind, judged):
        steps, label, photo = self.train_step.steps, batch['label'], batch['image']
        fake = np.asarray(self.train_step.generate(label, batch.get('instance'), photo))
        if judged:
            self.trouble.in_pictures(steps, label, fake, photo)
        pixels = pictures.rows(label, fake, photo, self.colours)
        self.dashboard.picture(steps, kind, pixels)
        path = os.path.join(self.opt.output, 'pics', name)
        ours = functools.partial(pictures.is_training_picture, size=self.opt.picture_size)
        if os.path.lexists(path) and not ours(path):
            self.say(f'{path}: training has not drawn it: left as it is, and the picture of step {steps} is not kept')
        else:
            pictures.save(pixels, path, ours=ours)
