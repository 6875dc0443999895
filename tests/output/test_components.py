"""predict.py --instance components: the same regions as --instances components of dataset.prepare."""
import numpy as np
from PIL import Image

from dataset.components import components
from dataset.files import load_instance


def test_components_paint_what_their_own_maps_paint(scripts, trained, tmp_path):
    """At 204147d a map without instances could not be painted by a model for them."""
    label = scripts.data / 'val_label/000.png'
    Image.fromarray(components(load_instance(label)).astype(np.uint16)).save(tmp_path / 'inst.png')
    for instance, out in ((tmp_path / 'inst.png', 'drawn.png'), ('components', 'made.png')):
        process = scripts.run('predict.py', '--lastoutput', trained / 'output', '--label', label, '--instance',
                              instance, '--out', tmp_path / out)
        assert process.returncode == 0, process.stderr
    made, drawn = (np.array(Image.open(tmp_path / name)) for name in ('made.png', 'drawn.png'))
    assert np.array_equal(made, drawn)
    process = scripts.run('predict.py', '--lastoutput', trained / 'output', '--label', label.parent, '--instance',
                          'components', '--out', tmp_path / 'all', '--png')
    assert process.returncode == 0, process.stderr
    assert np.array_equal(np.array(Image.open(tmp_path / 'all/000.png')), made)
