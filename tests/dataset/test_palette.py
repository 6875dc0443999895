"""Class names and colours: closed forms."""
import numpy as np
import pytest

from dataset.colour_coded import NEAR, of_colours
from dataset.palette import COCO_STUFF, colourize, palette

pytestmark = pytest.mark.without_paddle


def test_names_are_where_the_pixel_maps_have_them():
    assert len(COCO_STUFF) == len(set(COCO_STUFF)) == 182
    for index, name in ((0, 'person'), (1, 'bicycle'), (11, 'street sign'), (25, 'hat'), (65, 'mirror'),
                        (89, 'toothbrush'),
                        (90, 'hair brush'), (91, 'banner'), (123, 'grass'), (156, 'sky-other'), (168, 'tree'),
                        (181, 'wood')):
        assert COCO_STUFF[index] == name


@pytest.mark.parametrize('count', [1, 2, 35, 151, 182, 183, 300])
def test_palette_is_distinct_and_never_black(count):
    colours = palette(count)
    assert colours.shape == (count, 3) and colours.dtype == np.uint8
    assert len(np.unique(colours, axis=0)) == count
    assert colours.any(axis=1).all()


def test_palette_is_pascal_voc_shifted_by_one():
    assert palette(4).tolist() == [[128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128]]


def test_palette_keeps_a_class_s_colour():
    assert (palette(35)[:20] == palette(20)).all()


def test_colourize_closed_form():
    label = np.array([[0, 1], [2, 255]], np.uint8)
    expected = [[[128, 0, 0], [0, 128, 0]], [[0, 0, 0], [0, 0, 0]]]
    assert colourize(label, 2).tolist() == expected
    assert colourize(label.astype(np.int64), 2).dtype == np.uint8
    assert colourize(label, 2,
                     np.array([[1, 2, 3], [4, 5, 6]], np.uint8)).tolist() == [[[1, 2, 3], [4, 5, 6]], expected[1]]


def test_colourize_takes_any_shape():
    assert colourize(np.zeros((2, 1, 4, 5), int), 182).shape == (2, 1, 4, 5, 3)
    assert colourize(np.zeros((0, 4), int), 182).shape == (0, 4, 3)


@pytest.mark.parametrize('wrong', [-1, 3, 254])
def test_colourize_names_an_id_out_of_range(wrong):
    with pytest.raises(ValueError, match=str(wrong)):
        colourize(np.array([0, wrong]), 2)


def test_ids_near_one_colour_are_no_shades_of_it():
    """Grey ids 0 to 3 with a table of two colours: 1, 2 and 3 are not black; JPEG's noise around black is."""
    pixels = np.repeat(np.arange(4, dtype=np.uint8).repeat(400).reshape(40, 40)[..., None], 3, 2)
    ids = {(0, 0, 0): 0, (128, 0, 0): 1}
    label, _, unknown, _ = of_colours(pixels, ids, NEAR)
    assert label is None and {colour for _, colour in unknown} == {(index,) * 3 for index in (1, 2, 3)}
    assert not of_colours(pixels, ids, NEAR, lossy=True)[0].any()
