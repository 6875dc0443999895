"""Download the VGG19 weights of the perceptual loss: python -m vgg.fetch [vgg/vgg19pretrain.pdparams]

The file is paddle.vision's vgg19 (ImageNet; 575 MB); Paddle caches it and checks its checksum. Ctrl-C or a broken
connection loses only the unfinished file; a finished download is not repeated.
"""
import argparse
import os

from runtime import device  # noqa: F401  first: sets the threads, then imports Paddle

# isort: split

import paddle
from paddle.utils.download import WEIGHTS_HOME, get_weights_path_from_url
from paddle.vision.models.vgg import model_urls

from model.init import OPT
from runtime.errors import InputError, shown_in_one_line
from vgg.convert import convert


def main():
    parser = argparse.ArgumentParser(prog='python -m vgg.fetch', description=__doc__.split(':')[0])
    parser.add_argument('output', nargs='?', default=OPT().vggwpath, help='the file to write [%(default)s]')
    output = parser.parse_args().output
    if os.path.exists(output):
        print(f'{output} already exists')
        return
    url, checksum = model_urls['vgg19']
    try:
        path = get_weights_path_from_url(url, checksum)
    except Exception as error:  # errors of requests and of Paddle share no class
        raise InputError(f'{url}: cannot be downloaded: {type(error).__name__}: {str(error).splitlines()[0][:150]}. '
                         f'Download it elsewhere into {WEIGHTS_HOME}, or convert another file: '
                         'python -m model.convert vgg19') from None
    paddle.set_device('cpu')
    convert([path, output])


if __name__ == '__main__':
    with shown_in_one_line():
        main()
