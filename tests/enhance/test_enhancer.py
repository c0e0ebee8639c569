"""Super-resolution: against a network rebuilt from its weights alone, tile against whole, and on
what its makers' weights must do to a real picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from faceloom.core import FormatError, InputError
from faceloom.enhance import CompactSR, Enhancer, load_realesr
from faceloom.media import open_footage


def small_network(seed: int = 0) -> CompactSR:
    torch.manual_seed(seed)
    network = CompactSR(features=8, convolutions=3)
    for parameter in network.parameters():
        parameter.data.uniform_(-0.3, 0.3)
    return network.eval()


def picture(h: int, w: int) -> np.ndarray:
    noise = np.random.default_rng(0).uniform(0, 255, (h, w, 3)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 1.5).clip(0, 255).astype(np.uint8)


def by_hand(network: CompactSR, image: np.ndarray) -> np.ndarray:
    """The same network with SciPy's correlation in float64 and a pixel shuffle by indexing."""
    from scipy.ndimage import correlate

    values = {key: value.double().numpy() for key, value in network.state_dict().items()}
    x = image.transpose(2, 0, 1) / 255
    start = x
    numbers = sorted({int(key.split(".")[1]) for key in values})
    for number in numbers:
        weight = values[f"body.{number}.weight"]
        if weight.ndim == 1:
            x = np.where(x > 0, x, x * weight[:, None, None])
            continue
        bias = values[f"body.{number}.bias"]
        x = np.stack(
            [
                sum(correlate(x[i], weight[o, i], mode="constant") for i in range(len(x))) + bias[o]
                for o in range(len(weight))
            ]
        )
    h, w = image.shape[:2]
    large = np.repeat(np.repeat(start, 4, axis=1), 4, axis=2)
    for row in range(4):
        for column in range(4):
            large[:, row::4, column::4] += x[row * 4 + column :: 16]
    assert large.shape == (3, 4 * h, 4 * w)
    return np.rint(large * 255).clip(0, 255).transpose(1, 2, 0)


def test_the_network_is_the_one_of_its_weights() -> None:
    network, image = small_network(), picture(11, 14)
    got = Enhancer(network, precision="fp32").enlarge(image)
    assert got.shape == (44, 56, 3)
    assert np.abs(got - by_hand(network, image)).max() <= 1  # rounding at a half


def test_tiles_make_no_difference() -> None:
    network, image = small_network(1), picture(61, 47)
    whole = Enhancer(network, precision="fp32", tile_px=512).enlarge(image)
    tiled = Enhancer(network, precision="fp32", tile_px=16).enlarge(image)
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_strength_mixes_with_the_plain_picture() -> None:
    enhancer, image = Enhancer(small_network(2), precision="fp32"), picture(24, 24)
    none, half, full = (enhancer.enhance(image, strength=s).astype(int) for s in (0, 0.5, 1))
    assert (none == image).all()
    assert np.abs(half - (none + full) / 2).max() <= 1
    assert np.abs(full - none).max() > 10
    assert enhancer.enhance(image, strength=0.5, size=(48, 40)).shape == (48, 40, 3)


def test_what_was_enlarged_before_is_brought_down_first() -> None:
    enhancer, small = Enhancer(small_network(3), precision="fp32"), picture(40, 40)
    large = cv2.resize(small, (160, 160), interpolation=cv2.INTER_CUBIC)
    reached = enhancer.enhance(large, detail_px=40)
    down = cv2.resize(large, (40, 40), interpolation=cv2.INTER_AREA)
    assert np.abs(reached.astype(int) - enhancer.enhance(down, size=(160, 160))).max() <= 1
    assert (enhancer.enhance(small, detail_px=38) == enhancer.enhance(small)).all()


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_other_pictures_are_refused(image: np.ndarray) -> None:
    with pytest.raises(InputError, match="h w 3 uint8"):
        Enhancer(small_network()).enlarge(image)


def test_other_files_are_refused(tmp_path) -> None:
    damaged, other = tmp_path / "damaged.pth", tmp_path / "other.pth"
    damaged.write_bytes(b"not weights")
    torch.save({"params": small_network().state_dict()}, other)
    with pytest.raises(FormatError, match=r"damaged\.pth"):
        load_realesr(damaged)
    with pytest.raises(FormatError, match="not the weights of"):
        load_realesr(other)


@pytest.mark.weights
@pytest.mark.media
def test_the_makers_weights_restore_a_shrunk_photo(media, need_weights) -> None:
    (path,) = need_weights("realesr-x4")
    frame = next(iter(open_footage(media / "photos" / "astronaut.png").frames())).image
    original = np.ascontiguousarray(frame[0:256, 96:352])
    small = cv2.resize(original, (64, 64), interpolation=cv2.INTER_AREA)
    enlarged = Enhancer(path).enlarge(small)
    # Shrunk again it is the picture that it was made of, in place and in colour …
    again = cv2.resize(enlarged, (64, 64), interpolation=cv2.INTER_AREA)
    assert peak_signal_noise_ratio(small, again) > 26
    # … and edges are sharper than interpolation makes them.
    cubic = cv2.resize(small, (256, 256), interpolation=cv2.INTER_CUBIC)
    assert cv2.Laplacian(enlarged, cv2.CV_64F).std() > 1.5 * cv2.Laplacian(cubic, cv2.CV_64F).std()
