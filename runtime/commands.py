"""Commands in messages, written so that they run in the folder that the user stands in."""
import os
import re
import shlex

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def runnable(text):
    """`text` with the scripts and modules of its commands named by the checkout's path,
    unless this folder is the checkout.
    """
    if os.path.realpath(os.curdir) == os.path.realpath(CHECKOUT):
        return text
    here = shlex.quote(CHECKOUT)
    text = re.sub(r'\bpython (train|val|predict)\.py', rf'python {here}/\1.py', text)
    return re.sub(r'\bpython -m (dataset|log|model|paint|result|tests|vgg)\b', rf'PYTHONPATH={here} python -m \1', text)
