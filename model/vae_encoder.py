"""Style encoder (paper, appendix A; official models/networks/encoder.py): photo -> normal distribution of its style."""
import paddle
import paddle.nn.functional as F
from paddle import nn

from model.initialization import initialize
from model.normalization import activated, normalized_convolution

INPUT_SIZE = 256  # pixels; six halvings leave 4


class VAEEncoder(nn.Layer):
    """Six strided convolutions on a 256x256 photo, two linear layers.

    The official encoder drops a layer below crop_size 256 and then crashes; here the six layers always exist.
    """

    def __init__(self, opt):
        super().__init__()
        self.opt = opt
        channels = [opt.output_nc] + [factor * opt.ngf for factor in (1, 2, 4, 8, 8, 8)]
        for n in range(1, 7):
            self.add_sublayer(f'layer{n}',
                              normalized_convolution(channels[n - 1], channels[n], 3, 2, 1, opt.encoder_norm, opt))
        last = channels[-1] * (INPUT_SIZE // 2 ** 6) ** 2
        self.fc_mu = nn.Linear(last, opt.z_dim)
        self.fc_var = nn.Linear(last, opt.z_dim)
        initialize(self)

    def forward(self, image):
        """(N, output_nc, H, W) in [-1, 1], any size -> mu, logvar, each (N, z_dim)."""
        if tuple(image.shape[2:]) != (INPUT_SIZE, INPUT_SIZE):
            image = F.interpolate(image, size=[INPUT_SIZE, INPUT_SIZE], mode='bilinear', align_corners=False)
        x = image
        for n in range(1, 7):
            x = activated(getattr(self, f'layer{n}'), x, self.opt)
        x = x.flatten(1)
        return self.fc_mu(x), self.fc_var(x)


def reparameterize(mu, logvar, noise):
    """A sample z of N(mu, exp(logvar)); `noise` (N, z_dim) is standard normal."""
    return mu + noise * paddle.exp(logvar / 2)
