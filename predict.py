"""Paint one label map: python predict.py --label FILE [--instance FILE] [--style_photo FILE] [--out FILE]"""
import os

from model.processes import device  # first: sets the threads, then imports Paddle

from dataset.labelled_images import prediction_inputs
from output import pictures
from model.errors import InputError, shown_in_one_line
from model.painter import checkpoint_parser, load_painter
from model.semantics import SemanticMap


def main():
    arguments = command_line()
    inputs = [arguments.label, arguments.instance, arguments.style_photo]
    stem = os.path.splitext(os.path.basename(arguments.label))[0]
    out = arguments.out or f'{stem}_painted.jpg'
    if os.path.splitext(out)[1].lower() not in ('.jpg', '.jpeg', '.png'):
        raise InputError(f'--out {out}: expected a name that ends in .jpg or .png')
    if any(path and os.path.exists(path) and os.path.exists(out) and os.path.samefile(path, out) for path in inputs):
        raise InputError(f'--out {out}: would replace an input; choose another name')
    device.use_best_device()
    opt, painter = load_painter(arguments)
    if inputs[2] and not opt.use_vae:
        raise InputError('--style_photo: this model has no style encoder (use_vae false); leave it out')
    arrays = prediction_inputs(opt, *inputs)
    batch = {name: values[None] for name, values in arrays.items()}
    painted = painter.paint(SemanticMap(batch['label'], batch.get('instance'), opt), batch.get('image'))
    pictures.save(pictures.to_uint8(painted)[0], out)
    print(f'{out}: {opt.picture_size[1]} wide and {opt.picture_size[0]} high')


def command_line():
    parser = checkpoint_parser(__doc__)
    parser.add_argument('--label', required=True, metavar='FILE', help='label map, PNG of class ids')
    parser.add_argument('--instance', metavar='FILE', default=None, help='instance map, PNG; needed unless no_instance is true')
    parser.add_argument('--style_photo', metavar='FILE', default=None, help='photo whose style is taken; else --seed draws one')
    parser.add_argument('--out', metavar='FILE', default=None, help='the picture, .jpg or .png [<label>_painted.jpg]')
    return parser.parse_args()


if __name__ == '__main__':
    with shown_in_one_line():
        main()
