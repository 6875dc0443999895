"""Photos of cameras, scanners and programs become upright, of 8 bits, and never silently nearly black."""
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from dataset.photo import Span, flaws, load_photo, read_photo, span_of
from dataset.picture_file import FORMATS, LONGEST_SIDE, MOST_PIXELS, Notes, noted
from dataset.prepare.archive import NamedBytes
from tests.dataset.test_label_map import saved
from tests.dataset.test_labelled_images import REPOSITORY, chunked
from tests.runner import message, says

pytestmark = pytest.mark.without_paddle

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8).repeat(8, 0).repeat(8, 1))


# ---- Orientation

def tagged(image, kind, tag):
    exif = Image.Exif()
    exif[0x112] = tag
    return saved(image, kind, exif=exif,
                 **({'lossless': True} if kind == 'WEBP' else {'quality': 95} if kind == 'JPEG' else {}))


@pytest.mark.parametrize('tag', range(1, 9))
@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'TIFF'])
def test_a_photo_is_upright(kind, tag):
    """For every position of the camera: the file has the turned photo, the tag the orientation."""
    back = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
    stored = ImageOps.exif_transpose(Image.open(tagged(PHOTO, 'PNG', back[tag])))
    found = read_photo(tagged(stored, kind, tag))
    assert found.image.size == PHOTO.size and np.abs(np.asarray(found.image, int) - np.asarray(PHOTO)).mean() < 9
    assert sum(note.startswith('turned by') for note in found.notes) == (tag != 1)


def test_a_map_of_the_stored_shape_keeps_the_photo_as_it_is():
    file = tagged(PHOTO, 'PNG', 6)
    assert load_photo(file).size == load_photo(file, PHOTO.size[::-1]).size == PHOTO.size[::-1]
    found = read_photo(file, PHOTO.size)
    assert found.image.size == PHOTO.size and 'the maps have the size' in ' '.join(found.notes)
    assert load_photo(tagged(PHOTO, 'PNG', 3), PHOTO.size).getpixel((0, 0)) == PHOTO.getpixel((55, 39))


@pytest.mark.filterwarnings('ignore:Corrupt EXIF')
def test_a_damaged_tag_is_ignored():
    file = saved(PHOTO, 'JPEG', exif=b'Exif\0\0II*\0\xff\xff\xff\xff')
    assert load_photo(file).size == PHOTO.size
    assert load_photo(tagged(PHOTO, 'PNG', 77)).size == PHOTO.size


# ---- Depth

def deep(values, kind=np.uint16):
    values = np.asarray(values, kind)
    return saved(Image.fromarray(values), 'PNG' if kind == np.uint16 else 'TIFF')


def test_sixteen_bits_are_the_upper_eight():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    found = read_photo(deep(values))
    assert np.array_equal(np.asarray(found.image)[..., 0], values >> 8) and list(found.notes) == [
        'of more than 8 bits: 0 becomes black and 65535 white']


@pytest.mark.parametrize('file, parts', [
    (lambda: deep([[0, 4095]]), ['16-bit', '4095']), (lambda: deep([[-1000, 2000]], np.int32), ['-1000', '2000']),
    (lambda: deep([[0.0, 1.0]], np.float32), ['from 0 to 1']), (lambda: deep([[0, 99999]], np.int32), ['99999']),
    (lambda: NamedBytes(deep_rgb(4000), 'photo.png'), ['16 bits a channel', '8 bits'])])
def test_what_would_be_black_is_refused(file, parts):
    assert says(message(load_photo, file()), 'black', '8 bits', *parts)


def deep_rgb(value):
    return chunked(b'\0' + np.full(6, value, '>u2').tobytes(), 2, 1, 16, 2)


def test_sixteen_bit_colours_are_the_upper_eight():
    found = read_photo(NamedBytes(deep_rgb(40000), 'photo.png'))
    assert found.image.getpixel((0, 0)) == (40000 >> 8,) * 3 and 'upper 8' in ' '.join(found.notes)


def test_nan_is_refused_in_photos():
    assert says(message(load_photo, deep([[0, np.nan]], np.float32)), 'NaN or infinite', 'fill them')


@settings(max_examples=60, deadline=None)
@given(bits=st.integers(2, 16), seed=st.integers(0, 99), count=st.integers(1, 4))
def test_the_bits_of_the_whole_folder_decide(bits, seed, count):
    """A photo of n bits in 16 becomes its upper 8, dark ones among them by the same rule."""
    rng = np.random.default_rng(seed)
    arrays = [rng.integers(0, 1 << bits, (4, 5)) >> index for index in range(count)]
    arrays[0][0, 0] = (1 << bits) - 1
    span = span_of([deep(array) for array in arrays])
    assert span == Span(0, (1 << max(bits, 8)) - 1)
    for array in arrays:
        image = read_photo(deep(array), span=span).image
        assert np.array_equal(np.asarray(image)[..., 0], array >> max(bits - 8, 0))


@settings(max_examples=40, deadline=None)
@given(low=st.integers(-2000, 2000), high=st.integers(1, 70000), kind=st.sampled_from([np.int32, np.float32]))
def test_other_numbers_are_spread_from_the_lowest_to_the_highest(low, high, kind):
    values = np.linspace(low, low + high, 50).reshape(5, 10).astype(kind)
    span = span_of([deep(values, kind), NamedBytes(b'broken', 'x'), saved(PHOTO, 'PNG')])
    found = np.asarray(read_photo(deep(values, kind), span=span).image)[..., 0].ravel()
    assert (np.diff(found.astype(int)) >= 0).all()
    if low < 0 or low + high > 65535 or kind == np.float32 and high > 1:
        assert found[0] == 0 and found[-1] == 255


