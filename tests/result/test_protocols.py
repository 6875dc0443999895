"""Which data set's network scores: the one that the user names or dataset.prepare has recorded,
never one of as many classes.
"""
import json

import pytest

from dataset.prepare.record import RECORD
from model.init import OPT
from model.presets import PRESETS
from result.own.scoring_network import scores
from result.protocols import DATASETS, OWN, PREPARED, dataset_of
from runtime.errors import InputError
from tests.runner import message, says

pytestmark = pytest.mark.without_paddle


def prepared(folder, made_by):
    folder.mkdir()
    (folder / RECORD).write_text(json.dumps({'made by': made_by, 'link': False}) +
                                 '\n{"split": "train", "stem": "a"}\n')
    return folder


@pytest.mark.parametrize('label_nc', [35, 150, 182])
@pytest.mark.parametrize('made_by', [None, 'dataset.prepare folder'])
def test_the_wrong_scoring_network_by_the_number_of_classes(tmp_path, label_nc, made_by):
    """A set of one's own with as many classes as a published one: one clear line, and a way out for who knows better.
    """
    folder = prepared(tmp_path / 'mine', made_by) if made_by else tmp_path
    with pytest.raises(InputError) as caught:
        dataset_of(OPT(label_nc=label_nc, dataroot=folder))
    said = str(caught.value)
    assert says(said, folder, f'its {label_nc} classes do not identify it', '--dataset') and '\n' not in said
    assert ('a set of your own' in said) == bool(made_by)
    named = {dataset.label_nc: name for name, dataset in DATASETS.items()}[label_nc]
    assert dataset_of(OPT(label_nc=label_nc, dataroot=folder, dataset=named)) == named


def test_a_network_is_trained_where_photos_are(tmp_path):
    """A shipped model has label maps alone: a command that trains on them could not work."""
    aerial = OPT.load('pretrained/aerial/opt.json')
    for opt in (aerial, OPT(**{**aerial.as_dict(), 'dataset': OWN})):
        said = message(scores, opt) if opt.dataset else message(dataset_of, opt)
        assert says(said, '--scoring', '--dataroot', 'pretrained/aerial has no train_img') and \
            '--dataroot pretrained/aerial' not in said
    (tmp_path / 'a set/train_img').mkdir(parents=True)
    opt = OPT(label_nc=9, dataroot=tmp_path / 'a set')
    trains = f"python -m result.train_segmenter --dataroot '{tmp_path}/a set'"
    assert says(message(dataset_of, opt), f'{trains} --size 256x256, or name the folder of one with --scoring')
    assert says(message(scores, OPT(**{**opt.as_dict(), 'dataset': OWN})), f'{trains}, or name')


@pytest.mark.parametrize('made_by', PREPARED)
def test_the_record_of_preparation_identifies_a_set_anywhere(tmp_path, made_by):
    expected = PREPARED[made_by]
    folder = prepared(tmp_path / 'set', made_by)
    assert dataset_of(OPT(label_nc=DATASETS[expected].label_nc, dataroot=folder)) == expected
    with pytest.raises(InputError, match=f'dataset {expected} has .* found 9 here'):
        dataset_of(OPT(label_nc=9, dataroot=folder))


@pytest.mark.parametrize('preset', [name for name in PRESETS if name.endswith('_paper')])
def test_the_folder_of_a_preset_identifies_a_set(preset):
    """The outdoor scenes have ADE20K's ids, as where dataset.prepare has recorded them."""
    assert dataset_of(OPT.preset(preset)) == preset.removesuffix('_paper').removesuffix('_outdoor')


def test_a_damaged_record_is_ignored(tmp_path):
    for content in (b'', b'[]\n', b'\xff\xfe', b'{'):
        (tmp_path / RECORD).write_bytes(content)
        with pytest.raises(InputError, match='unknown origin'):
            dataset_of(OPT(dataroot=tmp_path))


def test_an_unknown_data_set():
    with pytest.raises(InputError, match="option dataset: found 'coco', allowed: coco_stuff, ade20k, cityscapes"):
        dataset_of(OPT(dataset='coco'))
