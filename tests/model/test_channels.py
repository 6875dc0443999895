"""Pictures of other than three channels: a step, val.py and predict.py work with them;
photos, which are RGB, are refused.
"""
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.init import OPT
from model.train_step import TrainStep
from output.checkpoint import Checkpoint
from tests.golden.fixture import inputs
from tests.runner import says


@pytest.fixture(scope='module')
def models(scripts, tmp_path_factory):
    """dict: number of channels -> folder of a model that has trained one step on pictures of so many."""
    found = {}
    for channels, use_vae in ((1, True), (2, False)):
        settings = {**scripts.TINY, 'use_vae': use_vae, 'output_nc': channels, 'dataroot': str(scripts.data)}
        opt = OPT(**settings)
        step = TrainStep(opt)
        label, instance, image = inputs(3, 2, 32, 32, opt.label_nc)
        before = step.generator.state_dict()['conv_img.weight'].numpy().copy()
        losses = step.step(label, instance, image[:, :channels])
        assert all(np.isfinite(value) for value in losses.values())
        assert not np.array_equal(step.generator.state_dict()['conv_img.weight'].numpy(), before)
        found[channels] = tmp_path_factory.mktemp(f'channels{channels}')
        Checkpoint(str(found[channels])).save(step, opt, {'epoch': 1})
    return found


def label_and_instance(scripts):
    return '--label', scripts.data / 'val_label/001.png', '--instance', scripts.data / 'val_inst/001.png'


def test_one_channel_is_painted_grey(scripts, models, tmp_path):
    process = scripts.run('val.py', '--lastoutput', models[1], '--results', tmp_path, '--style', 'random', '--png')
    assert process.returncode == 0, process.stderr
    painted = np.array(Image.open(tmp_path / 'pics/001.png'))
    assert painted.shape == (32, 32, 3) and (painted == painted[..., :1]).all()
    assert len(list(Path(tmp_path, 'pics').glob('*.[jp][pn]g'))) == 2 * scripts.VALIDATION
    process = scripts.run('predict.py', '--lastoutput', models[1], *label_and_instance(scripts), '--out',
                          tmp_path / 'one.png')
    assert process.returncode == 0, process.stderr
    painted = np.array(Image.open(tmp_path / 'one.png'))
    assert painted.shape == (32, 32, 3) and (painted == painted[..., :1]).all()


def test_photos_are_refused(scripts, models, tmp_path):
    assert says(scripts.refusal('val.py', '--lastoutput', models[1], '--results', tmp_path), 'output_nc 1', 'RGB',
                '--style random')
    photo = '--style_photo', scripts.data / 'val_img/001.png'
    assert says(scripts.refusal('predict.py', '--lastoutput', models[1], *label_and_instance(scripts), *photo, '--out',
                                tmp_path / 'one.png'), 'output_nc 1', 'RGB', 'give no photos')
    assert says(scripts.refusal('predict.py', '--lastoutput', models[1], *label_and_instance(scripts), '--between',
                                photo[1],
                                photo[1], '--out', tmp_path / 'one.png'), 'output_nc 1', 'RGB', 'give no photos')
    train = scripts.training(tmp_path, output_nc=1)
    assert says(scripts.refusal(*train), 'output_nc 1: photos are read as RGB: set --output_nc 3')
    assert not any(tmp_path.iterdir())


def test_two_channels_are_refused(scripts, models, tmp_path):
    assert says(scripts.refusal('val.py', '--lastoutput', models[2], '--results', tmp_path),
                'output_nc 2: a picture file has')
    assert says(scripts.refusal('predict.py', '--lastoutput', models[2], *label_and_instance(scripts), '--out',
                                tmp_path / 'a.png'),
                'output_nc 2: a picture file has')
    assert not any(tmp_path.iterdir())
