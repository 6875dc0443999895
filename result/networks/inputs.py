"""uint8 pictures rgb (N, H, W, 3) -> float32 (N, 3, H, W), as a scoring network expects them."""
import numpy as np
import paddle

IMAGENET_RGB = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)   # mean and deviation, 0 .. 1 (torchvision)


def normalized(rgb, mean=0, deviation=1):
    """RGB in [0, 1], minus mean, divided by deviation."""
    return _channels_first((rgb.astype(np.float32) / 255 - np.float32(mean)) / np.float32(deviation))


def bgr_less(rgb, mean):
    """BGR in 0 .. 255, minus mean."""
    return _channels_first(rgb[..., ::-1].astype(np.float32) - np.float32(mean))


def _channels_first(values):
    return paddle.to_tensor(np.ascontiguousarray(values.transpose(0, 3, 1, 2)))
