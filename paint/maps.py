"""Maps in the form that the page stores."""
import numpy as np

from paint.refusal import Refused

CANVAS_SIDE = 4096      # pixels, at most: what browsers draw smoothly


def kept(label, instance, label_nc):
    """bytes of both maps, uint16 (H, W) each. Pixels without an object have their class's id as instance number."""
    instance = renumbered(label, label if instance is None else instance, label_nc)
    return label.astype('<u2').tobytes() + instance.astype('<u2').tobytes()


def renumbered(label, instance, label_nc):
    """uint16 (H, W) instance numbers with the same edges: they differ where `instance` does.

    The only instance of a class gets the class's id, so that the brush continues it without an edge; other instances
    are numbered from label_nc + 1.
    """
    pairs = np.unique(np.stack([instance.ravel(), label.ravel()]), axis=1)
    numbers, times = np.unique(pairs[0], return_counts=True)
    alone = dict.fromkeys(numbers[times == 1].tolist())      # instances of one class
    of_class = {}
    for number, index in pairs.T.tolist():
        if number in alone:
            of_class.setdefault(index, []).append(number)
    new = {}
    for index, found in of_class.items():
        if index in found or len(found) == 1:
            new[index if index in found else found[0]] = index
    fresh = label_nc
    for number in numbers.tolist():
        if number not in new:
            fresh += 1
            new[number] = fresh
    if fresh > 65535:
        raise Refused('too_many', f'{len(numbers)} instances in one map; at most {65535 - label_nc} are allowed')
    position = np.searchsorted(numbers, instance)
    return np.array([new[number] for number in numbers.tolist()], np.uint16)[position]
