"""SemanticMap against loops over pixels."""
import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from model.init import OPT
from model.semantics import SemanticMap, instance_edges, nearest
from runtime.errors import InputError
from tests.runner import says


def options(**settings):
    return OPT(**{**dict(label_nc=5, crop_size=32), **settings})


def maps(shape=(2, 7, 6), labels=5, seed=0):
    draw = np.random.default_rng(seed)
    return draw.integers(0, labels, shape, np.uint8), draw.integers(0, 3, shape, np.int32)


def edges_by_loops(instance):
    edge = np.zeros(instance.shape, bool)
    for n, y, x in np.ndindex(*instance.shape):
        for other_y, other_x in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= other_y < instance.shape[1] and 0 <= other_x < instance.shape[2]:
                edge[n, y, x] |= instance[n, y, x] != instance[n, other_y, other_x]
    return edge


def one_hot_by_loops(label, instance, channels, size):
    """Nearest by exact fractions: pixel i of `size` shows pixel floor(i * old / new)."""
    height, width = label.shape[1:]
    result = np.zeros((len(label), channels, *size), np.float32)
    edge = None if instance is None else edges_by_loops(instance)
    for n, y, x in np.ndindex(len(label), *size):
        old = n, y * height // size[0], x * width // size[1]
        result[n, label[old], y, x] = 1
        if edge is not None:
            result[n, channels - 1, y, x] = edge[old]
    return result


@pytest.mark.parametrize('size', [None, (7, 6), (2, 2), (14, 12), (5, 9), (1, 1)])
@pytest.mark.parametrize('no_instance', [False, True])
@pytest.mark.parametrize('dontcare', [False, True])
def test_one_hot(size, no_instance, dontcare):
    opt = options(no_instance=no_instance, contain_dontcare_label=dontcare)
    label, instance = maps(labels=5 + dontcare)
    instance = None if no_instance else instance
    semantics = SemanticMap(label, instance, opt)
    found = semantics.one_hot(size)
    assert str(found.dtype).endswith('float32') and len(semantics) == 2 and tuple(semantics.size) == (7, 6)
    assert np.array_equal(found.numpy(), one_hot_by_loops(label, instance, opt.semantic_nc, size or (7, 6)))
    assert semantics.one_hot(size) is found     # kept for the next layer of this size


def test_one_hot_follows_the_default_type():
    semantics = SemanticMap(*maps(), options())
    assert semantics.one_hot().dtype == paddle.float32
    paddle.set_default_dtype('float64')
    try:
        assert semantics.one_hot().dtype == paddle.float64
    finally:
        paddle.set_default_dtype('float32')


def test_edges():
    instance = np.zeros((1, 4, 5), np.int32)
    instance[0, 1:, 3:] = 70000
    assert np.array_equal(instance_edges(instance)[0].astype(int), [[0, 0, 0, 1, 1], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0],
                                                                    [0, 0, 1, 1, 0]])
    assert not instance_edges(np.full((2, 3, 3), 7)).any()
    _, instance = maps((3, 9, 8), seed=4)
    assert np.array_equal(instance_edges(instance), edges_by_loops(instance))


def test_edges_of_unsigned_ids():
    """Differences of unsigned numbers wrap; ids are only compared."""
    instance = np.array([[[0, 255]]], np.uint8)
    assert instance_edges(instance).all()


@pytest.mark.parametrize('size', [(4, 4), (3, 5), (16, 2), (7, 6), (13, 11)])
def test_nearest_is_that_of_paddle(size):
    label, _ = maps((2, 8, 6), labels=200)
    image = paddle.to_tensor(label[:, None].astype(np.float32))
    expected = F.interpolate(image, size=list(size), mode='nearest').numpy()[:, 0]
    assert np.array_equal(nearest(label, size), expected)


def test_255_is_the_class_beyond_the_others():
    label, instance = maps()
    label[:, :2] = 255
    semantics = SemanticMap(label, instance, options())
    planes = semantics.one_hot().numpy()
    assert planes[:, 5, :2].all() and not planes[:, 5, 2:].any() and (planes[:, :6].sum(1) == 1).all()
    assert label.max() == 255   # the caller's array is left alone


def test_255_beyond_all_classes_or_among_them():
    """label_nc above 255: 255 still means unlabelled."""
    opt = options(label_nc=300, no_instance=True)
    semantics = SemanticMap(np.array([[[255, 299, 300, 0]]]), None, opt)
    assert semantics.one_hot().numpy().argmax(1).tolist() == [[[300, 299, 300, 0]]]


@pytest.mark.parametrize('as_tensor', [False, True])
@pytest.mark.parametrize('kind', ['uint8', 'int32', 'int64'])
def test_arrays_and_tensors_with_and_without_channel(kind, as_tensor):
    label, instance = (values.astype(kind) for values in maps())
    expected = SemanticMap(label, instance, options()).one_hot().numpy()
    for shape in ((2, 7, 6), (2, 1, 7, 6)):
        pair = [values.reshape(shape) for values in (label, instance)]
        pair = [paddle.to_tensor(values) for values in pair] if as_tensor else pair
        assert np.array_equal(SemanticMap(*pair, options()).one_hot().numpy(), expected)


LABEL, INSTANCE = maps()
WRONG = [
    (LABEL + 3, INSTANCE, {}, ('label: found', 'allowed are 0 .. 5 and 255')),
    (np.where(LABEL == 1, 255, LABEL), INSTANCE, dict(contain_dontcare_label=False),
     ('label: found 255', f'in {np.sum(LABEL == 1)} pixels', 'allowed are 0 .. 4', '--contain_dontcare_label true')),
    (LABEL.astype(np.int32) - 1, INSTANCE, {}, ('label: found -1', f'in {np.sum(LABEL == 0)} pixels')),
    (LABEL, None, {}, ('instance maps are missing', '--no_instance true')),
    (LABEL, INSTANCE, dict(no_instance=True), ('no_instance is true', '--no_instance false')),
    (LABEL, INSTANCE[:1], {}, ('(2, 7, 6)', '(1, 7, 6)', 'differ')),
    (LABEL[0], INSTANCE[0], {}, ('label: found shape (7, 6)', '(N, H, W) or (N, 1, H, W)')),
    (np.stack([LABEL] * 3, 1), INSTANCE, {}, ('label: found shape (2, 3, 7, 6)',)),
    (LABEL.astype(np.float32), INSTANCE, {}, ('label: found', 'float32', 'integers')),
    (LABEL, INSTANCE.astype(np.float32), {}, ('instance: found', 'float32')),
]


@pytest.mark.parametrize('label, instance, settings, said', WRONG, ids=[said[0] for *_, said in WRONG])
def test_errors(label, instance, settings, said):
    with pytest.raises(InputError) as caught:
        SemanticMap(label, instance, options(**settings))
    assert says(str(caught.value), *said) and '\n' not in str(caught.value)
