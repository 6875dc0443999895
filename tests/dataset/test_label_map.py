"""A label map gives the written ids in any form; an ambiguous one is refused."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import AppendingTiffWriter

from dataset.agreement import check_palettes, palette_in
from dataset.label_map import read_colours, read_instances, read_map
from dataset.prepare.archive import NamedBytes
from tests.dataset.test_labelled_images import chunked, packed
from tests.runner import message, says

pytestmark = pytest.mark.without_paddle


def saved(image, kind, **options):
    file = NamedBytes(b'', f'map.{kind.lower()}')
    image.save(file, kind, **options)
    return NamedBytes(file.getvalue(), file.name)


# ---- Every accepted form

def pgm(ids, maximum):
    """Binary PGM as netpbm writes it, the ids as they are, whatever the maximum."""
    height, width = ids.shape
    return f'P5 {width} {height} {maximum}\n'.encode() + ids.astype('>u2' if maximum > 255 else 'u1').tobytes()


def ppm(ids, maximum):
    height, width = ids.shape
    return f'P6 {width} {height} {maximum}\n'.encode() + np.repeat(ids.astype('u1')[..., None], 3, 2).tobytes()


def plain_pgm(ids, maximum):
    pixels = ' '.join(map(str, ids.ravel()))
    return f'P2 # plain\n{ids.shape[1]} {ids.shape[0]}\n{maximum}\n{pixels}\n'.encode()


def packed_tiff(ids, depth):
    """Uncompressed little-endian TIFF of 1, 2 or 4 bits."""
    rows = b''.join(np.packbits(np.unpackbits(np.uint8(row)[:, None], axis=1)[:, 8 - depth:]).tobytes() for row in ids)
    entries = [(256, 4, ids.shape[1]), (257, 4, ids.shape[0]), (258, 3, depth), (259, 3, 1), (262, 3, 1), (273, 4, 8),
               (277, 3, 1), (278, 4, ids.shape[0]), (279, 4, len(rows))]
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
    'gif': (255, lambda ids, draw: saved(grey(ids), 'GIF')),
    'gif trimmed': (255, lambda ids, draw: saved(grey(ids), 'GIF', optimize=True)),
    'P 4 bits': (15, lambda ids, draw: saved(with_palette(ids, FOREIGN[:16]), 'PNG', bits=4)),
    'I;16 png': (65535, lambda ids, draw: saved(Image.fromarray(ids.astype(np.uint16)), 'PNG')),
    'I;16 tiff': (65535, lambda ids, draw: saved(Image.fromarray(ids.astype(np.uint16)), 'TIFF')),
    'I;16 tiff deflate': (65535, lambda ids, draw: saved(Image.fromarray(ids.astype(np.uint16)), 'TIFF',
                                                         compression='tiff_adobe_deflate')),
    'I tiff': (65535, lambda ids, draw: saved(Image.fromarray(ids.astype(np.int32)), 'TIFF')),
    'F tiff': (65535, lambda ids, draw: saved(Image.fromarray(ids.astype(np.float32)), 'TIFF')),
    'pgm': (65535, lambda ids, draw: NamedBytes(pgm(ids, draw(st.integers(max(1, int(ids.max())), 65535))), 'm.pgm')),
    'pgm small': (255, lambda ids, draw: NamedBytes(pgm(ids, draw(st.integers(max(1, int(ids.max())), 255))), 'm.pgm')),
    'pgm plain': (65535, lambda ids,
                  draw: NamedBytes(plain_pgm(ids, draw(st.integers(max(1, int(ids.max())), 65535))), 'm.pgm')),
    '1 png': (1, lambda ids, draw: saved(Image.fromarray(ids.astype(bool)), 'PNG')),
    '1 pbm': (1, lambda ids, draw: saved(Image.fromarray(ids.astype(bool)), 'PPM')),
    '1 tiff': (1, lambda ids, draw: saved(Image.fromarray(ids.astype(bool)), 'TIFF')),
    '1 tiff group4': (1, lambda ids, draw: saved(Image.fromarray(ids.astype(bool)), 'TIFF', compression='group4')),
    **{f'{depth} bits png': ((1 << depth) - 1, lambda ids, draw, depth=depth: NamedBytes(packed(ids, depth), 'm.png'))
       for depth in (1, 2, 4)},
    **{f'{depth} bits tiff': ((1 << depth) - 1, lambda ids, draw,
                              depth=depth: NamedBytes(packed_tiff(ids, depth), 'm.tif'))
       for depth in (1, 2, 4)},
    'RGB equal': (255, lambda ids, draw: saved(Image.merge('RGB', [grey(ids)] * 3), 'PNG')),
    'RGBA equal': (255, lambda ids,
                   draw: saved(Image.merge('RGBA', [grey(ids)] * 3 + [Image.new('L', ids.shape[::-1], 255)]), 'PNG')),
    'LA': (255, lambda ids, draw: saved(Image.merge('LA', [grey(ids), Image.new('L', ids.shape[::-1], 255)]), 'PNG')),
    'LA tiff': (255, lambda ids,
                draw: saved(Image.merge('LA', [grey(ids), Image.new('L', ids.shape[::-1], 255)]), 'TIFF')),
    'ppm equal': (255, lambda ids, draw: NamedBytes(ppm(ids, draw(st.integers(max(1, int(ids.max())), 255))), 'm.ppm')),
    'CARLA': (28, lambda ids, draw: saved(Image.fromarray(np.dstack([ids, ids * 0, ids * 0]).astype(np.uint8)), 'PNG')),
    'BGR': (28, lambda ids, draw: saved(Image.fromarray(np.dstack([ids * 0, ids * 0, ids]).astype(np.uint8)), 'PNG')),
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


# ---- What a header declares, and what is refused

def test_declared_values_remain_ids_and_are_reported():
    ids = np.array([[0, 1, 2], [1, 1, 7]])
    for image, options in ((with_palette(ids, FOREIGN), dict(transparency=1)), (grey(ids), dict(transparency=1)),
                           (with_palette(ids, FOREIGN), dict(transparency=bytes([255, 9])))):
        found = read_map(saved(image, 'PNG', **options))
        assert found.ids.tolist() == ids.tolist() and found.notes['with pixels declared transparent: they keep their '
                                                                  'ids'] == 3
    found = read_map(saved(grey(ids), 'TIFF', tiffinfo={42113: '7'}))
    assert found.ids.tolist() == ids.tolist() and [(note[:6], pixels)
                                                   for note, pixels in found.notes.items()] == [('with 7', 1)]


def test_numbers_of_8_bits_with_a_sign():
    ids = np.array([[-1, 0, 2], [-128, 1, 127]])
    file = saved(grey(ids % 256), 'TIFF', tiffinfo={339: 2})
    assert np.array_equal(read_map(file).ids, ids)


def test_255_as_no_data_is_unlabelled_as_it_is():
    assert not read_map(saved(grey(np.array([[0, 255]])), 'TIFF', tiffinfo={42113: '255'})).notes


def test_channels_beyond_the_first_are_reported():
    two = saved(Image.merge('LA', [grey(SOME), grey(SOME)]), 'TIFF').getvalue()
    no_alpha = two.replace(b'\x52\x01\x03\0\x01\0\0\0\x02', b'\x52\x01\x03\0\x01\0\0\0\0')     # ExtraSamples 0
    assert no_alpha != two
    found = read_map(NamedBytes(no_alpha, 'map.tif'))
    assert np.array_equal(found.ids, SOME)
    assert list(found.notes) == ['with further channels, which are not read']


@pytest.mark.parametrize('tag', range(2, 9))
@pytest.mark.parametrize('kind', ['PNG', 'TIFF'])
def test_a_turned_map_is_upright(kind, tag):
    ids = np.arange(12).reshape(3, 4)
    exif = Image.Exif()
    exif[0x112] = tag
    for image in (grey(ids), Image.fromarray((ids * 300).astype(np.uint16)), with_palette(ids, FOREIGN)):
        found = read_map(saved(image, kind, exif=exif))
        expected = ImageOps.exif_transpose(Image.open(saved(grey(ids), 'PNG', exif=exif)))
        factor = 300 if image.mode.startswith('I') else 1
        assert np.array_equal(found.ids, np.asarray(expected).astype(int) * factor)
        assert any(note.startswith('turned by') for note in found.notes)


def webp(image, **options):
    return saved(image, 'WEBP', **options)


SOME = np.arange(16).reshape(4, 4)
REFUSED = {
    'JPEG': (lambda: saved(grey(SOME), 'JPEG'), ['JPEG', 'changes ids', 'lossless']),
    'JPEG in TIFF': (lambda: saved(grey(SOME), 'TIFF', compression='jpeg'), ['lossy', 'changes ids']),
    'lossy WebP': (lambda: webp(Image.merge('RGB', [grey(SOME)] * 3), quality=90), ['lossy WebP', 'changes ids']),
    'white is zero': (lambda: saved(grey(SOME), 'TIFF', tiffinfo={262: 0}), ['white as 0', 'save it as PNG']),
    'LA': (lambda: saved(Image.merge('LA', [grey(SOME), grey(SOME)]), 'PNG'), ['transparent pixels', 'an id']),
    'RGBA': (lambda: saved(Image.merge('RGBA', [grey(SOME)] * 4), 'PNG'), ['transparent pixels', 'an id']),
    'colours': (lambda: saved(Image.merge('RGB', [grey(SOME), grey(SOME * 9), grey(SOME)]), 'PNG'),
                ['mode RGB', '--colours']),
    'red as a colour': (lambda: saved(Image.merge('RGB', [grey(SOME * 9)] + [grey(SOME * 0)] * 2), 'PNG'),
                        ['--colours']),
    'fractions': (lambda: saved(Image.fromarray(np.float32(SOME) / 2), 'TIFF'), ['fractions', 'whole numbers']),
    'no number': (lambda: saved(Image.fromarray(np.where(SOME, SOME, np.nan).astype(np.float32)), 'TIFF'),
                  ['fractions or NaN']),
    'beyond 32 bits': (lambda: saved(Image.fromarray(np.float32(SOME * 1e9)), 'TIFF'), ['2147483648', '32 bits']),
    '16 bits in PPM': (lambda: NamedBytes(b'P6 1 1 999\n' + bytes(6), 'map.ppm'), ['16 bits']),
    'pages': (lambda: saved(grey(SOME), 'TIFF', save_all=True, append_images=[grey(SOME)]), ['2 pictures', 'TIFF']),
    'frames': (lambda: saved(grey(SOME), 'GIF', save_all=True, append_images=[grey(SOME + 1)]), ['2 pictures', 'GIF']),
    'frames of PNG': (lambda: saved(grey(SOME), 'PNG', save_all=True, append_images=[grey(SOME + 1)]),
                      ['2 pictures', 'PNG']),
    '16 bits and alpha': (lambda: NamedBytes(deep_png(SOME, 4, 2), 'map.png'), ['16 bits', 'one channel']),
    '16 bits and colours': (lambda: NamedBytes(deep_png(SOME, 2, 3), 'map.png'), ['16 bits']),
}


def deep_png(ids, kind, channels):
    """PNG of 16 bits a channel and of a colour type with so many channels, all of them the ids; alpha is opaque."""
    values = np.repeat(ids[..., None].astype('>u2'), channels, -1)
    if kind == 4:
        values[..., -1] = 65535
    return chunked(b''.join(b'\0' + row.tobytes() for row in values), *ids.shape[::-1], 16, kind)


@pytest.mark.parametrize('name', REFUSED)
def test_ambiguous_ids_are_refused(name):
    make, parts = REFUSED[name]
    assert says(message(read_map, make()), 'map.', *parts)


def test_overviews_and_masks_of_a_tiff_are_not_pictures():
    """GDAL writes these into a cloud-optimized GeoTIFF."""
    small, same = grey(SOME[::2, ::2]), grey(SOME)
    for page, kind in ((small, 1), (same, 4), (small, 0)):
        file = NamedBytes(b'', 'map.tif')
        with AppendingTiffWriter(file, True) as writer:
            for image, value in ((grey(SOME), 0), (page, kind)):
                image.save(writer, 'TIFF', tiffinfo={254: value})
                writer.newFrame()
        assert np.array_equal(read_map(NamedBytes(file.getvalue(), 'map.tif')).ids, SOME)


# ---- Palettes: of a folder, and of one map alone

def folder_of(tmp_path, *images):
    paths = [str(tmp_path / f'{index}.png') for index in range(len(images))]
    for path, image in zip(paths, images):
        image.save(path)
    return paths


def test_palettes_of_a_folder_must_agree(tmp_path):
    first = with_palette(SOME, FOREIGN)
    assert check_palettes(folder_of(tmp_path, first, grey(SOME),
                                    with_palette(SOME, FOREIGN[:16]))) == tuple(map(tuple, FOREIGN.tolist()))
    other = FOREIGN.copy()
    other[3] = 1, 2, 3
    paths = folder_of(tmp_path, first, with_palette(SOME, other), with_palette(SOME[:1, :2], FOREIGN[:2]),
                      with_palette(SOME, other[1:]))
    assert says(message(check_palettes, paths), '2 of 4 files', paths[0], paths[1], '--colours')
    assert check_palettes(paths[::2]) and check_palettes(paths, most=1)
    # the shortest first, which agrees with both of the others, which do not agree
    assert says(message(check_palettes, [paths[2], paths[0], paths[1]]), '1 of 3 files')


def test_a_palette_whose_greys_may_be_the_ids(tmp_path):
    """pngquant stores ids 0 1 7 11 as indices 0 1 2 3 of these greys; a tool's table has more greys than one map uses.
    """
    greys = np.array([0, 1, 7, 11])[:, None].repeat(3, 1)
    optimized = with_palette(np.array([[0, 1, 2, 3]]), greys)
    paths = folder_of(tmp_path, optimized, optimized)
    assert says(message(check_palettes, paths), '0, 1, 7, 11', 'pngquant', '--colours')
    assert says(message(read_map, paths[0], colours={}), 'index 2 is (7, 7, 7)', 'a grey', 'save the ids as grey')
    padded = with_palette(np.array([[0, 1, 2, 3]]), [*greys, *[(0, 0, 0)] * 4])     # black up to a power of two
    assert says(message(check_palettes, folder_of(tmp_path, padded)), '0, 1, 7, 11', 'pngquant')
    table = with_palette(np.array([[0, 1, 2]]), greys)
    assert check_palettes(folder_of(tmp_path, optimized, table)) == tuple(map(tuple, greys.tolist()))
    assert palette_in(folder_of(tmp_path, with_palette(SOME, np.arange(256)[:, None].repeat(3, 1)))[0]) is None


SET = {(0, 0, 0): 0, (128, 0, 0): 1, (0, 128, 0): 2, (128, 128, 0): 3}


@pytest.mark.parametrize('colours, index, expected', [
    ([(0, 128, 0), (0, 0, 0)], [0, 1, 1], [2, 0, 0]),               # the colours of one picture, in any order
    (list(SET), [0, 2, 3], [0, 2, 3]),                              # the palette of the set
    ([(9, 9, 9), (7, 0, 7), (3, 99, 3)], [0, 1, 2], [0, 1, 2]),     # another, as trained: the index is the id
    ([(128, 0, 0), (7, 0, 7)], [0, 1, 1], None),                    # one of its colours at another index
    ([(128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)], [0, 1], None),     # a table of as many, shifted by one
])
def test_one_map_alone_is_read_by_the_colours_of_its_set(colours, index, expected):
    file = saved(with_palette(np.array([index]), colours), 'PNG')
    if expected is None:
        assert says(message(read_map, file, colours=SET), 'palette', 'the index or the colour', 'save the ids as grey')
    else:
        assert read_map(file, colours=SET).ids.tolist() == [expected]


def test_one_map_in_the_colours_of_its_set():
    found = read_map(saved(Image.fromarray(np.array([list(SET)], np.uint8)), 'PNG'), colours=SET)
    assert found.ids.tolist() == [[0, 1, 2, 3]] and list(found.notes) == ['in the colours of the set']


def test_a_colour_that_its_set_lacks_is_named():
    pixels = np.array([[*SET, (1, 2, 3), (1, 2, 3), (9, 9, 8)]], np.uint8)
    assert says(message(read_map, saved(Image.fromarray(pixels), 'PNG'), colours=SET), 'map.png', '2 of which',
                '(1, 2, 3) (2 pixels), (9, 9, 8) (1 pixels)', 'classes.json', 'as ids')


def test_one_map_of_greys_that_are_colours_of_its_set():
    """A set made from masks of 0 and 255 by --colours: before, white of a mask to paint was unlabelled."""
    found = read_map(saved(grey(np.array([[0, 128, 255]])), 'PNG'),
                     colours={(0, 0, 0): 0, (128, 128, 128): 1, (255, 255, 255): 2})
    assert found.ids.tolist() == [[0, 1, 2]] and list(found.notes) == ['in the colours of the set']
    colours = {(0, 0, 0): 0, (255, 255, 255): 1}
    assert says(message(read_map, saved(grey(np.array([[0, 255]])), 'PNG'), colours=colours), 'map.png', '0, 255',
                'unlabelled', 'as RGB in the colours of the set')
    assert read_map(saved(grey(np.array([[0, 1, 255]])), 'PNG'), colours=colours).ids.tolist() == [[0, 1, 255]]
    white = saved(Image.merge('RGB', [grey(np.array([[0, 255]]))] * 3), 'PNG')
    assert read_map(white, colours=colours).ids.tolist() == [[0, 1]]


# ---- Instances, and colours slightly off

def test_colours_of_an_instance_map_are_objects():
    ids = np.random.default_rng(0).integers(0, 256, (6, 7))
    found = read_instances(saved(Image.fromarray(np.array(COLOURS, np.uint8)[ids]), 'PNG'))
    assert np.array_equal(np.unique(found.ids, return_inverse=True)[1].ravel() == 5, np.unique(
        np.array(COLOURS)[ids] @ (1 << 16, 1 << 8, 1), return_inverse=True)[1].ravel() == 5)
    assert list(found.notes) == ['in colours: each colour is one object']


AERIAL = [(60, 16, 152), (132, 41, 246), (110, 193, 228), (254, 221, 58), (226, 169, 41)]


def quarters(size=64):
    """(H, W) ids of five areas."""
    y, x = np.mgrid[:size, :size]
    return np.where((y - size // 2) ** 2 + (x - size // 2) ** 2 < size * size // 16, 4,
                    y // (size // 2) * 2 + x // (size // 2))


@pytest.mark.parametrize('how', ['JPEG', 'JPEG as PNG', 'smoothed'])
def test_colours_slightly_off_are_the_nearest(how):
    ids = quarters()
    image = Image.fromarray(np.array(AERIAL, np.uint8)[ids])
    if how == 'smoothed':
        image = image.resize((128, 128), Image.Resampling.NEAREST).resize((64, 64), Image.Resampling.BICUBIC,
                                                                          (1, 1, 127, 127))
    elif how == 'JPEG as PNG':
        image = Image.open(saved(image, 'JPEG', quality=75))
    found, unknown = read_colours(saved(image, 'JPEG' if how == 'JPEG' else 'PNG'), dict(zip(AERIAL, range(5))))
    (note, pixels), = found.notes.items()
    assert not unknown and 'slightly off' in note and 100 < pixels <= 64 * 64
    y, x = np.mgrid[:64, :64]
    inside = np.ones((64, 64), bool)      # two pixels from any border
    for shift in (1, 2):
        for axis in (0, 1):
            for sign in (-shift, shift):
                inside &= np.roll(ids, sign, axis) == ids
    assert (found.ids == ids)[inside].mean() > 0.995 and (found.ids == ids).mean() > 0.97


@pytest.mark.parametrize('kind', ['PNG', 'JPEG'])
def test_a_class_that_the_table_lacks_is_never_guessed(kind):
    image = Image.fromarray(np.array(AERIAL, np.uint8)[quarters()])
    found, unknown = read_colours(saved(image, kind), dict(zip(AERIAL[:4], range(4))))
    assert found.ids is None and np.abs(np.array(unknown[0][1]) - AERIAL[4]).max() < 12


def test_four_flat_pixels_are_a_class():
    pixels = np.array(AERIAL, np.uint8)[quarters()]
    pixels[10, 10:14] = 3, 250, 3
    assert read_colours(saved(Image.fromarray(pixels), 'PNG'), dict(zip(AERIAL, range(5))))[1] == [(4, (3, 250, 3))]
