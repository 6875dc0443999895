"""README and docs: every command in them runs, tables that a command prints are those printed,
both languages are in step.
"""
import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from dataset.demo import scene
from dataset.palette import COCO_STUFF, palette
from model import help
from tests.annotated import annotate
from tests.forked import HANGS, REPOSITORY, Server, kill
from tests.runner import copy_tracked

PAGES = ['README.md', 'README_cn.md', 'CONTRIBUTING.md', 'output/README.md', 'pretrained/aerial/README.md',
         'result/README.md', 'vgg/README.md',
         *sorted(f'docs/{path.name}' for path in (REPOSITORY / 'docs').glob('*.md'))]

# Flags that make a command short. What a run shares with another that goes on from it, or draws with it,
# stays the same.
TINY = '--ngf 4 --ndf 4 --max_dataset_size 2'
DEMO = f'{TINY} --niter 1 --niter_decay 0 --save_epoch_freq 1'
SMALL = f'{TINY} --niter 1 --dataroot dataset/demo --crop_size 32 --load_size 36 --no_vgg_loss true'
OWN = f'{TINY} --niter 1 --crop_size 32 --load_size 36 --label_nc {len(COCO_STUFF)} --use_vae false'
FOUR = '--max_dataset_size 4'   # samples: for a batch of them, or all that a set has for validation

