"""The house: imports run one way, and links and files named on pages exist."""
import ast
import functools
import re

import pytest

from tests.forked import REPOSITORY
from tests.test_readme import PAGES, code_and_text

# A room may import what stands at its own height or below; nothing of ours stands above the entry scripts.
HEIGHT = {'runtime': 0, 'model': 1, 'vgg': 1, 'dataset': 2, 'log': 3, 'output': 4, 'result': 5,
          'train': 6, 'val': 6, 'predict': 6, 'paint': 6}
ENTRIES = [name for name, height in HEIGHT.items() if height == 6]
BELOW_ALL = {'model/presets.py': {'model.tables'}, 'model/tables.py': set(), 'model/option.py': {'runtime.errors'},
             'model/version.py': set(), 'model/sizes.py': set(), 'model/command_line.py': {'model.version'},
             'model/losses.py': set(), 'result/scores.py': set(),
             'model/init.py': {'runtime', 'runtime.errors', 'runtime.json_file', 'model.presets', 'model.option',
                               'model.command_line', 'model.sizes'}}
# Nothing but their own commands, and for copied foreign weights model/weights.py, leans on them.
LEAVES = {'model.convert': {'model.weights', 'vgg.convert', 'result.networks.convert'}, 'model.export': set()}


@functools.cache
def sources():
    """dict: path in the repository -> (its room, the modules it imports, those inside functions too)."""
    found = {}
    for room in HEIGHT:
        for path in [*REPOSITORY.glob(f'{room}.py'), *REPOSITORY.glob(f'{room}/**/*.py')]:
            name, modules = str(path.relative_to(REPOSITORY)), set()
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom):
                    assert node.level == 0, f'{name}: relative import'
                    modules |= {f'{node.module}.{alias.name}' for alias in node.names} | {node.module}
                elif isinstance(node, ast.Import):
                    modules |= {alias.name for alias in node.names}
            found[name] = room, modules
    return found


def test_imports_run_one_way():
    seen, wrong = set(), []
    for name, (room, modules) in sources().items():
        for other in {module.split('.')[0] for module in modules} & {*HEIGHT, 'tests'}:
            seen.add((room, other))
            if other == 'tests' or HEIGHT[other] > HEIGHT[room] or (other in ENTRIES and other != room):
                wrong.append(f'{name} imports {other}')
    assert not wrong, wrong
    assert {('runtime', 'runtime'), ('train', 'result'), ('result', 'output'), ('output', 'log'), ('log', 'dataset'),
            ('dataset', 'model'), ('model', 'runtime')} <= seen


def graph():
    """dict: module of ours -> the modules of ours that it imports."""
    def dotted(name):
        return name[:-len('.py')].replace('/', '.').removesuffix('.__init__')
    ours = {dotted(name) for name in sources()}
    return {dotted(name): modules & ours - {dotted(name)} for name, (_, modules) in sources().items()}


def test_imports_run_in_no_circle():
    left = graph()
    while True:
        ends = {module for module, imported in left.items() if not imported & left.keys()}
        if not ends:
            break
        left = {module: imported for module, imported in left.items() if module not in ends}
    assert not left, f'circles among {sorted(left)}'


@pytest.mark.parametrize('leaf, users', LEAVES.items())
def test_leaves(leaf, users):
    found = {module for module, imported in graph().items() if not module.startswith(leaf)
             and any(other.startswith(leaf) for other in imported)}
    assert found <= users


@pytest.mark.parametrize('name, allowed', BELOW_ALL.items())
def test_runtime_imports_no_other_room(name, allowed):
    ours = {module for module in sources()[name][1] if module.split('.')[0] in HEIGHT}
    assert {'.'.join(module.split('.')[:2]) for module in ours} <= allowed


def anchors(path):
    """Anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r'^#+ (.*)', code_and_text(path.relative_to(REPOSITORY))[1], re.M)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('page', PAGES)
def test_no_link_is_dead(page):
    here, text = (REPOSITORY / page).parent, code_and_text(page)[1]
    links = re.findall(r'(?<!\\)\[[^\]]*\]\(([^)\s]+)\)', text) + re.findall(r'src="([^"]+)"', text)
    dead = []
    for link in links:
        if '://' not in link:
            target, _, anchor = link.partition('#')
            path = (here / target).resolve() if target else REPOSITORY / page
            if not path.exists() or (anchor and anchor not in anchors(path)):
                dead.append(link)
    assert not dead, f'{page}: {dead}'


@pytest.mark.parametrize('page', PAGES)
def test_files_that_a_page_names_exist(page):
    text = (REPOSITORY / page).read_text()
    rooms = 'runtime|model|vgg|dataset|output|log|result|paint|tests|docs'
    named = set(re.findall(rf'(?<![\w/.])((?:{rooms})/[\w/*]+\.(?:py|md|cpp|sh))\b', text))
    absent = [name for name in named if not any(REPOSITORY.glob(name))]
    assert not absent, f'{page}: {absent}'


def test_files_marked_without_paddle_compute_nothing_with_it():
    """.ci/run leaves them out on Paddle 2.6.2."""
    uses = r'import paddle|TrainStep|SemanticMap|load_painter|scripts\.(?:trained|training|train_failure)'
    marked = {path: path.read_text() for path in REPOSITORY.glob('tests/**/test_*.py')
              if '\npytestmark = pytest.mark.without_paddle\n' in path.read_text()}
    assert len(marked) > 9 and not [str(path) for path, text in marked.items() if re.search(uses, text)]


LEAST = {'pillow': '10.0.1', 'numpy': '1.26', 'opencv-python': '4.8.1.78', 'setuptools': '78.1.1', 'h11': '0.16',
         'onnx': '1.21'}


@pytest.mark.parametrize('name', LEAST)
def test_requirements_name_the_least_version_without_known_holes(name):
    files = [path.read_text()
             for path in [*REPOSITORY.glob('requirements*.txt'), *REPOSITORY.glob('*/**/requirements.txt')]]
    lines = [line for text in files
             for line in re.findall(rf'^{name}\b.*', text, re.M) if 'python_version < ' not in line]
    assert lines and all(re.match(rf'{name}>={re.escape(LEAST[name])}\b', line) for line in lines), lines
