"""How long the page's answer takes: python -m tests.benchmark --paint.

A server process as python -m paint starts it, and strokes on generated scenes as the page sends them: random weights,
for which every second is the same. After each answer this process paints the same map with windows found beforehand:
the generator's forward. What an answer takes beyond it is the overhead: the request (the answer less what the server
says it painted), windows and rounding, each timed apart, since a forward varies by more than all of them. Ends in one
line of JSON.
"""
import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from dataset.scenes.scene import scene
from model.generator import SPADEGenerator
from model.init import OPT, UPSAMPLINGS
from model.painter import load_painter
from model.semantics import SemanticMap
from model.weights import as_arrays, write_model
from output import pictures
from tests.painting import served

STROKES, PAGES = 30, 4
MODELS = {'256x256, ngf 64': dict(use_vae=False), 'demo model': None}


def strokes(opt, count, seed=0):
    """`count` pairs (label, instance) int32 (H, W): a scene on which a brush goes on drawing."""
    height, width = opt.picture_size
    _, label, instance = scene(seed, height, width)
    label, instance = np.where(label == 255, opt.label_nc, label).astype(np.int32), instance.astype(np.int32)
    rng, (rows, columns) = np.random.default_rng(seed), np.mgrid[:height, :width]
    for _ in range(count):
        (y0, x0), (y1, x1), index = rng.uniform(0, height, 2), rng.uniform(0, width, 2), rng.integers(0, opt.label_nc)
        for share in np.linspace(0, 1, 20):
            inside = np.hypot(rows - y0 - share * (y1 - y0), columns - x0 - share * (x1 - x0)) < height / 20
            label[inside], instance[inside] = index, index
        yield label.copy(), instance.copy()


def seconds(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def windows_of(label, instance, opt):
    """SemanticMap of one map with the windows that the generator reads."""
    semantics, (height, width) = SemanticMap(label[None], instance[None], opt), opt.latent_size
    for doubling in range(UPSAMPLINGS[opt.num_upsampling_layers] + 1):
        semantics.double_windows((height << doubling, width << doubling), opt.generator_norm.kernel_size)
    return semantics


def measured(folder, opt):
    """dict of medians and worst values, in seconds, of the model in folder/output."""
    own, painter = load_painter(argparse.Namespace(lastoutput=str(folder / 'output'), which_epoch=None, weights=None))
    answers, forwards, overheads = [], [], []
    with served(folder) as server:
        for number, (label, instance) in enumerate(strokes(opt, STROKES + 1)):
            answers.append(seconds(lambda: server.painted(label, instance, number=number)))
            found = []
            windows = seconds(lambda: found.append(windows_of(label, instance, own)))
            forwards.append(seconds(lambda: found.append(painter.paint(found[0]).numpy())))
            overheads.append(answers[-1] - server.seconds + windows + seconds(lambda: pictures.to_uint8(found[1])))
        waits = [[] for _ in range(PAGES)]

        def page(n):
            for number, (label, instance) in enumerate(strokes(opt, STROKES // 5, seed=n)):
                waits[n].append(seconds(lambda: server.painted(label, instance, page=f'page {n}', number=number)))
        threads = [threading.Thread(target=page, args=(n,)) for n in range(PAGES)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    answers, forwards, overheads = answers[1:], forwards[1:], overheads[1:]     # the first fills caches
    together = [wait for one in waits for wait in one]
    return {'forward_s': statistics.median(forwards), 'answer_s': statistics.median(answers),
            'answer_worst_s': max(answers),
            'overhead_s': statistics.median(overheads), 'overhead_worst_s': max(overheads),
            'four_pages_s': statistics.median(together), 'four_pages_worst_s': max(together),
            'four_pages_slowest_to_fastest': max(map(statistics.median, waits)) / min(map(statistics.median, waits))}


def main():
    results = {}
    for title, options in MODELS.items():
        opt = OPT.preset('demo') if options is None else OPT(**options)
        with tempfile.TemporaryDirectory() as folder:
            write_model(os.path.join(folder, 'output', 'model'), opt,
                        {'n_g.pdparams': as_arrays(SPADEGenerator(opt).state_dict())})
            found = results[title] = measured(Path(folder), opt)
        print(f'{title}: forward {found["forward_s"]:.3f} s; answer {found["answer_s"]:.3f} s, worst of {STROKES} '
              f'strokes {found["answer_worst_s"]:.3f} s; overhead {1000 * found["overhead_s"]:.0f} ms, worst '
              f'{1000 * found["overhead_worst_s"]:.0f} ms; {PAGES} pages at once: {found["four_pages_s"]:.3f} s each, '
              f'worst {found["four_pages_worst_s"]:.3f} s', flush=True)
    print(json.dumps(results))
