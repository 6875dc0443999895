"""A training step: which gradients flow where, at which rates, and what drawing leaves as it was."""
import numpy as np
import paddle
import pytest

from model.discriminator import MultiscaleDiscriminator, halves
from model.semantics import SemanticMap
from model.train_step import TrainStep
from model.vae_encoder import VAEEncoder
from tests.model.test_networks import STATE, arrays, batch, equal, tiny, weights


@pytest.mark.parametrize('use_vae', [False, True])
def test_each_update_leaves_the_other_network_alone(use_vae):
    opt = tiny(use_vae=use_vae)
    train_step = TrainStep(opt)
    label, instance, image = batch(opt)
    semantics, image = SemanticMap(label, instance, opt), paddle.to_tensor(image)
    noise = paddle.ones([2, 8]) if use_vae else None
    painters = [network for network in (train_step.generator, train_step.encoder) if network is not None]
    discriminator = train_step.discriminator

    before = weights(discriminator)
    train_step._update_g([(semantics, image)], [noise])
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    assert equal(weights(discriminator), before)
    gradients = [parameter.grad for network in painters for parameter in network.parameters()]
    assert sum(gradient is not None and gradient.numpy().any() for gradient in gradients) > 0.5 * len(gradients)

    def painters_grads():
        return [None if parameter.grad is None else parameter.grad.numpy().copy()
                for network in painters for parameter in network.parameters()]
    before = [weights(network) for network in painters], painters_grads()
    train_step._update_d([(semantics, image)], [noise])
    assert all(equal(weights(network), old) for network, old in zip(painters, before[0]))
    assert all(new is old is None or np.array_equal(new, old) for new, old in zip(painters_grads(), before[1]))
    assert all(parameter.grad is not None
               for name, parameter in discriminator.named_parameters() if not name.endswith(STATE))


def test_the_discriminator_is_updated_on_a_fake_of_the_updated_generator():
    """d_loss_f is that of the new G, in a forward pass of training."""
    opt = tiny(norm_G='spadeinstance3x3', norm_D='instance', lr=0.01)     # no state that a forward pass would change
    train_step, before = TrainStep(opt), MultiscaleDiscriminator(opt)
    before.set_state_dict(train_step.discriminator.state_dict())
    label, instance, image = batch(opt)
    losses = train_step.step(label, instance, image)
    semantics = SemanticMap(label, instance, opt)
    fake, real = halves(before(semantics, paddle.concat([train_step.generator(semantics), paddle.to_tensor(image)])))
    expected = np.mean([np.maximum(0, 1 + scale[-1].numpy()).mean() for scale in fake])
    assert losses['d_loss_f'] == pytest.approx(float(expected), rel=1e-5)


def test_d_steps_per_g():
    opt = tiny(D_steps_per_G=3)
    train_step = TrainStep(opt)
    logs, states = [], [weights(train_step.generator)]
    for step in range(4):
        logs.append(train_step.step(*batch(opt, step)))
        states.append(weights(train_step.generator))
    assert [equal(one, other) for one, other in zip(states, states[1:])] == [False, True, True, False]
    assert logs[0]['g_loss_feat'] == logs[1]['g_loss_feat'] == logs[2]['g_loss_feat'] != logs[3]['g_loss_feat']
    assert len({log['d_loss'] for log in logs}) == 4


@pytest.mark.parametrize('no_TTUR, rates', [(False, (0.0001, 0.0004)), (True, (0.0002, 0.0002))])
def test_learning_rates_of_both(no_TTUR, rates):
    train_step = TrainStep(tiny(no_TTUR=no_TTUR, niter=1, niter_decay=2))
    for epoch, factor in ((1, 1), (2, 1), (3, 0.5)):
        train_step.set_epoch(epoch)
        found = train_step.optimizer_g.get_lr(), train_step.optimizer_d.get_lr()
        assert found == pytest.approx(tuple(rate * factor for rate in rates))


@pytest.mark.parametrize('use_vae', [False, True])
def test_generate_leaves_everything_as_it_was(use_vae):
    opt = tiny(use_vae=use_vae)
    train_step = TrainStep(opt)
    label, instance, image = batch(opt)
    train_step.step(label, instance, image)
    networks = [train_step.generator, train_step.discriminator] + [train_step.encoder] * use_vae
    train_step.generator.up_1.eval()        # a mixture of modes comes back too
    layers = [layer for network in networks for layer in network.sublayers(include_self=True)]
    modes, state = [layer.training for layer in layers], arrays(*networks)
    fake = train_step.generate(label, instance, image)
    assert fake.stop_gradient and np.array_equal(fake.numpy(), train_step.generate(label, instance, image).numpy())
    assert [layer.training for layer in layers] == modes and len(set(modes)) == 2
    assert all(equal(one, other) for one, other in zip(arrays(*networks), state))
    with pytest.raises(ValueError):
        train_step.generate(label + 50, instance)
    assert [layer.training for layer in layers] == modes


def test_which_style_has_precedence():
    """z, else the photo's mu, else a draw of the seed."""
    opt = tiny(use_vae=True)
    train_step = TrainStep(opt)
    state = train_step.generator.state_dict()
    state['fc.weight'].set_value(state['fc.weight'] * 100)      # so that the style shows
    label, instance, image = batch(opt)
    z = np.random.default_rng(7).standard_normal((2, 8)).astype(np.float32)

    def same(one, other):
        return np.array_equal(train_step.generate(label, instance, **one),
                              train_step.generate(label, instance, **other))
    train_step.encoder.eval()
    mu = train_step.encoder(paddle.to_tensor(image))[0]
    train_step.encoder.train()
    assert same(dict(z=z, image=image), dict(z=z)) and same(dict(image=image), dict(z=mu.numpy())) and same({}, {})
    assert not same(dict(z=z), dict(image=image)) and not same(dict(z=z), {}) and \
        not same(dict(z=z), dict(z=z[::-1].copy()))


def test_the_encoder_sees_any_size():
    for size in (32, 64):
        opt = tiny(use_vae=True, crop_size=size)
        mu, logvar = VAEEncoder(opt)(paddle.to_tensor(batch(opt)[2]))
        assert mu.shape == logvar.shape == [2, 8]


def test_wrong_images_are_named():
    opt = tiny()
    label, instance, image = batch(opt)
    with pytest.raises(ValueError, match=r'image: found shape \(2, 3, 16, 32\), expected \(2, 3, 32, 32\)'):
        TrainStep(opt).step(label, instance, image[:, :, :16])
