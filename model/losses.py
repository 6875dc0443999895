"""The four losses (paper, appendix A; official models/networks/loss.py).
Each returns a scalar, before its weight lambda.
"""
import paddle
import paddle.nn.functional as F

PERCEPTUAL_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)  # relu1_1 .. relu5_1


def gan_loss(predictions, real, mode, for_discriminator=True):
    """GAN loss, averaged over scales; `predictions` has one map (N, 1, h, w) per scale.

    real: the target, true for real. mode: hinge, ls (least squares), original (cross-entropy), w (Wasserstein).
    """
    return sum(_gan_loss(prediction, real, mode, for_discriminator) for prediction in predictions) / len(predictions)


def _gan_loss(prediction, real, mode, for_discriminator):
    if mode == 'hinge' and for_discriminator:
        return F.relu(1 - prediction if real else 1 + prediction).mean()
    if mode in ('hinge', 'w'):
        return -prediction.mean() if real else prediction.mean()
    if mode == 'ls':
        return ((prediction - float(real)) ** 2).mean()
    target = paddle.full_like(prediction, float(real))
    return F.binary_cross_entropy_with_logits(prediction, target)


def feature_matching(fake, real, l1=F.l1_loss):
    """L1 between D's feature maps (lists per scale, the predictions left out): summed over layers, mean over scales."""
    return sum(l1(fake_map, real_map.detach()) for fake_scale, real_scale in zip(fake, real)
               for fake_map, real_map in zip(fake_scale[:-1], real_scale[:-1])) / len(fake)


def perceptual(fake, real, weights=PERCEPTUAL_WEIGHTS, l1=F.l1_loss):
    """Weighted L1 between VGG19's five feature maps of the generated picture and of the photo."""
    return sum(weight * l1(fake_map, real_map.detach()) for weight, fake_map, real_map in zip(weights, fake, real))


def kl_divergence(mu, logvar):
    """KL(N(mu, exp(logvar)) || N(0, 1)), summed over the style vector and over the batch, as official."""
    return -0.5 * (1 + logvar - mu ** 2 - logvar.exp()).sum()
