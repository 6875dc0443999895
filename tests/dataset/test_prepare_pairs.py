"""dataset.prepare folder: photos and maps paired as annotation tools lay them out and name them."""
import os
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset.prepare import pairs
from runtime.errors import InputError
from tests.archives import picture
from tests.runner import says

pytestmark = pytest.mark.without_paddle

OPTIONS = {'photo': '--images', 'label': '--labels', 'instance': '--instances'}
SMALL = picture(np.zeros((2, 2)), 'PNG')


def lay(root, *names):
    for name in names:
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as file:
            file.write(SMALL)


def paired(root, photos='', labels='', **more):
    folders = {'photo': os.path.join(root, photos), 'label': os.path.join(root, labels),
               **{part: os.path.join(root, folder) for part, folder in more.items()}}
    found, guessed = pairs.rows(folders, OPTIONS)
    return {row.stem: (row.photo and row.photo.name, row.label and row.label.name) for row in found}, guessed


# Folders as tools write them: (photos, maps, files, the pairs by their names in the set). All were sources of a report
# or stand in the tools' documentation.
LAYOUTS = {
    'Roboflow, one folder': ('', '',
                             ['a_jpg.rf.0a1.jpg', 'a_jpg.rf.0a1_mask.png', 'b_jpg.rf.1.jpg', 'b_jpg.rf.1_mask.png'],
                             {'a_jpg.rf.0a1': ('a_jpg.rf.0a1.jpg', 'a_jpg.rf.0a1_mask.png'),
                              'b_jpg.rf.1': ('b_jpg.rf.1.jpg', 'b_jpg.rf.1_mask.png')}),
    'a JPEG and its PNG': ('', '', ['x.jpg', 'x.png', 'y.JPG', 'y.png'],
                           {'x': ('x.jpg', 'x.png'), 'y': ('y.JPG', 'y.png')}),
    'CVAT, segmentation mask 1.1': ('JPEGImages', 'SegmentationClass', ['JPEGImages/a.jpg', 'SegmentationClass/a.png'],
                                    {'a': ('a.jpg', 'a.png')}),
    'CVAT, one root': ('', '', ['JPEGImages/a.jpg', 'SegmentationClass/a.png'],
                       {'a': ('JPEGImages/a.jpg', 'SegmentationClass/a.png')}),
    'CVAT, CamVid': ('', '', ['default/a.png', 'defaultannot/a.png'], {'a': ('default/a.png', 'defaultannot/a.png')}),
    'Supervisely': ('img', 'masks_machine',
                    ['img/a.jpg', 'img/b.jpeg', 'masks_machine/a.png', 'masks_machine/b.jpeg.png'],
                    {'a': ('a.jpg', 'a.png'), 'b': ('b.jpeg', 'b.jpeg.png')}),
    'LabelMe, json_to_dataset': ('', '', ['a_json/img.png', 'a_json/label.png', 'b_json/img.png', 'b_json/label.png'],
                                 {'a_json': ('a_json/img.png', 'a_json/label.png'),
                                  'b_json': ('b_json/img.png', 'b_json/label.png')}),
    'Cityscapes': ('leftImg8bit', 'gtFine',
                   ['leftImg8bit/ulm/u_0_leftImg8bit.png', 'gtFine/ulm/u_0_gtFine_labelIds.png'],
                   {'ulm_u_0_leftImg8bit': ('ulm/u_0_leftImg8bit.png', 'ulm/u_0_gtFine_labelIds.png')}),
    'tiles of the Dubai set': ('', '', [f'Tile {tile}/{part}/part_00{n}.{end}' for tile in (1, 2) for n in (1, 2)
                                        for part, end in (('images', 'jpg'), ('masks', 'png'))],
                               {f'Tile {tile}_part_00{n}': (f'Tile {tile}/images/part_00{n}.jpg',
                                                            f'Tile {tile}/masks/part_00{n}.png')
                                for tile in (1, 2) for n in (1, 2)}),
    'DeepGlobe': ('', '', ['7_sat.jpg', '7_mask.png'], {'7_sat': ('7_sat.jpg', '7_mask.png')}),
    'CamVid': ('raw', 'labels', ['raw/0001TP.png', 'labels/0001TP_L.png'], {'0001TP': ('0001TP.png', '0001TP_L.png')}),
    'prefixes': ('images', 'masks', ['images/image_07.png', 'masks/mask_07.png'],
                 {'image_07': ('image_07.png', 'mask_07.png')}),
    'Windows case': ('p', 'm', ['p/IMG_1.JPG', 'm/img_1.png'], {'IMG_1': ('IMG_1.JPG', 'img_1.png')}),
    'maps below photos': ('', 'labels', ['a.jpg', 'labels/a.png'], {'a': ('a.jpg', 'a.png')}),
    'photos below maps': ('images', '', ['images/a.jpg', 'a.png'], {'a': ('a.jpg', 'a.png')}),
    'nested photos, flat maps': ('p', 'm', ['p/1/a.jpg', 'p/2/b.jpg', 'm/a.png', 'm/b.png'],
                                 {'1_a': ('1/a.jpg', 'a.png'), '2_b': ('2/b.jpg', 'b.png')}),
    'what macOS leaves': ('p', 'm', ['p/a.jpg', 'm/a.png', 'p/__MACOSX/._a.jpg', 'p/._a.jpg', 'm/.thumbs/a.png'],
                          {'a': ('a.jpg', 'a.png')}),
}


