"""One training step, like the official trainer's: a G update, then a D update on a fake of the updated G.

Official trainers/pix2pix_trainer.py and models/pix2pix_model.py; paper, appendix A.
"""
import math

import numpy as np
import paddle
import paddle.nn.functional as F

from model import precision
from model.adam import Adam
from model.averaged import AveragedGenerator
from model.discriminator import MultiscaleDiscriminator, halves
from model.fast import in_use, operators, return_free_memory
from model.generator import build_generator
from model.gradients import Exchange
from model.losses import PERCEPTUAL_WEIGHTS, feature_matching, gan_loss, kl_divergence, perceptual
from model.painter import Painter, eval_mode
from model.semantics import SemanticMap
from model.styles import normal_draws
from model.vae_encoder import VAEEncoder, reparameterize
from runtime import device, distributed
from runtime.errors import InputError
from vgg.vgg19 import VGG19Features

LOG_COLUMNS = ('g_loss_gan', 'g_loss_feat', 'g_loss_vgg', 'g_loss_vae', 'd_loss', 'd_loss_f', 'd_loss_r')
SCALING = 'scale', 'incr_count', 'decr_count'  # of paddle.amp.GradScaler's state
G_COLUMNS, D_COLUMNS = LOG_COLUMNS[:4], LOG_COLUMNS[4:]