# command -> flags added to it. Each list runs in its order, the two side by side,
# on the demo and the stand-ins of `folder`.
DEMO_RUN = {
    'python train.py': DEMO,
    'python predict.py --label dataset/demo/val_label/scene_00000.png --instance dataset/demo/val_inst/scene_00000.png '
    '--out picture.png': '',
    'python train.py --niter 100': f'{TINY} --niter 2 --niter_decay 0 --save_epoch_freq 1',
    # Its own 600 scenes would take 20 seconds: tests/dataset/test_demo.py makes some.
    'python train.py --preset demo_long': f'{TINY} --niter 1 --niter_decay 0 --dataroot dataset/demo --output '
    'runs/long --log runs/long/log',
    'python train.py --output runs/a --log runs/a/log': f'{SMALL} --use_vae true',
    'python train.py --nThreads 4': f'{SMALL} --output runs/threads --log runs/threads/log',
    'python train.py --restart': f'{SMALL} --output runs/threads --log runs/threads/log',
    'OMP_NUM_THREADS=2 python train.py': f'{SMALL} --output runs/omp --log runs/omp/log',
    'python train.py --preset coco_stuff_paper --batchSize 4': f'{SMALL} {FOUR} --output runs/paper --log '
    'runs/paper/log', 'python train.py --preset coco_stuff_paper': f'{SMALL} --batchSize 2 --output runs/paper2 --log '
    'runs/paper2/log', 'python train.py --preset ade20k_paper --output runs/ade20k --log runs/ade20k/log':
        f'{SMALL} --batchSize 2 --niter_decay 0 --label_nc 182',
    'python train.py --preset ade20k_outdoor_paper --output runs/outdoor --log runs/outdoor/log':
        f'{SMALL} --batchSize 2 --niter_decay 0 --label_nc 182',
    'python train.py --preset cityscapes_paper --output runs/cityscapes --log runs/cityscapes/log':
        f'{SMALL} --batchSize 2 --niter_decay 0 --label_nc 182 --contain_dontcare_label true --crop_size 128',
    'python train.py --preset table3_decoder_concat --output runs/concat --log runs/concat/log':
        f'{SMALL} --batchSize 2',
    'python train.py --ema_decay 0.999': f'{SMALL} --output runs/averaged --log runs/averaged/log',
    'python train.py --visualdl runs/seen/a': f'{SMALL} --output runs/seen/output --log runs/seen/log',
    'python -m log.plot': '',
    'python -m log.plot --log runs/a/log': '',
    'python -m log.plot --log docs/camvid': '',
    'python -m log.plot --compare runs/a/log runs/b/log': '--compare runs/a/log log',
    'python -m log.page --output runs/a --log runs/a/log': '',
    """python -c "import numpy; print(numpy.load('log/log.npy').shape)\"""": '',
    'python val.py': '',
    'python val.py --lastoutput runs/a --png': '',
    'python val.py --which_epoch 10': '--which_epoch 1',
    'python val.py --lastoutput output/best': '--lastoutput output/epoch_1',
    'python val.py --style random --results painted/': '--lastoutput runs/a',
    'python predict.py --label label.png --instance inst.png --out picture.png': '',
    'python predict.py --label label.png --instance inst.png --style_photo sunset.jpg --out sunset.png': '--lastoutput '
    'runs/a', 'python predict.py --label maps/ --instance insts/ --style_photo photos/ --out painted/': '--lastoutput '
    'runs/a', 'python predict.py --label maps/ --instance insts/ --style random --out drawn/': '--lastoutput '
    'runs/a', 'python predict.py --label label.png --instance inst.png --styles 8 --out styles.jpg': '--lastoutput '
    'runs/a', 'python predict.py --label maps/ --instance insts/ --out painted/ --png': '--lastoutput runs/a --out '
    'painted_png/', 'python predict.py --label maps/ --instance insts/ --style_photo photos/': '--lastoutput runs/a '
    '--out painted_photos/', 'python predict.py --label map.png --instance inst.png --styles 8': '--lastoutput runs/a',
    'python predict.py --label map.png --instance inst.png --between a.jpg b.jpg --steps 7': '--lastoutput runs/a '
    '--out a_to_b.jpg', 'python predict.py --label label.png --instance inst.png --between sunset.jpg rain.jpg --steps '
    '7 --out between.jpg':
        '--lastoutput runs/a',
    'python predict.py --label maps/ --instance insts/ --size map --out whole/': '',
    'python -m dataset.check': '--dataroot dataset/demo',
    'python -m model.convert export nvlabs output/ checkpoints/mine': '',
    'cp -r checkpoints/mine checkpoints/coco_pretrained': '',   # a stand-in for the download
    'python -m model.convert nvlabs checkpoints/coco_pretrained converted/coco': '--crop_size 64',
    'python val.py --lastoutput converted/coco --results converted/coco_val': '--dataroot dataset/demo '
    '--max_dataset_size 2', 'python train.py --preset coco_stuff_paper --init_from converted/coco':
        f'{SMALL} --crop_size 64 --load_size 72 --batchSize 2 --output runs/init --log runs/init/log',
    'python -m model.export onnx --lastoutput output/ --out spade.onnx --describe': '',
    'python -m model.export onnx --out spade.onnx': '--force',
    'python -m model.export paddle --lastoutput output/ --out spade_inference/': '',
    'python -m model.export onnx --lastoutput pretrained/aerial --size 512x384 --out aerial.onnx': '--size 64x32',
    'python -m model.export weights --lastoutput output/ --out spade_weights/ --half': '',
    'python -m model.export check spade.onnx --lastoutput output/': '',
    'python -m model.export describe spade.onnx': '',
    'python -m paddle.distributed.launch train.py --preset coco_stuff_paper --batchSize 4':
        f'{SMALL} --batchSize 2 --restart --output runs/launch',     # launch takes --log for one of its own
}
BESIDE_IT = {
    'python predict.py --lastoutput pretrained/aerial --label pretrained/aerial/val_label --out aerial_painted/': '',
    'python val.py --lastoutput pretrained/aerial': '--results runs/aerial_val --max_dataset_size 1',
    'python -m dataset.prepare folder --images photos --labels maps --output mine': '',
    'python -m dataset.prepare folder --images photos --labels maps --colours table.txt --instances components '
    '--output coloured':
        '--labels colours',
    'python -m dataset.prepare folder --images photos --labels maps --colours table.txt --output coloured':
        '--labels colours --output coloured_too',
    'python -m dataset.prepare folder --images photos --labels maps --tiles 256 --output tiles': '--tiles 32',
    'python -m dataset.colours colours': '',
    'python train.py --dataroot mine --crop_size 128 --ngf 16 --ndf 16 --use_vae false':
        f'{OWN} --output runs/small --log runs/small/log',
    'python -m dataset.check --dataroot mine --label_nc 12 --no_instance true': f'--label_nc {len(COCO_STUFF)}',
    'python train.py --dataroot mine --output runs/mine --log runs/mine/log': f'{TINY} --niter 1 --crop_size 32 '
    '--load_size 36', 'python train.py --dataroot mine --label_nc 12 --no_instance true --output runs/mine --log '
    'runs/mine/log':
        f'{OWN} --output runs/flags --log runs/flags/log',
    'python val.py --lastoutput runs/mine --results runs/mine/val --png': '',
    'python train.py --dataroot mine --output runs/wide --log runs/wide/log --crop_size 128 '
    '--aspect_ratio 1.3333 --preprocess_mode scale_width_and_crop --load_size 144 --ngf 16 --ndf 16 --use_vae false':
        f'{TINY} --niter 1 --label_nc {len(COCO_STUFF)}',
    'python val.py --lastoutput runs/wide --results runs/wide/val': '',
    'python -m dataset.classes dataset/coco_stuff/val_label/000000000139.png': '',
    'python -m dataset.prepare demo --output scenes': '--train 4 --val 1 --height 64 --width 64',
    'python train.py --help': '',
    'python -m model.help': '', 'python -m model.help --tables': '',
    'python -m dataset.prepare folder --images photos --labels maps --names names.txt --void 11 --output mine':
        '--output named --val 0.3',
    'python -m result.train_segmenter --dataroot mine --size 128x96': '--dataroot named --size 32x32 --epochs 1',
    'python train.py --dataroot mine --crop_size 128 --score_epoch_freq 10':
        f'{OWN} {FOUR} --dataroot named --score_epoch_freq 1 --output runs/scored --log runs/scored/log',
    'python val.py --score': '--lastoutput runs/scored --results runs/scored/val --scores runs/scored/scores.jsonl',
    'python -m result.evaluate --dataset own --dataroot mine --pictures output_val/pics':
        '--dataroot named --pictures runs/scored/val/pics --size 32x32',
    'python -m result.sheet --dataset own --dataroot mine --pictures output_val/pics':
        '--dataroot named --pictures runs/scored/val/pics --size 32x32',
    'python -m result.compare --a ours --b theirs --labels maps': '--a runs/scored/val/pics --b runs/scored/val/pics '
    '--labels named/val_label',
    'python -m tests.scaling': '--steps 0',
    'python -m tests.device_cost': '--crop_size 32 --ngf 4 --batches 1 --paths dense',
    'python -m paddle.distributed.launch --nproc_per_node 2 --backend gloo -- train.py --log logs':
        f'{SMALL} {FOUR} --dataroot scenes --batchSize 2 --output runs/gloo',
    'python -m paddle.distributed.launch val.py': '--lastoutput runs/gloo --results runs/gloo/val',
}
OWN_RUN = f'{TINY} --niter 1 --crop_size 32 --load_size 36 --output runs/own --log runs/own/log'
OWN_TRAINING = ('python train.py --dataroot own --crop_size 128 --load_size 144 --use_vae false --ema_decay 0.999 '
                '--output runs/own --log runs/own/log')
