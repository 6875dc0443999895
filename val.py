"""Draw the validation set with a trained model: python val.py [--lastoutput output/] -> output_val/pics/<name>.jpg"""
import functools
import os
import zlib

from model import device  # first: sets the threads, then imports Paddle

from tqdm import tqdm

from dataset.labelled_images import ValidationImages
from dataset.loader import Loader
from model import distributed, pictures
from model.errors import InputError, shown_in_one_line
from model.init import OPT
from model.painter import load_painter, normal_draws
from model.semantics import prepared


def main():
    distributed.only_rank_0_prints()
    arguments = command_line()
    device.use_best_device()
    with distributed.joined():
        draw(arguments)


def draw(arguments):
    """Paint the validation set; of several processes that launch has started, each paints its share."""
    opt, painter = load_painter(arguments)
    style = getattr(arguments, 'style', 'photo') if opt.use_vae else None
    try:
        data = ValidationImages(opt, photos=style == 'photo')
    except InputError as error:
        raise InputError(f'{error}; or draw without photos: --style random' if style == 'photo' else str(error)) from None
    folder = os.path.join(getattr(arguments, 'results', 'output_val/'), 'pics')
    size = opt.batchSize if 'batchSize' in arguments else 1
    mine = range(distributed.rank(), len(data), distributed.ranks())
    batches = [mine[start:start + size] for start in range(0, len(mine), size)]
    bar = tqdm(total=len(mine), unit='picture', dynamic_ncols=True, disable=not distributed.leads())
    with bar, Loader(data, opt.nThreads, functools.partial(prepared, opt=opt)) as loader:
        for indices, batch in zip(batches, loader(batches)):
            stems = [data.samples[index].stem for index in indices]
            painted = painter.paint(batch['semantics'], batch.get('image'), noise=style and style_noise(opt, stems))
            for stem, pixels in zip(stems, pictures.to_uint8(painted)):
                pictures.save(pixels, os.path.join(folder, f'{stem}.jpg'))
                if 'png' in arguments:
                    pictures.save(pixels, os.path.join(folder, f'{stem}.png'))
            bar.update(len(stems))
    distributed.meet()
    print(f'{len(data)} pictures in {folder}')


def command_line():
    parser = OPT.parser(__doc__)
    parser.add_argument('--which_epoch', type=int, metavar='N', help='the copy of epoch N that training kept [the latest]')
    parser.add_argument('--style', choices=('photo', 'random'),
                        help='with a style encoder: the style of the photo, or a random one; both seeded [photo]')
    parser.add_argument('--png', action='store_true', help='write lossless PNG files too, for scoring')
    parser.add_argument('--results', metavar='DIR', help='folder for the pictures [output_val/]')
    return parser.parse_args()


def style_noise(opt, stems):
    """(N, z_dim) normal draws, a function of seed and name: a picture does not depend on what else is drawn."""
    return [normal_draws((opt.z_dim,), opt.seed, zlib.crc32(stem.encode())).numpy() for stem in stems]


if __name__ == '__main__':
    with shown_in_one_line():
        main()
