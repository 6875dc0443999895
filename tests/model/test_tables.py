"""The paper's tables as commands (model/tables.py): presets, numbers of parameters, and short runs of every row."""
import numpy as np
import pytest

from model import help
from model.generator import build_generator
from model.init import OPT
from model.presets import NAMED, PRESETS
from model.tables import DATASETS, OURS, ROWS
from runtime.errors import OptionError
from tests.exporting import exported
from tests.forked import REPOSITORY
from tests.output.test_resume import assert_same_run

OWN = [row for row in ROWS if row.settings]     # each preset once
USUAL = 'table3_compact_pix2pixhdpp', 'table4_random_input'
WIDTHS = 2, 4, 6


def preset_of(row, dataset):
    if row.preset == OURS:
        return row.preset.replace('DATASET', dataset)
    return row.preset if dataset == 'coco_stuff' else f'{row.preset}_{dataset}'


def test_every_offered_row_is_a_preset_on_each_of_its_sets():
    offered = [row for row in ROWS if row.preset]
    assert [row.name for row in ROWS if not row.preset] == \
        ['pix2pixHD++ w/ SPADE', 'pix2pixHD++ w/ Concat', 'pix2pixHD++ w/ SPADE']
    names = {preset_of(row, dataset) for row in offered for dataset in row.published}
    assert names | set(NAMED) == set(PRESETS)
    for row in OWN:
        for dataset in row.published:
            opt, paper = OPT.preset(preset_of(row, dataset)), OPT.preset(f'{dataset}_paper')
            opt.check_generator()
            assert opt.latent_size and opt.dataroot == paper.dataroot and not opt.use_vae
            assert {name: getattr(opt, name) for name in row.settings} == row.settings
            rest = {name for name in opt.differences(paper) if name not in row.settings}
            assert rest <= {'norm_G'}, rest     # whose default depends on netG


def parameters(name):
    """Of the generator of a preset: a quadratic polynomial in ngf, which three narrow networks determine."""
    opt = OPT.preset(name)
    counts = [sum(int(np.prod(value.shape)) for value in build_generator(OPT.preset(name, ngf=width)).parameters())
              for width in WIDTHS]
    return np.polyval(np.polyfit(WIDTHS, counts, 2), opt.ngf)


@pytest.mark.parametrize('row', [row for row in ROWS if row.preset and row.parameters], ids=lambda row: row.name)
def test_as_many_parameters_as_in_print(row):
    """With ADE20K's 151 channels, to 1 %."""
    assert parameters(preset_of(row, 'ade20k')) == pytest.approx(row.parameters * 1e6, rel=0.01)


def test_the_counting_is_right():
    whole = build_generator(OPT.preset('table3_compact_pix2pixhdpp', ngf=8))
    found = sum(int(np.prod(value.shape)) for value in whole.parameters())
    narrow = [sum(int(np.prod(value.shape)) for value in build_generator(
        OPT.preset('table3_compact_pix2pixhdpp', ngf=width)).parameters()) for width in WIDTHS]
    assert np.polyval(np.polyfit(WIDTHS, narrow, 2), 8) == pytest.approx(found, rel=1e-9)


def test_printed(capsys):
    page = (REPOSITORY / 'docs' / 'scores.md').read_text()
    assert help.tables() in page, 'docs/scores.md: put in what python -m model.help --tables prints'
    assert len(help.tables().splitlines()) == len(ROWS) + 2
    for row in ROWS:
        assert set(row.published) <= set(DATASETS) and (row.preset or not row.settings)


def test_unknown_names():
    with pytest.raises(OptionError, match='coco_stuff_paper.*model.help --tables'):
        OPT.preset('table3_decoder_concatenated')


@pytest.mark.parametrize('row', [
    pytest.param(row, marks=() if row.preset in USUAL else pytest.mark.thorough) for row in OWN],
    ids=lambda row: row.preset)
def test_every_row_trains_resumes_paints_and_exports(scripts, tmp_path, row):
    """Two steps and two more at 64x64, in one run and in two: the same to the bit. Narrow, without VGG19's loss."""
    settings = dict(preset=row.preset, no_vgg_loss='true', crop_size=64, load_size=72, ngf=4, ndf=4, batchSize=1,
                    max_dataset_size=2)
    scripts.trained(tmp_path / 'whole', niter=2, **settings)
    scripts.trained(tmp_path / 'resumed', niter=1, **settings)
    assert 'resumed from' in scripts.trained(tmp_path / 'resumed', niter=2, **settings)
    assert_same_run(tmp_path / 'whole', tmp_path / 'resumed')
    log = np.load(tmp_path / 'whole' / 'log' / 'log.npy')
    assert len(log) == 4 and log[:, 1].any() != ('no_ganFeat_loss' in row.settings)
    run = tmp_path / 'whole' / 'output'
    process = scripts.run('val.py', '--lastoutput', run, '--results', tmp_path / 'val')
    assert process.returncode == 0 and '2 pictures' in process.stdout, process.stdout + process.stderr
    pytest.importorskip('onnx')
    assert 'same pictures' in exported('onnx', run, '--float')[0]