@pytest.mark.parametrize('name', LAYOUTS)
def test_folders_as_tools_write_them(tmp_path, name):
    photos, labels, files, expected = LAYOUTS[name]
    lay(tmp_path, *files)
    assert paired(tmp_path, photos, labels)[0] == expected


@settings(max_examples=50, deadline=None)
@given(stems=st.sets(st.text('abcéüß照 01_-', min_size=1, max_size=8).map(str.strip).filter(bool), min_size=1,
                     max_size=6),
       suffix=st.sampled_from(['', '_mask', '_label', '_labelIds', '_gt', '_seg', '-mask', '.mask', '_segmentation',
                               '_gtFine_labelIds']),
       form=st.sampled_from(['NFC', 'NFD']))
def test_a_suffix_or_another_form_of_accents_pairs_alike(tmp_path_factory, stems, suffix, form):
    """Each map pairs with its photo, whatever the words after its name and the form of its accents."""
    stems = {stem for stem in (unicodedata.normalize('NFC', stem) for stem in stems)
             if stem == pairs._without_roles(stem) and stem.strip(' _-') == stem}
    if len({stem.casefold() for stem in stems}) != len(stems) or not stems:
        return
    root = tmp_path_factory.mktemp('pairs')
    lay(root, *(f'p/{stem}.jpg' for stem in stems), *(f'm/{unicodedata.normalize(form, stem)}{suffix}.png'
                                                      for stem in stems))
    found, _ = paired(root, 'p', 'm')
    assert found == {stem: (f'{stem}.jpg', f'{unicodedata.normalize(form, stem)}{suffix}.png') for stem in stems}


def test_only_guessed_pairs_are_reported(tmp_path):
    lay(tmp_path, 'p/a.jpg', 'm/a.png', 'n/a_mask.png')
    assert paired(tmp_path, 'p', 'm')[1] == []
    assert says(paired(tmp_path, 'p', 'n')[1][0], '1 label maps paired by name without the words', 'a_mask.png')


@pytest.mark.parametrize('files, labels, said', [
    (['a.jpg', 'b.jpg'], '', 'one folder for both, and no name distinguishes label maps from photos'),
    (['p/a.jpg', 'm/a_mask.png', 'm/a_gt.png'], 'm', 'both fit one photo'),
    (['p/a.jpg', 'p/a.jpeg', 'm/a.png'], 'm', 'have the same name but for the ending'),
    (['p/a.jpg', 'm/notes.txt'], 'm', 'no images in this folder or its subfolders')])
