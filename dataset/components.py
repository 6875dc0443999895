"""Instances without instance maps: the connected regions of a label map."""
import numpy as np

from dataset.palette import UNLABELLED

COMPONENTS = 'components'    # the value of --instance and --instances for this


def components(label):
    """int64 (H, W): number, from 1, of each 4-connected region of one class in `label` (H, W); unlabelled pixels are 0.

    Touching objects of one class are one region: labels alone cannot tell them apart.
    """
    height, width = label.shape
    begins = np.ones((height, width), bool)
    begins[:, 1:] = label[:, 1:] != label[:, :-1]
    run = np.cumsum(begins).reshape(height, width) - 1  # horizontal runs of one class, numbered
    joined = label[1:] == label[:-1]
    upper, lower = np.unique(np.stack([run[:-1][joined], run[1:][joined]]), axis=1)
    root = np.arange(int(begins.sum()))
    while True:
        low = np.minimum(root[upper], root[lower])
        if (low == root[upper]).all() and (low == root[lower]).all():
            break
        for ends in (upper, lower):
            np.minimum.at(root, root[ends], low)
        while (root[root] != root).any():
            root = root[root]
    number = np.where(label == UNLABELLED, -1, root[run])
    ids, inverse = np.unique(number, return_inverse=True)
    return inverse.reshape(label.shape) + (ids[0] != -1)
