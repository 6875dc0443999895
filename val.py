"""Paint the validation set with a trained model: python val.py [--lastoutput output/] -> output_val/pics/<name>.jpg"""
import os

from runtime import device  # first: sets the threads, then imports Paddle

# isort: split

from dataset.contents import labels_identity
from dataset.files import find_samples
from log import plan, score_log
from model.init import OPT
from model.painter import checkpoint_parser, load_painter
from output import painted
from output.draw import draw
from result import matching
from result.evaluate import MIDDLE, Evaluation, Settings, add_settings, chosen
from runtime import distributed
from runtime.errors import InputError, printable, shown_in_one_line


def main():
    distributed.only_rank_0_prints()
    arguments = command_line()
    device.use_best_device()
    with distributed.joined(OPT().update(arguments).watch_port):
        validate(arguments)


def validate(arguments):
    """Paint the validation set, each rank its share; with --score, rank 0 scores it."""
    if arguments.score:
        score_log.read(arguments.scores)    # refuses bad input before hours of painting
    opt, painter = load_painter(arguments)
    style = arguments.style or ('random' if arguments.score or not opt.use_vae else 'photo') if opt.reads_z else None
    if style == 'photo' and not opt.use_vae:
        raise InputError(f'--style photo: this model has no style encoder (generator_input {opt.generator_input}): '
                         'omit it')
    samples = find_samples(opt, 'val', photos=False)
    plan.print_scales(opt, samples)
    folder, evaluation = os.path.join(arguments.results, 'pics'), None
    if arguments.score:
        evaluation = Evaluation(Settings.of(opt, **chosen(arguments)))
        if not arguments.allow_missing:
            matching.refuse_extra(folder, samples)
    endings = ['.jpg'] + ['.png'] * (arguments.png or arguments.score)
    made_by = painted.made_by(opt, painter.folder)
    record = {'painter': painted.identity(made_by, painter.weights), 'generator': painter.weights, **made_by,
              'style': style, 'dataroot': opt.dataroot, 'labels': labels_identity(samples)}
    if opt.shows_middle:
        record['region'] = MIDDLE
    count = draw(opt, painter, folder, endings, style, opt.batchSize, distributed.rank(), distributed.ranks(), record)
    if count == opt.max_dataset_size and (more := samples_without_limit(opt)) > count:
        print(f'only the first {count} of {more} validation samples by name (max_dataset_size {count}, given here '
              f'or for the training): --max_dataset_size {more} takes all')
    print(f'{count} picture{"s" * (count > 1)} in {printable(folder)}' + (
        ', with averaged weights (--weights last uses the last step\'s)' if painter.weights == 'averaged' else ''))
    if evaluation and distributed.is_main():
        score = evaluation.score(folder, {'photo': 'photo (reconstruction)'}.get(style, style or 'none'),
                                 weights=painter.weights, checkpoint=painter.folder)
        score_log.append_score(arguments.scores, score)
        print(score_log.table([score], evaluation.dataset.names))
    distributed.barrier()


def samples_without_limit(opt):
    """How many validation samples the set has."""
    whole = OPT(**{**opt.as_dict(), 'max_dataset_size': OPT().max_dataset_size})
    return len(find_samples(whole, 'val', photos=False))


def command_line():
    parser = checkpoint_parser(__doc__, ['size', 'dataroot', 'nThreads', 'max_dataset_size', 'scoring', 'dataset'])
    parser.add_argument('--batchSize', metavar='INT', default='1', help='pictures in one forward pass of a process [1]')
    parser.add_argument('--watch_port', metavar='INT', default='0', help=f'{OPT.watch_port.help} [0]')
    parser.add_argument('--style', choices=('photo', 'random'), default=None,
                        help='with a style encoder: of the photo, or random, seeded [photo; with --score random]')
    parser.add_argument('--png', action='store_true', default=False, help='write lossless PNG files too')
    parser.add_argument('--results', metavar='DIR', default='output_val/', help='folder for the pictures [output_val/]')
    parser.add_argument('--score', action='store_true', default=False,
                        help='score the pictures, written as PNG too, like python -m result.evaluate')
    of_scores = parser.add_argument_group('with --score')
    add_settings(of_scores)
    arguments = parser.parse_args()
    given = [f'--{name}' for name in ('scoring', 'dataset') if name in arguments]
    given += [flag.option_strings[0] for flag in of_scores._group_actions
              if getattr(arguments, flag.dest, flag.default) != flag.default]
    if given and not arguments.score:
        print(f'{", ".join(given)} ignored without --score')
    return arguments


if __name__ == '__main__':
    with shown_in_one_line('stopped: the same command paints the set again'):
        main()