class TrainStep:
    """The networks, their losses and their optimizers. The initial weights follow from opt.seed."""

    def __init__(self, opt):
        precision.check(opt)
        device.choose_algorithms(opt)
        paddle.seed(opt.seed)
        self.opt = opt
        self.vgg = None if opt.no_vgg_loss else VGG19Features(opt.vggwpath, opt)
        self.generator = build_generator(opt)
        self.discriminator = MultiscaleDiscriminator(opt)
        self.encoder = VAEEncoder(opt) if opt.use_vae else None
        # last: it draws random numbers
        self.average = AveragedGenerator(opt, self.generator) if opt.ema_decay else None
        self.averaged = self.average and self.average.network
        self.painter = Painter(opt, self.averaged or self.generator, self.encoder, 'averaged' if self.average
                               else 'last')
        self.parameters_g = self.generator.parameters() + (self.encoder.parameters() if opt.use_vae else [])
        self.parameters_d = self.discriminator.parameters()
        self.optimizer_g, self.optimizer_d = Adam(opt, self.parameters_g), Adam(opt, self.parameters_d)
        # In the order in which a forward reads them: the style first, D's scales side by side.
        self.exchange_g = Exchange((self.encoder.parameters() if opt.use_vae else []) + self.generator.parameters())
        self.exchange_d = Exchange([parameter
                                    for layer in zip(*(scale.parameters() for scale in self.discriminator.children()))
                                    for parameter in layer])
        self.scaler_g, self.scaler_d = (paddle.amp.GradScaler(enable=opt.amp == 'float16') for _ in range(2))
        self.compact = in_use(opt)
        self.l1 = operators.L1.apply if self.compact else F.l1_loss
        self.steps = 0                              # done so far
        self.g_losses = dict.fromkeys(G_COLUMNS, 0.0)  # of the last G update
        self.stopped = False                        # whether a rank was asked to stop in the last step
        self.set_epoch(1)

    def set_epoch(self, epoch):
        """Set the learning rates of `epoch`, counted from 1."""
        lr = learning_rate(self.opt, epoch)
        self.optimizer_g.set_lr(lr if self.opt.no_TTUR else lr / 2)
        self.optimizer_d.set_lr(lr if self.opt.no_TTUR else lr * 2)

    @property
    def loss_scales(self):
        """With amp float16, the state of G's and of D's loss scaling for a checkpoint: dicts of floats; else []."""
        states = [scaler.state_dict() for scaler in (self.scaler_g, self.scaler_d)]
        return [{name: float(np.ravel(state[name])[0]) for name in SCALING} for state in states if state]

    @loss_scales.setter
    def loss_scales(self, found):
        for scaler, state in zip((self.scaler_g, self.scaler_d), found):
            if scaler.is_enable():
                counters = {name: int(state[name]) for name in SCALING[1:]}
                scaler.load_state_dict({**scaler.state_dict(), **counters,
                                        'scale': np.array([state['scale']], np.float32)})

    def step(self, label, instance, image, noise=None):
        """One D update, and before it a G update in every D_steps_per_G-th step -> dict keyed by LOG_COLUMNS, floats.

        label, instance: as for SemanticMap, or a SemanticMap and None; image (N, output_nc, H, W) in [-1, 1]; noise:
        the normal draws (N, *opt.z_shape()) of the G and of the D update, by default functions of (opt.seed, step) and
        of the rank. Afterwards `.grad` of G and E is from the G update, that of D from the D update. With several
        ranks, each with its own batch, gradients and losses are means over the ranks. InputError if a loss is not
        finite.
        """
        return self.update([(label, instance, image)], None if noise is None else [noise])

    def update(self, micro_batches, noise=None, stop=lambda: False):
        """`step` over a large batch in little memory; micro_batches: a list of (label, instance, image).

        Gradients and losses are means over the micro-batches. Unlike in one large batch, batch norm and the KL
        divergence see one micro-batch at a time, and spectral norms advance once for each. stop() is called after the
        step; `stopped`: whether it was true on any rank.
        """
        micro_batches = [self._micro_batch(*micro_batch) for micro_batch in micro_batches]
        noises = [[self._noise(noise, update, number, micro_batches) for number in range(len(micro_batches))]
                  for update in range(2)]
        distributed.barrier()
        losses = self._update_g(micro_batches, noises[0]) if self.steps % self.opt.D_steps_per_G == 0 else {}
        losses.update(self._update_d(micro_batches, noises[1]))
        if self.average and self.steps % self.opt.D_steps_per_G == 0:
            self.average.update()
        losses = self._as_floats(losses, stop)
        self.g_losses.update((name, losses[name]) for name in G_COLUMNS if name in losses)
        self.steps += 1
        return {**self.g_losses, **{name: losses[name] for name in D_COLUMNS}}

    def generate(self, label, instance, image=None, z=None):
        """Pictures (N, output_nc, H, W) in [-1, 1], from the averaged weights if they exist; eval mode, no gradient.

        The style as in Painter.paint.
        """
        return self.painter.paint(self._semantics(label, instance, round_up=True), image, z)

    def _semantics(self, label, instance, round_up=False):
        return label if isinstance(label, SemanticMap) else SemanticMap(label, instance, self.opt, round_up)

    def _micro_batch(self, label, instance, image):
        """(SemanticMap, image tensor) that fit each other."""
        semantics, image = self._semantics(label, instance), paddle.to_tensor(image, dtype=paddle.get_default_dtype())
        if tuple(image.shape) != (len(semantics), self.opt.output_nc, *semantics.size):
            raise InputError(f'image: found shape {tuple(image.shape)}, expected '
                             f'{(len(semantics), self.opt.output_nc, *semantics.size)} to fit the label maps')
        return semantics, image

    def _update_g(self, micro_batches, noises):
        """Update G and E, without gradients of D's weights -> the weighted losses of G_COLUMNS, as tensors."""
        self.optimizer_g.clear_grad(set_to_zero=False)
        _require_gradients(self.discriminator, False)
        self.exchange_g.expect(len(micro_batches))
        losses = self._one_by_one(self._losses_g, micro_batches, noises, self.scaler_g)
        _require_gradients(self.discriminator, True)
        self._advance(self.optimizer_g, self.scaler_g, self.exchange_g)
        return losses

    def _update_d(self, micro_batches, noises):
        """Update D on the photos and on fakes without gradient -> the losses of D_COLUMNS, as tensors."""
        self.optimizer_d.clear_grad(set_to_zero=False)
        self.exchange_d.expect(len(micro_batches))
        losses = self._one_by_one(self._losses_d, micro_batches, noises, self.scaler_d)
        self._advance(self.optimizer_d, self.scaler_d, self.exchange_d)
        return {'d_loss': losses['d_loss_f'] + losses['d_loss_r'], **losses}

    def _losses_g(self, semantics, image, noise):
        opt = self.opt
        fake, divergence = self._fake(semantics, image, noise)
        fake_features, real_features = self._features_for_g(semantics, fake, image)
        losses = {'g_loss_gan': gan_loss(_predictions(fake_features), True, opt.gan_mode, for_discriminator=False)}
        if not opt.no_ganFeat_loss:
            losses['g_loss_feat'] = opt.lambda_feat * feature_matching(fake_features, real_features, self.l1)
        if self.vgg is not None:
            losses['g_loss_vgg'] = opt.lambda_vgg * self._perceptual(fake, image)
        if divergence is not None:
            losses['g_loss_vae'] = opt.lambda_kld * divergence
        return losses

    def _losses_d(self, semantics, image, noise):
        with paddle.no_grad():
            fake, _ = self._fake(semantics, image, noise)
        fake_features, real_features = self._features(semantics, fake, image)
        return {'d_loss_f': gan_loss(_predictions(fake_features), False, self.opt.gan_mode),
                'd_loss_r': gan_loss(_predictions(real_features), True, self.opt.gan_mode)}

    def _one_by_one(self, losses_of, micro_batches, noises, scaler):
        """Add the gradients of losses_of(micro-batch), means over the micro-batches -> the mean of each loss.

        Memory is that of one micro-batch: losses are detached from the graph with G's activations, and the D update
        recomputes the one-hot maps, except of a single micro-batch.
        """
        found = []
        for (semantics, image), noise in zip(micro_batches, noises):
            losses = losses_of(semantics, image, noise)
            if self.compact:
                return_free_memory()
            scaler.scale(sum(losses.values()) / len(micro_batches)).backward()
            found.append({name: loss.detach() for name, loss in losses.items()})
            if len(micro_batches) > 1:
                semantics.release()
        return _mean(found)

    def _advance(self, optimizer, scaler, exchange):
        """One update by the mean of all ranks' gradients."""
        exchange.finish()
        scaler.step(optimizer)
        scaler.update()

    def _fake(self, semantics, image, noise):
        """Generated pictures, and the KL divergence of the style (None without encoder)."""
        if self.compact:
            return_free_memory()
        with precision.mixed(self.opt):
            if self.encoder is None:
                return precision.restored(self.generator(semantics, noise)), None
            mu, logvar = map(precision.restored, self.encoder(image))
            fake = self.generator(semantics, reparameterize(mu, logvar, noise))
        return precision.restored(fake), kl_divergence(mu, logvar)

    def _features(self, semantics, fake, image):
        """D's features of the fake and of the photo, from one pass."""
        if self.compact:
            return_free_memory()
        with precision.mixed(self.opt):
            features = self.discriminator(semantics, paddle.concat([fake, image]))
        return halves([list(map(precision.restored, scale)) for scale in features])

    def _features_for_g(self, semantics, fake, image):
        """_features with a gradient for the fake alone; on the kernels in two passes, the photo's forward only.

        Two passes equal the joint one if D's norm is per image: spectral norms advance in the first pass only.
        """
        if not self.compact or self.opt.discriminator_norm.kind not in ('none', 'instance'):
            return self._features(semantics, fake, image)
        return_free_memory()
        with paddle.no_grad():
            real = self.discriminator(semantics, image)
        with eval_mode(self.discriminator):
            return self.discriminator(semantics, fake), real

    def _perceptual(self, fake, image):
        maps_of, weights = (self.vgg,
                            PERCEPTUAL_WEIGHTS) if self.opt.vgg_taps == 'paper' else (self.vgg.pooled, 5 * [1.0])
        with precision.mixed(self.opt):
            fake, real = ([precision.restored(x) for x in maps_of(picture)] for picture in (fake, image))
        return perceptual(fake, real, weights, self.l1)

    def _noise(self, noise, update, number, micro_batches):
        """Noise (N, *opt.z_shape()) of a micro-batch in update 0 (G) or 1 (D) of this step; None if G reads no z.

        A part of the draws for all ranks and micro-batches: a single process with all samples draws the same.
        """
        if not self.opt.reads_z:
            return None
        if noise is not None:
            return paddle.to_tensor(noise[number][update], dtype=paddle.get_default_dtype())
        count, ranks = len(micro_batches[number][0]), distributed.ranks()
        shape = self.opt.z_shape(micro_batches[number][0].size)
        draws = normal_draws((count * ranks * len(micro_batches), *shape), self.opt.seed, self.steps, update)
        return draws[(number * ranks + distributed.rank()) * count:][:count]

    def _as_floats(self, losses, stop):
        """Scalars as floats, means over the ranks, in a single read from the device, with the ranks' stop().

        InputError if a loss is not finite.
        """
        values = [loss.reshape([]) for loss in losses.values()]
        if distributed.ranks() > 1:     # signals arrive in different steps; all ranks stop after the same step
            values.append(paddle.full([], float(stop()), values[0].dtype))
        values = (distributed.all_reduce(paddle.stack(values)) / distributed.ranks()).tolist()
        self.stopped = values.pop() > 0 if distributed.ranks() > 1 else stop()
        for name, value in zip(losses, values):
            if not math.isfinite(value):
                raise InputError(f'{name} is {value} in step {self.steps + 1}: training has diverged and stops here; '
                                 'the last checkpoint stays. Continue with a lower --lr, or restart with --restart')
        return dict(zip(losses, values))


def _mean(losses):
    """Mean of each of a list of dicts of tensors."""
    return {name: sum(micro_batch[name] for micro_batch in losses) / len(losses) for name in losses[0]}


def _predictions(features):
    return [scale[-1] for scale in features]


def _require_gradients(network, wanted):
    """Set whether backward() computes gradients of the weights; the input gets gradients in any case."""
    for parameter in network.parameters():
        parameter.stop_gradient = not wanted


def learning_rate(opt, epoch):
    """opt.lr, linear to zero in the niter_decay epochs after niter, like the official update_learning_rate."""
    decayed = max(0, epoch - 1 - opt.niter)
    return opt.lr * (1 - decayed / opt.niter_decay) if decayed else opt.lr