OWN_DATA = {     # docs/own_data.md
    'python -m dataset.prepare labelme --annotations labelme --output own': '',
    'python -m dataset.prepare labelme --annotations labelme --output shapes': '',
    'python -m dataset.prepare coco_json --annotations instances.json --images photos --output own':
        '--images labelme --output own_coco',
    'python -m dataset.prepare coco_json --annotations instances.json --images photos --output regions':
        '--images labelme',
    'python -m dataset.prepare pairs --pictures pix2pix --colours pairs.txt --output own': '--output own_pairs',
    'python -m dataset.prepare pairs --pictures pix2pix --colours table.txt --output halves': '--colours pairs.txt',
    'python -m dataset.prepare folder --images photos --labels colours --colours table.txt --tiles 128 --output own':
        '--tiles 64 --output own_tiles',
    'python -m dataset.colours pix2pix --half right': '',
    'python -m result.train_segmenter --dataroot own --size 128x128': '--size 32x32 --epochs 1',
    OWN_TRAINING: OWN_RUN,
    f'{OWN_TRAINING} --init_from runs/other --init_classes counterparts.txt':
        f'{OWN_RUN} --init_from runs/own --output runs/own_from --log runs/own_from/log',
    'python val.py --lastoutput runs/own --results runs/own/val --score': '',
    'python -m result.sheet --dataset own --dataroot own --pictures runs/own/val/pics --nearest': '',
    'python -m dataset.vary --dataroot own --count 500 --output own_maps/': '--count 4',
    'python predict.py --lastoutput runs/own --label own_maps/ --instance own_maps/inst --out own_painted/': '',
    'python -m result.train_segmenter --dataroot own --size 128x128 --add own_painted/ --add_labels own_maps/':
        '--size 32x32 --epochs 1 --seeds 2',
}
RUN = {**DEMO_RUN, **BESIDE_IT, **OWN_DATA}
STAND_INS = ['cp -r checkpoints/mine checkpoints/coco_pretrained']

