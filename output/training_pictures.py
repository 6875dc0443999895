"""Pictures drawn while training, in output/pics: of the batch in hand, and of the same validation maps after every epoch."""
import os

from dataset.labelled_images import ValidationImages
from dataset.loader import stacked
from model.errors import InputError
from output import pictures

COUNT = 4  # samples in a picture


class TrainingPictures:
    """Draws with `train_step`; say(line) hears why there are no validation pictures, where the set has no such part."""

    def __init__(self, opt, train_step, say):
        self.opt, self.train_step = opt, train_step
        try:
            data = ValidationImages(opt)
            self.validation = stacked(data, range(min(COUNT, len(data))))
        except InputError as error:
            say(f'no validation pictures while training: {error}')
            self.validation = None

    def of_batch(self, epoch, batch):
        """batch: dict of arrays 'label', 'instance' (perhaps) and 'image'."""
        batch = {name: batch[name][:COUNT] for name in ('label', 'instance', 'image') if name in batch}
        self._save(batch, f'{epoch}_{self.train_step.steps}.jpg')

    def of_validation(self, epoch):
        if self.validation is not None:
            self._save(self.validation, f'val_{epoch:04d}.jpg')

    def _save(self, batch, name):
        fake = self.train_step.generate(batch['label'], batch.get('instance'), batch['image'])
        pictures.save(pictures.rows(batch['label'], fake, batch['image'], self.opt), os.path.join(self.opt.output, 'pics', name))
