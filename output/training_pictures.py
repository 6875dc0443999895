"""Pictures in output/pics while training: the current batch, and after every epoch the same validation maps."""
import functools
import os

import numpy as np

from dataset import classes
from dataset.labelled_images import ValidationImages
from dataset.loader import stacked
from model.init import OPT
from output import pictures
from runtime.errors import InputError

COUNT = 4  # samples in a picture


class TrainingPictures:
    """Generates with `train_step`. Passes all pictures to `dashboard`, and those of the validation set, or without
    one of the batch, to `trouble`. say(line) prints.
    """

    def __init__(self, opt, train_step, say, trouble, dashboard):
        self.opt, self.train_step, self.say, self.trouble, self.dashboard = opt, train_step, say, trouble, dashboard
        self.colours = classes.colours(classes.of_set(opt), opt.label_nc)
        self.validation = None
        try:
            data = ValidationImages(OPT(**{**opt.as_dict(), 'size': ''}))     # as small as those of training
            # spread over the whole set: neighbours, such as frames of a film, look alike
            count = min(COUNT, len(data))
            self.validation = stacked(data, [index * len(data) // count for index in range(count)])
        except InputError as error:
            say(f'no validation pictures while training: {error}')

    def of_batch(self, epoch, batch):
        """batch: dict of arrays 'label', 'image' and perhaps 'instance'."""
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
            self.say(f'{path}: not written by training, so not replaced; the picture of step {steps} is not saved')
        else:
            pictures.save(pixels, path, ours=ours)