def test_ambiguous_names_are_refused(tmp_path, files, labels, said):
    lay(tmp_path, *files)
    with pytest.raises(InputError) as caught:
        paired(tmp_path, 'p' if labels else '', labels)
    assert says(str(caught.value), said, '--labels' if 'same name' not in said else '--images')


def test_links_to_files_are_files_and_links_in_circles_are_not_followed(tmp_path):
    """A fixed camera has one map for all photos."""
    lay(tmp_path, 'p/a0.jpg', 'p/a1.jpg', 'm/a0.png', 'other/x.jpg')
    (tmp_path / 'm/a1.png').symlink_to('a0.png')
    expected = {'a0': ('a0.jpg', 'a0.png'), 'a1': ('a1.jpg', 'a1.png')}
    assert paired(tmp_path, 'p', 'm')[0] == expected
    for link, target in (('p/itself', '.'), ('p/parent', '..'), ('m/parent', '..'), ('p/maps', '../m')):
        (tmp_path / link).symlink_to(target)
        assert paired(tmp_path, 'p', 'm')[0] == expected, link
    (tmp_path / 'p/far').symlink_to('../other')
    (tmp_path / 'other/back').symlink_to('..')
    assert paired(tmp_path, 'p', 'm')[0] == {**expected, 'far_x': ('far/x.jpg', None)}


def test_two_forms_of_one_name_in_one_folder_are_distinguished(tmp_path):
    """They look the same; at 204147d: 'a.png and a.png'."""
    lay(tmp_path, 'p/ü.jpg', f'p/{unicodedata.normalize("NFD", "ü")}.jpg', 'm/ü.png')
    with pytest.raises(InputError, match=r"'u\\u0308.jpg' and '\\xfc.jpg' are one name") as caught:
        paired(tmp_path, 'p', 'm')
    assert str(caught.value).isascii()


def test_names_beyond_what_a_file_system_takes(tmp_path):
    """Folder and file name are joined; the result is cut and made unique by a checksum."""
    lay(tmp_path, *(f'{part}/{"f" * 200}/{"a" * 200}{end}' for part in 'pm' for end in ('1.png', '2.png')))
    found = paired(tmp_path, 'p', 'm')[0]
    assert len(found) == 2 and all(len(stem) < 220 and None not in pair for stem, pair in found.items())


def test_repeated_names_in_different_folders(tmp_path):
    lay(tmp_path, 'p/a_b/c.jpg', 'p/a/b_c.jpg', 'm/a_b/c.png', 'm/a/b_c.png')
    found = paired(tmp_path, 'p', 'm')[0]
    assert sorted(found.values()) == [('a/b_c.jpg', 'a/b_c.png'), ('a_b/c.jpg', 'a_b/c.png')]


def test_one_folder_becomes_a_set(scripts, tmp_path):
    """At 204147d each mask was paired with itself: photo and map were one file, exit 0."""
    (tmp_path / 'all').mkdir()
    for index in range(4):
        ids = np.full((40, 48), index % 3, np.uint8)
        Image.fromarray(ids).save(tmp_path / f'all/{index}_mask.png')
        Image.fromarray(np.random.default_rng(index).integers(0, 255, (40, 48, 3),
                                                              np.uint8)).save(tmp_path / f'all/{index}.jpg')
    said = scripts.prepared('folder', '--images', tmp_path / 'all', '--labels', tmp_path / 'all', '--output',
                            tmp_path / 'set', '--val', '0')
    assert sorted(os.listdir(tmp_path / 'set/train_img')) == [f'{index}.jpg' for index in range(4)]
    assert says(said, '4 label maps paired by name without the words', 'problems: none')
