"""Paint label maps: python predict.py --label FILE_OR_FOLDER [--instance ...] [--style_photo ...] [--out ...]

    python predict.py --label map.png --instance inst.png
    python predict.py --label maps/ --instance insts/ --style_photo photos/ --out painted/
    python predict.py --label maps/ --instance insts/ --style random --out painted/
    python predict.py --label map.png --instance inst.png --styles 8
    python predict.py --label large.png --instance inst.png --size map
    python predict.py --label map.png --instance inst.png --between a.jpg b.jpg --steps 7

Paints one picture, a folder, a sheet of styles (seed, seed + 1, ...), or a row of pictures between two styles. A
folder is painted in one style, by --seed, unless --style_photo or --style chooses others. Files of folders are matched
by name. After a kill the same command resumes.
"""
import os

from runtime import device  # first: sets the threads, then imports Paddle

# isort: split

from dataset import classes
from dataset.agreement import check_palettes
from dataset.label_map import SAVE_OTHERWISE
from dataset.labelled_images import check_style, prediction_inputs, whole_picture
from dataset.photo import load_photo
from dataset.picture_file import Notes
from model import styles
from model.painter import checkpoint_parser, load_painter
from model.semantics import SemanticMap
from output import painted, pictures
from output.draw import style_noise
from output.folder import folder_jobs, inputs_identity, is_current, out_folder, record_of
from runtime.bar import counted
from runtime.errors import InputError, printable, shown_in_one_line
from runtime.writing import is_marked, refuse_existing, refuse_shipped

SHEET_COLUMNS = 4
STEPS = 7   # pictures of --between


def main():
    arguments = command_line()
    check_arguments(arguments)
    jobs = folder_jobs(arguments) if os.path.isdir(arguments.label) else [single_job(arguments)]
    device.use_best_device()
    opt, painter = load_painter(arguments)
    check_styles(opt, arguments)
    colours = classes.by_colour(classes.of_checkpoint(painter.folder, opt))
    notes = Notes()
    if arguments.instance and opt.no_instance:
        print('--instance ignored: this model takes no instance maps (no_instance true)')
        jobs = [(label, None, photo, out) for label, _, photo, out in jobs]
    made_by = painted.made_by(opt, painter.folder)
    record, identity = record_of(made_by, arguments), painted.identity(made_by, painter.weights)
    if os.path.isdir(arguments.label):
        check_palettes([job[0] for job in jobs], SAVE_OTHERWISE, colours=colours)
        names = [os.path.basename(job[-1]) for job in jobs]
        with painted.claimed(out_folder(arguments), record, names, '--out', resume=True):
            left = [job for job in jobs if not is_current(job[-1], record, input_files(job, arguments), colours)]
            sizes = [paint(opt, painter, arguments, identity, record, colours, notes, *job)[1]
                     for job in counted(left, len(jobs), 'predict', done=len(jobs) - len(left))]
        skipped = f', {len(jobs) - len(left)} of them already painted' if len(left) < len(jobs) else ''
        print(f'{printable(out_folder(arguments))}: {len(jobs)} picture{"s" * (len(jobs) > 1)}{skipped}'
              f'{resized(opt, sizes)}')
    else:
        (height, width), size = paint(opt, painter, arguments, identity, record, colours, notes, *jobs[0])
        print(f'{printable(jobs[0][-1])}: {width} wide and {height} high{resized(opt, [size])}')
    for line in notes.lines():
        print(line)


def input_files(job, arguments):
    return *job[:-1], *(arguments.between or ())


def paint(opt, painter, arguments, identity, record, colours, notes, *job):
    """Write one picture, or a sheet of several styles; returns (height, width) of the picture and of the label map.

    One map at a time: batches change the last bits. colours: dict colour -> id, for label maps in colours; notes:
    collects what was done to the files; job: (label, instance, photo, out), paths.
    """
    label, instance, photo, out = job
    inputs = inputs_identity(record, input_files(job, arguments), colours)  # before reading: a later change shows
    arrays, size = prediction_inputs(opt, label, instance, photo, colours, notes)
    semantics = SemanticMap(arrays['label'][None], None if opt.no_instance else arrays['instance'][None], opt,
                            round_up=True)
    stem = os.path.splitext(os.path.basename(label))[0]
    wanted = wanted_styles(opt, painter, arguments, semantics.size, arrays.get('image'), stem)
    cells = [pictures.to_uint8(painter.paint(semantics, z=None if z is None else z[None]))[0] for z in wanted]
    columns = SHEET_COLUMNS if arguments.styles else len(cells)
    pixels = cells[0] if len(cells) == 1 else pictures.grid(cells, columns)
    pictures.save(pixels, out, identity, inputs=inputs)
    return pixels.shape[:2], size


