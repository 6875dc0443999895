"""A label map gives the ids that were written, in whatever form; what leaves open which ids were meant is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset.label_map import read_colours, read_instances, read_map
from dataset.picture_file import DataError
from dataset.prepare.archive import NamedBytes
from tests.dataset.test_labelled_images import packed


def message(call, *arguments, **settings):
    with pytest.raises(DataError) as caught:
        call(*arguments, **settings)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def saved(image, kind, **options):
    file = NamedBytes(b'', f'map.{kind.lower()}')
    image.save(file, kind, **options)
    return NamedBytes(file.getvalue(), file.name)


# ---- Every accepted form

def pgm(ids, maximum):
    """Binary PGM as netpbm writes it, the ids as they are, whatever the maximum."""
    height, width = ids.shape
    return f'P5 {width} {height} {maximum}\n'.encode() + ids.astype('>u2' if maximum > 255 else 'u1').tobytes()


def plain_pgm(ids, maximum):
    return f'P2 # plain\n{ids.shape[1]} {ids.shape[0]}\n{maximum}\n'.encode() + ' '.join(map(str, ids.ravel())).encode() + b'\n'


def packed_tiff(ids, depth):
    """Uncompressed little-endian TIFF of 1, 2 or 4 bits."""
    rows = b''.join(np.packbits(np.unpackbits(np.uint8(row)[:, None], axis=1)[:, 8 - depth:]).tobytes() for row in ids)
    entries = [(256, 4, ids.shape[1]), (257, 4, ids.shape[0]), (258, 3, depth), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1),
               (278, 4, ids.shape[0]), (279, 4, len(rows))]
    ifd = len(entries).to_bytes(2, 'little') + b''.join(
        tag.to_bytes(2, 'little') + kind.to_bytes(2, 'little') + (1).to_bytes(4, 'little') + value.to_bytes(4, 'little')
        for tag, kind, value in entries) + bytes(4)
    return b'II*\0' + (8 + len(rows)).to_bytes(4, 'little') + rows + ifd


def with_palette(ids, colours):
    image = Image.fromarray(ids.astype(np.uint8))
    image.putpalette(np.asarray(colours, np.uint8).tobytes())
    return image


def grey(ids):
    return Image.fromarray(ids.astype(np.uint8))


FOREIGN = np.random.default_rng(7).integers(0, 256, (256, 3))
COLOURS = [(index * 7 % 256, index * 31 % 256, 255 - index) for index in range(256)]
FORMS = {   # name -> (highest id that it can hold, file of the ids)
    'L png': (255, lambda ids, draw: saved(grey(ids), 'PNG')),
    'L bmp': (255, lambda ids, draw: saved(grey(ids), 'BMP')),
    'L tiff': (255, lambda ids, draw: saved(grey(ids), 'TIFF')),
    'L tiff lzw': (255, lambda ids, draw: saved(grey(ids), 'TIFF', compression='tiff_lzw')),
    'L tiff deflate': (255, lambda ids, draw: saved(grey(ids), 'TIFF', compression='tiff_adobe_deflate')),
    'L tiff packbits': (255, lambda ids, draw: saved(grey(ids), 'TIFF', compression='packbits')),
    'webp': (255, lambda ids, draw: saved(Image.merge('RGB', [grey(ids)] * 3), 'WEBP', lossless=True)),
    'P identity': (255, lambda ids, draw: saved(with_palette(ids, np.arange(256)[:, None].repeat(3, 1)), 'PNG')),
    'P foreign': (255, lambda ids, draw: saved(with_palette(ids, FOREIGN), 'PNG')),
    'P foreign trimmed': (255, lambda ids, draw: saved(with_palette(ids, FOREIGN[:int(ids.max()) + 1]), 'PNG')),
    'P foreign bmp': (255, lambda ids, draw: saved(with_palette(ids, FOREIGN), 'BMP')),
    'P foreign tiff': (255, lambda ids, draw: saved(with_palette(ids, FOREIGN), 'TIFF')),
    'P foreign gif': (255, lambda ids, draw: saved(with_palette(ids, FOREIGN), 'GIF', optimize=False)),
    'P transparent': (255, lambda ids, draw: saved(with_palette(ids, FOREIGN), 'PNG', transparency=0)),
    'P 4 bits': (15, lambda ids, draw: saved(with_palette(ids, FOREIGN[:16]), 'PNG', bits=4)),
    'I;16 png': (65535, lambda ids, draw: saved(Image.fromarray(ids.astype(np.uint16)), 'PNG')),
    'I;16 tiff': (65535, lambda ids, draw: saved(Image.fromarray(ids.astype(np.uint16)), 'TIFF')),
    'I;16 tiff deflate': (65535, lambda ids, draw: saved(Image.fromarray(ids.astype(np.uint16)), 'TIFF',
                                                         compression='tiff_adobe_deflate')),
    'I tiff': (65535, lambda ids, draw: saved(Image.fromarray(ids.astype(np.int32)), 'TIFF')),
    'F tiff': (65535, lambda ids, draw: saved(Image.fromarray(ids.astype(np.float32)), 'TIFF')),
    'pgm': (65535, lambda ids, draw: NamedBytes(pgm(ids, draw(st.integers(max(1, int(ids.max())), 65535))), 'm.pgm')),
    'pgm small': (255, lambda ids, draw: NamedBytes(pgm(ids, draw(st.integers(max(1, int(ids.max())), 255))), 'm.pgm')),
    'pgm plain': (65535, lambda ids, draw: NamedBytes(plain_pgm(ids, draw(st.integers(max(1, int(ids.max())), 65535))), 'm.pgm')),
    '1 png': (1, lambda ids, draw: saved(Image.fromarray(ids.astype(bool)), 'PNG')),
    '1 pbm': (1, lambda ids, draw: saved(Image.fromarray(ids.astype(bool)), 'PPM')),
    '1 tiff': (1, lambda ids, draw: saved(Image.fromarray(ids.astype(bool)), 'TIFF')),
    '1 tiff group4': (1, lambda ids, draw: saved(Image.fromarray(ids.astype(bool)), 'TIFF', compression='group4')),
    **{f'{depth} bits png': ((1 << depth) - 1, lambda ids, draw, depth=depth: NamedBytes(packed(ids, depth), 'm.png'))
       for depth in (1, 2, 4)},
    **{f'{depth} bits tiff': ((1 << depth) - 1, lambda ids, draw, depth=depth: NamedBytes(packed_tiff(ids, depth), 'm.tif'))
       for depth in (1, 2, 4)},
    'RGB equal': (255, lambda ids, draw: saved(Image.merge('RGB', [grey(ids)] * 3), 'PNG')),
    'RGBA equal': (255, lambda ids, draw: saved(Image.merge('RGBA', [grey(ids)] * 3 + [Image.new('L', ids.shape[::-1], 255)]), 'PNG')),
    'LA': (255, lambda ids, draw: saved(Image.merge('LA', [grey(ids), Image.new('L', ids.shape[::-1], 255)]), 'PNG')),
    'LA tiff': (255, lambda ids, draw: saved(Image.merge('LA', [grey(ids), Image.new('L', ids.shape[::-1], 255)]), 'TIFF')),
    'CARLA': (28, lambda ids, draw: saved(Image.fromarray(np.dstack([ids, ids * 0, ids * 0]).astype(np.uint8)), 'PNG')),
}


@st.composite
def maps(draw, highest):
    """(H, W) ids of 1 to 300 classes, 255 for void among them or not."""
    top = draw(st.integers(0, min(299, highest)))
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    ids = np.random.default_rng(draw(st.integers(0, 2 ** 32))).integers(0, top + 1, (height, width))
    if highest >= 255 and draw(st.booleans()):
        ids[0, 0] = 255
    return ids


@pytest.mark.parametrize('form', FORMS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_the_same_ids_in_every_form(form, data):
    highest, make = FORMS[form]
    ids = data.draw(maps(highest))
    found = read_map(make(ids, data.draw))
    assert np.array_equal(found.ids, ids), found.notes
    instance = read_instances(make(ids, data.draw)).ids     # whose numbers may be others, but not where they differ
    assert np.array_equal(*(np.unique(each, return_inverse=True)[1].ravel() for each in (instance, ids)))


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'P', 'P adaptive', 'PPM', 'TIFF', 'BMP', 'WEBP', 'GIF'])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_the_same_ids_in_colours(mode, data):
    ids = data.draw(maps(255))
    image = Image.fromarray(np.array(COLOURS, np.uint8)[ids])
    if mode in ('P', 'GIF'):
        image = with_palette(ids, COLOURS)
    elif mode == 'P adaptive':
        image = image.quantize(256, dither=Image.Dither.NONE)
    elif mode == 'RGBA':
        image.putalpha(255)
    kind = mode if mode in ('PPM', 'TIFF', 'BMP', 'WEBP', 'GIF') else 'PNG'
    file = saved(image, kind, **({'lossless': True} if kind == 'WEBP' else {}))
    if mode == 'P adaptive' and not np.array_equal(np.asarray(Image.open(file).convert('RGB')), np.array(COLOURS)[ids]):
        return      # Pillow's choice of colours is not exact: another picture
    file.seek(0)
    found, unknown = read_colours(file, {colour: index for index, colour in enumerate(COLOURS)})
    assert not unknown and np.array_equal(found.ids, ids) and not found.notes