NOT_RUN = {
    'downloads from a package index': [
        'pip install -r requirements.txt', 'pip install -r requirements-cpu.txt',
        'pip install -r paint/requirements.txt', 'pip install -r requirements.txt -r tests/requirements.txt',
        'pip install -r requirements-cpu.txt -r tests/requirements.txt',
        'pip install -r model/export/requirements.txt', 'pip install visualdl==2.5.3', 'pip uninstall -y paddlepaddle',
        'pip install paddlepaddle-gpu==3.2.0 -i https://www.paddlepaddle.org.cn/packages/stable/cu126/',
        'python3 -m venv .venv', 'source .venv/bin/activate', 'pip install pre-commit', 'pre-commit install'],
    'downloads data': [
        'mkdir -p archives', 'cd archives', 'cd ..',
        'curl -LO http://images.cocodataset.org/zips/train2017.zip',
        'curl -LO http://images.cocodataset.org/zips/val2017.zip',
        'curl -LO http://images.cocodataset.org/annotations/annotations_trainval2017.zip',
        'curl -LO http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/stuffthingmaps_trainval2017.zip'],
    'needs archives that are downloads: tests/dataset/test_prepare_coco.py and test_prepare_folders.py run it on '
    'imitations': [
        'python -m dataset.prepare coco_stuff --archives archives', 'python -m dataset.prepare ade20k',
        'python -m dataset.prepare ade20k_outdoor', 'python -m dataset.prepare cityscapes'],
    'needs weights that are downloads: tests/model/test_convert_*.py, test_vgg19.py and test_weights.py convert '
    'imitations': [
        'tar xf checkpoints.tar.gz', 'python -m vgg.fetch',
        'python -m model.convert vgg19 vgg19-dcbb9e9d.pth vgg/vgg19pretrain.pdparams',
        'python -m model.convert vgg19 vgg19.pdparams vgg/vgg19pretrain.pdparams',
        'python -m model.convert vgg19 vgg19pretrain.pdparams vgg/vgg19pretrain.pdparams',
        'python -m model.convert ctkindle THEIR_OUTPUT/model converted/ctkindle',
        'python val.py --lastoutput THEIR_OUTPUT',
        'python -m model.convert deeplab deeplabv2_resnet101_msc-cocostuff164k-100000.pth '
        'result/deeplabv2_cocostuff.pdparams',
        'python -m model.convert upernet encoder_epoch_50.pth decoder_epoch_50.pth result/upernet_ade20k.pdparams',
        'python -m model.convert drn drn-d-105_ms_cityscapes.pth result/drn_d_105_cityscapes.pdparams',
        'python -m model.convert inception pt_inception-2015-12-05-6726825d.pth result/inception_fid.pdparams'],
    'needs scoring networks that are downloads: tests/result/test_evaluate.py runs it with seeded ones': [
        'python val.py --results output/val --score',
        'python val.py --lastoutput runs/ade20k --results runs/ade20k/val --score',
        'python val.py --lastoutput runs/outdoor --results runs/outdoor/val --score',
        'python val.py --lastoutput runs/cityscapes --results runs/cityscapes/val --score',
        'python train.py --score_epoch_freq 10 --score_by mean_iou',
        'python -m result.evaluate --pictures output_val/pics --dataset coco_stuff',
        'python -m result.evaluate --pictures ours --reference theirs --dataset cityscapes --protocol full_size',
        'python -m result.evaluate --pictures ours --dataset coco_stuff --dataroot FOLDER --batch 1',
        'python -m result.evaluate --pictures runs/wide/val/pics --dataset coco_stuff --dataroot mine --size 128x96 '
        '--no_segmentation',
        'python -m result.sheet --pictures ours --reference theirs --dataset coco_stuff'],
    'needs the photographs; tests/model/test_export_weights.py runs these on a folder like pretrained/aerial': [
        'python train.py --dataroot DUBAI --preprocess_mode crop --crop_size 128 --generator_input segmap_noise '
        '--z_dim 64 --ngf 16 --ndf 24 --batchSize 2 --lr 0.0004 --beta2 0.99 --ema_decay 0.999 --niter 60 '
        '--output runs/aerial',
        'python -m model.export paddle --lastoutput pretrained/aerial --size 512x384 --out aerial_inference/',
        'python train.py --dataroot mine --no_instance true --ngf 16 --generator_input segmap_noise --z_dim 64 '
        '--crop_size 128 --preprocess_mode crop --init_from pretrained/aerial',
        'python -m model.export weights --half --lastoutput runs/aerial --dataroot pretrained/aerial --size map --out '
        'pretrained/aerial --force'],
    'needs the photographs, and hours: tests/result/test_own_score.py runs the like on a small set': [
        'python -m dataset.prepare folder --images photos --labels masks --val_images val_photos --val_labels '
        'val_masks --colours colours.txt --tiles 256 --output dubai',
        'python -m result.train_segmenter --dataroot dubai --size 128x128 --native --epochs 18',
        'python val.py --lastoutput pretrained/aerial --dataroot dubai --results aerial_val/ --score',
        'python val.py --lastoutput pretrained/aerial --dataroot dubai --size "" --results aerial_windows/ --score',
        'python -m result.sheet --dataset own --dataroot dubai --pictures aerial_val/pics --size 256x256 --nearest',
        'python val.py --lastoutput pretrained/aerial --dataroot kept --results kept_val/ --score --dataset own '
        '--scoring dubai/segmenter',
        'python train.py --dataroot dubai --preprocess_mode crop --crop_size 128 --generator_input segmap_noise '
        '--z_dim 64 --ngf 16 --ndf 24 --batchSize 2 --lr 0.0004 --beta2 0.99 --ema_decay 0.999 --niter 30 '
        '--niter_decay 8 --save_epoch_freq 5 --output runs/aerial',
        'python val.py --lastoutput runs/aerial --which_epoch 25 --size map --score',
        'python train.py --dataroot dubai --preprocess_mode crop --crop_size 64 --generator_input segmap --use_vae '
        'false --z_dim 64 --ngf 16 --ndf 24 --batchSize 4 --lr 0.0004 --beta2 0.99 --ema_decay 0.99 --niter 3 '
        '--output runs/segmap',
        'python train.py --dataroot dubai --preprocess_mode crop --crop_size 64 --generator_input segmap_noise '
        '--z_dim 64 --ngf 16 --ndf 24 --batchSize 4 --lr 0.0004 --beta2 0.99 --ema_decay 0.99 --niter 3 '
        '--output runs/segmap_noise',
        'python val.py --lastoutput runs/segmap --results runs/segmap/val --score',
        'python predict.py --lastoutput pretrained/aerial --label large_maps/ --out large/',
        'python val.py --lastoutput runs/segmap --size map --results runs/segmap/whole --score'],
    'needs a GPU; the training without --nThreads is run': [
        'python -m tests.device_check', 'python -m tests.benchmark --device gpu',
        'python -m paddle.distributed.launch train.py --preset coco_stuff_paper --batchSize 4 --nThreads 4'],
    'needs two machines: tests/runtime/test_distributed.py starts two on one': [
        'python -m paddle.distributed.launch --nnodes 2 --master HOST:PORT train.py ...'],
    'serves until it is stopped, and needs paint/requirements.txt: the tests of paint/': [
        'python -m paint', 'python -m paint --lastoutput converted/coco', 'python -m paint --help'],
    'serves until it is stopped; tests/log/test_dashboard.py reads what it shows': ['visualdl --logdir runs/seen'],
    'write to docs/; tests/test_tour.py runs the notebook': [
        'python -m tests.tour', 'python -m tests.paint_screenshot'],
    'takes many minutes; tests/model/test_alignment.py measures the same': ['python -m tests.alignment'],
    'takes many minutes': [
        'python -m tests.benchmark', 'SPADE_COCO_SAMPLE=FOLDER python -m tests.benchmark',
        'SPADE_COCO_SAMPLE=FOLDER python -m tests.benchmark --size demo',
        'SPADE_COCO_SAMPLE=FOLDER python -m tests.benchmark --size small',
        'python -m tests.benchmark --export',
        'python -m tests.benchmark_sizes', 'python -m tests.benchmark_sizes --lastoutput pretrained/aerial',
        'python -m tests.benchmark_sizes --plain --sides 256 512',
        'python -m tests.benchmark --paint', 'SPADE_COCO_SAMPLE=FOLDER python -m tests.benchmark --export',
        'SPADE_COCO_SAMPLE=FOLDER python -m tests.benchmark --export --lastoutput output/', '.ci/run'],
    'needs CamVid, and minutes a seed: tests/model/test_alignment_training.py runs a small one': [
        'python -m tests.alignment --training --dataroot CAMVID --plot docs/alignment_training.png'],
    'needs CamVid, and hours: tests/result/test_segmenter.py does the same where SPADE_CAMVID names it': [
        'python -m dataset.prepare folder --images train_img --labels train_label --val_images val_img --val_labels '
        'val_label --void 11 --names names.txt --output camvid',
        'python -m result.train_segmenter --dataroot camvid --size 128x96 --epochs 30',
        'python train.py --dataroot camvid --label_nc 11 --no_instance true --crop_size 128 --aspect_ratio '
        '1.3333333333333333 --preprocess_mode scale_width_and_crop --load_size 142 --use_vae false --ngf 16 --ndf 32 '
        '--batchSize 2 --lr 0.0004 --niter 12 --niter_decay 6 --ema_decay 0.998 --save_epoch_freq 3 --score_epoch_freq '
        '3 --output runs/camvid --log runs/camvid/log',
        'python val.py --lastoutput runs/camvid --which_epoch 15 --score',
        'python val.py --lastoutput runs/camvid --which_epoch 15 --weights last --score'],
    "needs people's choices: tests/result/test_compare.py makes them": [
        'python -m result.compare --count choices_*.csv'],
    'a stage of .ci/run': ['ruff check'],
    'runs the tests': ['python -m pytest', 'python -m pytest --thorough',
                       'python -m pytest tests/result/test_scores.py -k counts'],
}