def test_fractions_of_one_and_declared_ranges():
    assert span_of([deep([[0.1, 0.6]], np.float32)]) == (0, 1) and span_of([saved(PHOTO, 'PNG')]) is None
    found = read_photo(deep([[0.0, 0.5, 1.0]], np.float32), span=Span(0, 1))
    assert np.asarray(found.image)[0, :, 0].tolist() == [0, 128, 255]
    pgm = NamedBytes(b'P5 2 1 4095\n' + np.array([0, 4095], '>u2').tobytes(), 'photo.pgm')
    assert np.asarray(load_photo(pgm))[0, :, 0].tolist() == [0, 255]
    assert np.asarray(load_photo(NamedBytes(b'P6 1 1 100\n' + bytes([0, 50, 100]),
                                            'photo.ppm')))[0, 0].tolist() == [0, 128, 255]


# ---- Other things that a header says

def lab(image):
    return ImageCms.profileToProfile(image, ImageCms.createProfile('sRGB'), ImageCms.createProfile('LAB'),
                                     outputMode='LAB')


def test_lab_becomes_rgb():
    found = np.asarray(load_photo(saved(lab(PHOTO), 'TIFF')), int)
    assert np.abs(found - np.asarray(PHOTO)).mean() < 6


def gamma(value):
    body = chunked(b'\0\x40\x80\xc0', 1, 1, 8, 2)
    data = b'gAMA' + struct.pack('>I', round(value * 100000))
    return body[:33] + struct.pack('>I', 4) + data + struct.pack('>I', zlib.crc32(data)) + body[33:]


@pytest.mark.parametrize('make, note', [
    (lambda: saved(PHOTO.convert('CMYK'), 'TIFF'), 'in CMYK'),
    (lambda: saved(PHOTO.convert('CMYK'), 'JPEG'), 'in CMYK'),
    (lambda: saved(PHOTO, 'JPEG', icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile('XYZ')).tobytes()),
     'colour profile'),
    (lambda: NamedBytes(gamma(1.0), 'photo.png'), 'gamma'), (lambda: NamedBytes(gamma(0.45455), 'photo.png'), None),
    (lambda: saved(PHOTO, 'JPEG', icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()),
     None),
    (lambda: saved(with_alpha(99), 'PNG'), 'transparent'), (lambda: saved(with_alpha(255), 'PNG'), None),
    (lambda: saved(PHOTO.convert('P'), 'PNG', transparency=0), 'transparent'), (lambda: saved(PHOTO, 'JPEG'), None)])
def test_ignored_headers_are_reported(make, note):
    notes = Notes()
    notes.add(noted('photo', read_photo(make())))
    notes.add(noted('photo', read_photo(make())))
    lines = list(notes.lines())
    assert [line.startswith('2 photos ') and note in line for line in lines] == [True] if note else not lines, lines


def with_alpha(value):
    image = PHOTO.convert('RGBA')
    image.putpixel((0, 0), (1, 2, 3, value))
    return image


def test_suspicious_photos():
    noise = np.random.default_rng(0).integers(0, 256, (300, 200, 3))
    assert flaws(noise) == [] and flaws(noise // 16) == ['nearly black']
    assert flaws(np.full((40, 30, 3), 200)) == ['of nearly one colour']
    assert flaws(np.full((2, 1, 3), 0)) == ['nearly black', 'of nearly one colour']


# ---- What is opened at all

def test_nothing_that_starts_another_program_is_opened():
    """EPS, which Pillow draws with Ghostscript, under the name of a photo."""
    eps = NamedBytes(b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n', 'e.jpg')
    text = message(load_photo, eps)
    assert says(text, 'e.jpg', 'not a file of a known format', 'PNG, JPEG')
    assert 'host' not in text and 'EPS' not in FORMATS


@pytest.mark.parametrize('width, height', [(20000, 20000), (LONGEST_SIDE + 1, 1), (1, 1 << 26), (13400, 13400)])
def test_sizes_are_limited_before_a_pixel_is_read(width, height):
    text = message(load_photo, NamedBytes(chunked(b'', width, height, 8, 0), 'large.png'))
    assert says(text, 'large.png', 'allowed are 178 million pixels and sides of 65536', 'smaller') and \
        'truncated' not in text


def test_half_of_the_limit_is_read_without_a_warning(tmp_path):
    side = int((MOST_PIXELS * 0.6) ** 0.5)
    (tmp_path / 'large.tif').write_bytes(saved(Image.new('1', (side, side)), 'TIFF', compression='group4').getvalue())
    code = f'from dataset.picture_file import decoded; print(decoded({str(tmp_path / "large.tif")!r}).image.width)'
    run = subprocess.run([sys.executable, '-c', code], cwd=REPOSITORY, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == (f'{side}\n', '')


def test_several_pictures_in_one_photo_and_the_previews_of_a_phone():
    assert says(message(load_photo, saved(PHOTO, 'TIFF', save_all=True, append_images=[PHOTO])), '2 pictures',
                'file of its own')
    assert load_photo(saved(PHOTO, 'MPO', save_all=True, append_images=[PHOTO.reduce(2)])).size == PHOTO.size


def test_the_error_names_a_tiff_of_many_channels():
    """Five channels, as of a drone's camera, which Pillow does not identify."""
    content = saved(Image.new('RGB', (2, 2)), 'TIFF').getvalue()
    place = content.index(b'\x15\x01')      # the tag of samples per pixel
    content = content[:place + 8] + b'\x05' + content[place + 9:]
    assert says(message(load_photo, NamedBytes(content, 'drone.tif')), 'drone.tif', 'more than four channels', 'PNG')