def resized(opt, sizes):
    """Text on the label maps of `sizes`, (height, width), that were resized to the picture's size; '' if none."""
    others = sorted({size for size in sizes if size != opt.painted_size(size)},
                    key=lambda size: (size[0] * size[1], size))
    if not others:
        return ''
    height, width = opt.painted_size(others[0])
    shapes = [size for size in others if abs(size[1] * height / (size[0] * width) - 1) > 0.01]
    maps = ' to '.join(f'{wide} wide and {high} high' for high, wide in dict.fromkeys((others[0], others[-1])))
    number = sum(size in others for size in sizes)
    count = 'the label map was' if len(sizes) == 1 else f'{number} label map{"s were" if number > 1 else " was"}'
    wanted = '--size' if opt.size else 'the size of this model'
    return (f'; {count} {maps}, resized to {wanted}, {width} wide and {height} high'
            f'{", which distorts shapes" if shapes else ""}')


def wanted_styles(opt, painter, arguments, size, photo, stem):
    """list of z (*opt.z_shape(size)), one a picture; [None] if the generator reads none. stem: name of the map."""
    if not opt.reads_z:
        return [None]
    if arguments.style:
        return style_noise(opt, [stem], size)
    if arguments.between:
        ends = [styles.of_photo(painter, whole_picture({'image': load_photo(path)}, opt)['image'])
                for path in arguments.between]
        return [styles.between(*ends, step / (arguments.steps - 1)) for step in range(arguments.steps)]
    if photo is not None:
        return [styles.of_photo(painter, photo)]
    return [styles.of_seed(opt, opt.seed + number, size) for number in range(arguments.styles or 1)]


def styles_given(arguments):
    return [f'--{name}' for name in ('style', 'style_photo', 'styles', 'between') if getattr(arguments, name)]


def check_arguments(arguments):
    """InputError for flags that contradict each other and for missing files, before weights are read."""
    given = styles_given(arguments)
    if len(given) > 1:
        raise InputError(f'{" and ".join(given)}: each chooses the style; give only one')
    if arguments.styles is not None and arguments.styles < 1 or arguments.steps < 2:
        raise InputError(f'--styles {arguments.styles} --steps {arguments.steps}: at least 1 style and 2 steps')
    for option in ('label', 'style_photo', 'between'):
        given = getattr(arguments, option) or ()
        for path in [given] if isinstance(given, str) else given:
            if not os.path.exists(path):
                raise InputError(f'--{option} {path}: unreadable: no such file or folder: check the name')
    if arguments.steps != STEPS and not arguments.between:
        print('--steps ignored without --between')


def check_styles(opt, arguments):
    """InputError if style flags contradict the model."""
    given = styles_given(arguments)
    if given == ['--style']:
        if not opt.reads_z:
            print('--style ignored: this model paints one picture of a map (use_vae false, generator_input segmap)')
    elif given and not opt.use_vae and (given != ['--styles'] or not opt.reads_z):
        raise InputError(f'{given[0]}: this model has no style encoder (use_vae false); omit it')
    if arguments.style_photo or arguments.between:
        check_style(opt)


def single_job(arguments):
    """(label, instance, photo, out), paths."""
    stem = os.path.splitext(os.path.basename(arguments.label))[0]
    out = arguments.out or f'{stem}_painted{".png" if arguments.png else ".jpg"}'
    if os.path.splitext(out)[1].lower() not in ('.jpg', '.jpeg', '.png'):
        raise InputError(f'--out {out}: expected a name with ending .jpg or .png')
    if arguments.png and not out.lower().endswith('.png'):
        print(f'--png ignored: --out {out} names the format')
    inputs = [arguments.label, arguments.instance, arguments.style_photo]
    if any(path and os.path.exists(path) and os.path.exists(out) and os.path.samefile(path, out)
           for path in inputs + list(arguments.between or ())):
        raise InputError(f'--out {out}: would replace an input; choose another name')
    refuse_existing(out, is_marked)
    refuse_shipped(out, '--out')
    return (*inputs, out)


def command_line():
    parser = checkpoint_parser(__doc__, ['size'])
    parser.add_argument('--label', required=True, metavar='PATH',
                        help='label map, PNG of class ids, or a folder of them')
    parser.add_argument('--instance', metavar='PATH', default=None,
                        help='instance map, PNG, or a folder of them; components: the connected regions of each class; '
                        'needed unless no_instance is true')
    parser.add_argument('--style_photo', metavar='PATH', default=None,
                        help='photo with the style to use, or a folder with one for each label map; default: a random '
                        'style by --seed')
    parser.add_argument('--style', choices=('random',), default=None,
                        help='random: a style or noise of its own for each map, by --seed and its name, the same as '
                        'val.py --style random')
    parser.add_argument('--styles', type=int, metavar='N', default=None,
                        help='a sheet of N random styles, or of noise: seed, seed + 1, ...')
    parser.add_argument('--between', nargs=2, metavar=('A', 'B'), default=None,
                        help='a row of pictures, from the style of photo A to the style of photo B')
    parser.add_argument('--steps', type=int, metavar='N', default=STEPS, help=f'pictures of --between [{STEPS}]')
    parser.add_argument('--out', metavar='PATH', default=None,
                        help='picture to write, .jpg or .png, or folder for them [<label>_painted, .jpg]')
    parser.add_argument('--png', action='store_true', default=False,
                        help='lossless PNG, for a folder or without --out')
    return parser.parse_args()


if __name__ == '__main__':
    with shown_in_one_line('stopped: whole pictures remain; the same command paints the rest'):
        main()