PROGRAMS = r'(?:[A-Z_]+=\S+ )?(?:python3?|pip|curl|tar|mkdir|cd|source|git|bash|ruff|\.ci/run)(?: |$)'


def code_and_text(page):
    """([commands of the code blocks], text without them): indented blocks, and fences of sh;
    other fences hold no commands.
    """
    code, text, fence, indented, before = [], [], None, False, ''
    for number, line in enumerate((REPOSITORY / page).read_text().splitlines(), 1):
        mark = re.fullmatch(r'\s*```(\w*)', line)
        if mark:
            assert fence is not None or mark[1], f'{page}:{number}: say what language this block is in'
            fence = mark[1] if fence is None else None
            continue
        indented = fence is None and line.startswith('    ') and (indented or not before.strip())
        before = line
        if fence == 'sh' or indented:
            code.append(re.sub(r'\s+#\s.*', '', line))
        elif fence is None:
            text.append(line)
    lines = re.sub(r'\\\n\s*', '', '\n'.join(code)).splitlines()
    return [command.strip() for line in lines for command in line.split(' && ') if command.strip()], '\n'.join(text)


def commands_of(page):
    """All commands of a page, those inside its sentences too; there the beginning of a known one is its name."""
    commands, text = code_and_text(page)
    inline = [' '.join(code.split()) for code in re.findall(r'`([^`]+)`', text) if re.match(PROGRAMS, code)]
    known = [*RUN, *(command for commands in NOT_RUN.values() for command in commands)]
    return commands + [code for code in inline
                       if code in known or not any(command.startswith(code) for command in known)]


