"""Which tests run, on how many workers, and in which order: hooks of pytest, which conftest.py imports."""
import os

import pytest

from runtime.cores import cores


def pytest_addoption(parser):
    parser.addoption('--thorough', action='store_true', help='the tests that take long too, as .ci/run does')


def whole_suite(config):
    """Whether no test is named: named ones run at once in pytest's own process, where a debugger reaches them,
    marked or not.
    """
    return not config.option.keyword and config.option.capture != 'no' and all(map(os.path.isdir, config.args))


def pytest_xdist_auto_num_workers(config):
    """What -n auto of pyproject.toml means for the whole suite: a worker a core, and one for while others wait for
    processes, each with a core's share of the threads.
    """
    if not whole_suite(config):
        return 0
    os.environ['OMP_NUM_THREADS'] = str(max(1, int(os.environ['OMP_NUM_THREADS']) // cores()))
    os.environ['KMP_BLOCKTIME'] = '0'   # a thread that waits leaves its core to the other workers (docs/speed.md)
    return cores() + 1


# Seconds of the files that take longest with --thorough, roughly.
LONGEST = {'test_readme': 190, 'test_evaluate': 195, 'test_resume': 150, 'test_alignment': 140, 'test_export': 140,
           'test_ranks': 130, 'test_distributed': 110, 'test_tables': 100, 'test_deeplab': 80, 'test_windows': 80,
           'test_signals': 80, 'test_trouble': 60, 'test_averaged': 50, 'test_own_score': 50, 'test_tour': 50,
           'test_export_refused': 50, 'test_alignment_training': 40, 'test_dashboard': 40}


@pytest.hookimpl(trylast=True)  # after -m has chosen
def pytest_collection_modifyitems(config, items):
    """Let each worker begin with files that take long, about as many seconds of them,
    so that none is left with one at the end.

    pytest-xdist gives each worker the next part of the list, of as many tests; who is done takes over tests from
    another's end.
    """
    if whole_suite(config) and not (config.option.thorough or config.option.markexpr):
        thorough = [item for item in items if item.get_closest_marker('thorough')]
        config.hook.pytest_deselected(items=thorough)
        items[:] = [item for item in items if not item.get_closest_marker('thorough')]
    if not hasattr(config, 'workerinput'):
        return
    workers = config.workerinput['workercount']
    parts, seconds = [[] for _ in range(workers)], [0] * workers
    for name in LONGEST:
        shortest = seconds.index(min(seconds))
        parts[shortest] += [item for item in items if item.path.stem == name]
        seconds[shortest] += LONGEST[name]
    others = [item for item in items if item.path.stem not in LONGEST]
    for part in parts[:-1]:
        count = max(0, len(items) // workers - len(part))
        part += others[:count]
        del others[:count]
    items[:] = [item for part in [*parts[:-1], parts[-1] + others] for item in part]
