"""Commands in messages, rewritten to run in the user's folder."""
import os
import re
import shlex

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def command(*words):
    """The command `python *words`, to run in the user's folder."""
    return runnable(shlex.join(['python', *words]))


def runnable(text):
    """`text` with the checkout's path in its commands, unless the current folder is the checkout."""
    if os.path.realpath(os.curdir) == os.path.realpath(CHECKOUT):
        return text
    here = shlex.quote(CHECKOUT)
    text = re.sub(r'\bpython (train|val|predict)\.py', rf'python {here}/\1.py', text)
    return re.sub(r'\bpython -m (dataset|log|model|paint|result|tests|vgg)\b', rf'PYTHONPATH={here} python -m \1', text)