# ---- The commands

def test_every_command_is_run_or_is_an_exception():
    found = {command: page for page in PAGES for command in commands_of(page)}
    excepted = [command for commands in NOT_RUN.values() for command in commands]
    known = [*(command for command in RUN if command not in STAND_INS), *excepted]
    assert len(known) == len(set(known))
    unknown = {command: page for command, page in found.items() if command not in known}
    assert not unknown, f'new commands: run them, with short flags (RUN), or say why not (NOT_RUN): {unknown}'
    assert not set(known) - set(found), f'in no page any more: {set(known) - set(found)}'


@pytest.fixture
def folder(tmp_path):
    """A fresh copy of the tracked files, and what the commands take for granted: photos and maps of one's own."""
    folder = tmp_path / 'spade'
    copy_tracked(folder)
    for name in ('photos', 'maps', 'insts', 'colours', 'dataset/coco_stuff/val_label'):
        (folder / name).mkdir(parents=True)
    colours = palette(len(COCO_STUFF))
    for number in range(10):
        photo, label, instance = scene(number, 64, 64)
        Image.fromarray(photo).save(folder / 'photos' / f'{number}.jpg')
        Image.fromarray(label).save(folder / 'maps' / f'{number}.png')
        Image.fromarray(instance).save(folder / 'insts' / f'{number}.png')
        coloured = np.vstack([colours, np.zeros((256 - len(colours), 3), np.uint8)])[label]
        Image.fromarray(coloured).save(folder / 'colours' / f'{number}.png')
    for name in ('sunset.jpg', 'rain.jpg', 'a.jpg', 'b.jpg'):
        shutil.copy(folder / 'photos' / '0.jpg', folder / name)
    for name in ('label.png', 'map.png', 'dataset/coco_stuff/val_label/000000000139.png'):
        Image.fromarray(label).save(folder / name)
    Image.fromarray(instance).save(folder / 'inst.png')
    rows = [f'{index} {red} {green} {blue} {name}'
            for index, ((red, green, blue), name) in enumerate(zip(colours, COCO_STUFF))]
    (folder / 'names.txt').write_text('\n'.join(COCO_STUFF))
    (folder / 'table.txt').write_text('\n'.join([*rows, '255 0 0 0 unlabelled']))
    annotate(folder)
    return folder


def run(commands, folder):
    """dict: command -> (exit status, what it printed)."""
    # One thread: at this size two would only wait for each other.
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'TQDM_DISABLE': '1', 'MPLBACKEND': 'Agg'}
    server = Server({**environment, 'IMPORTED_TOO': 'log.page'}, folder) if Server.possible else None
    results = {}
    for number, (command, flags) in enumerate(commands.items()):
        words, said = [*shlex.split(command), *shlex.split(flags)], folder.parent / f'{id(commands)}_{number}'
        # What is no script or module begins as a user begins it.
        if server is None or words[0] != 'python' or words[1] == '-c':
            words = [sys.executable if word == 'python' else word for word in words]
            with open(said, 'w') as file:
                status = subprocess.run(['env', *words], cwd=folder, env=environment, stdout=file, stderr=file,
                                        timeout=HANGS).returncode
        else:
            process = server.start(words[1:], said, said)
            try:
                status = process.wait(HANGS)
            except subprocess.TimeoutExpired:
                kill(process)
                raise
        results[command] = status, said.read_text()
    if server:
        server.close()
    return results


@pytest.mark.thorough
def test_the_commands_run(folder):
    """All of them, in one test, since they share data and runs."""
    with ThreadPoolExecutor() as threads:
        results = {command: result for part in threads.map(run, (DEMO_RUN, BESIDE_IT, OWN_DATA), 3 * [folder])
                   for command, result in part.items()}
    failed = [f'{command} {RUN[command]}\n{said[-2000:]}' for command, (status, said) in results.items() if status]
    assert not failed, '\n\n'.join(failed)
    said = {command: said for command, (_, said) in results.items()}

    assert 'training is already complete' not in ''.join(said.values())
    for path in ('output/pics', 'output_val/pics', 'painted/pics', 'log/log.png', 'picture.png', 'sunset.png',
                 'mine/sheet.jpg',
                 'coloured/train_inst', 'checkpoints/mine/latest_net_G.pth', 'converted/coco_val/pics', 'spade.onnx',
                 'spade_inference', 'own_painted/00003.jpg', 'own_maps/sheet/sheet.jpg',
                 'runs/gloo/model/n_g.pdparams'):
        assert (folder / path).exists(), path
    page = (REPOSITORY / 'docs' / 'gpu.md').read_text()
    missing = [line for line in said['python -m tests.scaling'].splitlines()
               if line.startswith('|') and line not in page]
    assert not missing, f'docs/gpu.md: put in what python -m tests.scaling prints: {missing}'


# ---- Tables that a command prints

def test_tables_of_options_and_presets():
    page = (REPOSITORY / 'docs' / 'training.md').read_text()
    assert help.options() in page and \
        help.presets() in page, 'docs/training.md: put in what python -m model.help prints'


# ---- Two languages

def test_the_chinese_readme_is_in_step():
    """The same commands, links, figures and number of headings, in the same order."""
    english, chinese = (code_and_text(page)[1] for page in ('README.md', 'README_cn.md'))
    assert commands_of('README.md') == commands_of('README_cn.md')
    for pattern in (r'\]\((?!README)([^)]+)\)', r'^(#+) ', r'^\| .*?\d.*', r'\*\*'):
        ours, theirs = (re.findall(pattern, text, re.M) for text in (english, chinese))
        if pattern.startswith(r'^\|'):
            ours, theirs = ([sorted(re.findall(r'\d+(?:\.\d+)?', row)) for row in rows] for rows in (ours, theirs))
        assert ours == theirs
