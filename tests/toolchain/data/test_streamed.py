"""Pictures that stay on disk: crops, orientation, bits, folders, shards; against Pillow and the webdataset library."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
from PIL import Image, ImageOps

from sanp import data
from sanp.data.counter_random import uniform
from sanp.data.folder_names import Names
from sanp.data.pictures import DRAWS, random_crop, read_picture
from sanp.data.streamed import spread
from sanp_targets.errors import ConfigError, InputError
from tests.support.picture_folder import bars


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return bars(tmp_path_factory.mktemp("bars"), train=40, test=12)


@pytest.fixture
def smooth():
    """A picture in which every place looks different, 90 x 60, without detail that a resize would lose."""
    y, x = np.mgrid[0:60, 0:90].astype(np.float64)
    pixels = np.stack([x / 90, y / 60, (x + y) / 150], 2)
    return Image.fromarray((pixels * 220 + 10).astype(np.uint8))


def stored(picture, **options):
    buffer = io.BytesIO()
    picture.save(buffer, **options)
    return buffer.getvalue()


def by_hand(picture, box, size):
    """The same crop by Pillow alone, of the whole upright picture."""
    edges = [edge * side for edge, side in zip(box, (*picture.size, *picture.size))]
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR, box=tuple(edges))).transpose(2, 0, 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_crops_of_turned_photos(orientation, kind, smooth):
    """Stored on its side or mirrored, the upright picture is what is cropped; a JPEG may be decoded smaller."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(stored(smooth, format="PNG", exif=exif))))
    content = stored(smooth, format=kind, exif=exif, **({"quality": 98} if kind == "JPEG" else {}))
    for seed in range(4):
        draws = uniform(seed, np.array([0]), "crop", DRAWS)[0]
        expected = by_hand(upright, random_crop(upright.size, draws, 0.3), 20)
        found = read_picture(content, "it", 20, 0.3, draws)
        assert found.shape == (3, 20, 20) and found.dtype == np.uint8
        difference = np.abs(found.astype(int) - expected)
        assert difference.max() == 0 if kind == "PNG" else difference.max() <= 8


def test_a_large_photo_is_decoded_smaller(smooth, monkeypatch):
    """The decoder of JPEG halves as often as the crop allows; no other difference than that of the filters."""
    large = smooth.resize((1600, 1200))
    seen, plain = [], Image.Image.resize

    def watched(self, *args, **kwargs):
        seen.append(self.size)
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(Image.Image, "resize", watched)
    found = read_picture(stored(large, format="JPEG", quality=95), "it", 64)
    assert seen == [(200, 150)]
    expected = by_hand(large, (0.125, 0, 0.875, 1), 64)
    assert np.abs(found.astype(int) - expected).max() <= 6


def test_random_crops_stay_inside_and_are_as_large_as_said():
    shapes = [(100, 100), (300, 100), (40, 900), (1, 1)]
    for seed in range(300):
        draws = uniform(seed, np.array([seed]), "crop", DRAWS)[0]
        for wide, high in shapes:
            left, top, right, bottom = random_crop((wide, high), draws, 0.08)
            assert -1e-9 <= left < right <= 1 + 1e-9 and -1e-9 <= top < bottom <= 1 + 1e-9
            ratio = (right - left) * wide / ((bottom - top) * high)
            assert 0.74 < ratio < 1.34
    areas = []
    for seed in range(2000):
        left, top, right, bottom = random_crop((100, 100), uniform(seed, np.array([0]), "crop", DRAWS)[0], 0.08)
        areas.append((right - left) * (bottom - top))
    assert 0.08 <= min(areas) < 0.1 and np.mean(areas) == pytest.approx(0.52, abs=0.04)


def test_sixteen_bits_are_scaled():
    gray = (np.arange(64 * 64).reshape(64, 64) * 16).astype(np.uint16)
    found = read_picture(stored(Image.fromarray(gray), format="PNG"), "it", 64)
    np.testing.assert_allclose(found[0], gray / 257.0, atol=0.51)


def test_the_same_pictures_as_in_memory(folder):
    with pytest.warns(UserWarning, match="1 hidden files were left out"):
        kept = data.load("image-folder", root=folder, image_size=24)
    with pytest.warns(UserWarning, match="1 hidden files were left out"):
        found = data.load("image-stream", root=folder, image_size=24, resize=1.0, normalise="measured")
    assert (found.class_names, found.num_classes) == (kept.class_names, 2)
    for ours, theirs in ((found.train, kept.train), (found.test, kept.test)):
        images, labels = ours.take(range(len(ours)))
        np.testing.assert_array_equal(labels, theirs.labels)
        np.testing.assert_allclose(images, theirs.images, atol=1e-4)


def test_a_crop_follows_from_seed_and_row_alone(folder):
    split = data.load("image-stream", root=folder, image_size=16).train
    assert np.array_equal(split.pixels(3, 7), split.pixels(3, 7))
    assert not np.array_equal(split.pixels(3, 7), split.pixels(3, 8))
    copied = pickle.loads(pickle.dumps(split))  # as a worker that is spawned gets it
    assert np.array_equal(copied.pixels(3, 7), split.pixels(3, 7))
    plain = data.load("image-stream", root=folder, image_size=16, flip=False).train
    pairs = [(split.pixels(3, seed), plain.pixels(3, seed)) for seed in range(20)]
    mirrored = [not np.array_equal(one, other) for one, other in pairs]
    assert 3 < sum(mirrored) < 17
    assert all(np.array_equal(one[:, :, ::-1] if turn else one, other) for (one, other), turn in zip(pairs, mirrored))


def test_names_take_no_object_each():
    rows = [f"train/class {row % 7}/bild-ä-{row}.jpg" for row in range(50)] + ["odd\udcff.png"]
    names = Names(iter(rows))
    assert len(names) == 51 and [names[row] for row in range(51)] == rows


def test_rows_are_spread():
    assert spread(10, 100).tolist() == list(range(10)) and spread(10, 3).tolist() == [0, 3, 6]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"min_area": 0.0}, "min_area=0"), ({"resize": 0.5}, "resize=0.5"), ({"workers": -2}, "workers=-2"),
        ({"normalise": "cifar"}, "normalise is 'cifar'"), ({"normalise": "1,2,3"}, "six numbers"),
        ({"normalise": "0,0,0,1,0,1"}, "six numbers"),
    ],
)  # fmt: skip
def test_knobs_outside_their_range(options, says, folder):
    with pytest.raises(ConfigError, match=says):
        data.load("image-stream", root=folder, **options)


def test_constants_of_the_users_own(folder):
    found = data.load("image-stream", root=folder, normalise="0.5,0.4,0.3,0.25,0.2,0.1").train
    np.testing.assert_allclose([*found.mean, *found.std], [0.5, 0.4, 0.3, 0.25, 0.2, 0.1], rtol=1e-6)


@pytest.fixture(scope="module")
def shards(tmp_path_factory, folder):
    """The pictures of the folder in shards that the webdataset library has written."""
    webdataset = pytest.importorskip("webdataset")
    root = tmp_path_factory.mktemp("shards")
    kept = data.load("image-stream", root=folder)
    for name, split in (("train", kept.train), ("val", kept.test)):
        with webdataset.ShardWriter(str(root / f"{name}-%04d.tar"), maxcount=12, verbose=0) as writer:
            for row in range(len(split)):
                path, _ = split.pictures.open(row)
                key = f"{split.labels[row]}/{path.stem}"
                writer.write({"__key__": key, path.suffix[1:]: path.read_bytes(), "cls": int(split.labels[row])})
    (root / "classes.txt").write_text("lower\nupper\n")
    return root


def test_shards_are_read_as_the_library_reads_them(shards):
    import webdataset

    found = data.load("tar-shards", root=shards, image_size=16, resize=1.0)
    assert found.class_names == ("lower", "upper") and len(found.train.pictures.paths) == 4
    for split, pattern in ((found.train, "train-*.tar"), (found.test, "val-*.tar")):
        theirs = list(webdataset.WebDataset([str(path) for path in sorted(shards.glob(pattern))], shardshuffle=False))
        assert len(theirs) == len(split)
        for row, sample in enumerate(theirs):
            content, _ = split.pictures.open(row)
            assert content == sample.get("png", sample.get("jpg")) and int(sample["cls"]) == split.labels[row]


def test_the_order_of_shards_mixes_neighbours_and_loses_nothing(shards, monkeypatch):
    from sanp.data import shards as module

    pictures = data.load("tar-shards", root=shards).train.pictures
    monkeypatch.setattr(module, "_MIXED", 2)
    orders = [pictures.order(seed) for seed in range(8)]
    assert all(sorted(order) == list(range(40)) for order in orders)
    for order in orders:
        blocks = [
            set(part)
            for part in np.split(
                pictures.shard[order], [sum(np.bincount(pictures.shard)[list(set(pictures.shard[order][:13]))])]
            )
        ]
        assert all(len(block) == 2 for block in blocks), "two shards are open at a time"
    assert len({tuple(order) for order in orders}) == 8


def test_damaged_shards(shards, tmp_path):
    import shutil
    import tarfile

    with pytest.raises(ConfigError, match=r"has no train\*\.tar"):
        data.load("tar-shards", root=tmp_path)
    for path in shards.iterdir():
        shutil.copy(path, tmp_path)
    split = data.load("tar-shards", root=tmp_path).train
    first = tmp_path / "train-0000.tar"
    whole = first.read_bytes()
    first.write_bytes(whole[: int(split.pictures.start[0]) + 10])
    with pytest.raises(InputError, match=r"picture at byte \d+ of .*train-0000\.tar is cut off"):
        split.pixels(0, None)
    first.write_bytes(b"no tar at all" * 100)
    with pytest.raises(InputError, match=r"train-0000\.tar is no whole tar file"):
        data.load("tar-shards", root=tmp_path)
    with tarfile.open(first, "w") as archive:
        for name, content in (("a.png", stored(Image.new("RGB", (4, 4)), format="PNG")), ("a.cls", b"cat")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with pytest.raises(InputError, match=r"a\.cls in .* is b'cat', expected the number of a class"):
        data.load("tar-shards", root=tmp_path)
    with tarfile.open(first, "w") as archive:
        member = tarfile.TarInfo("b.png")
        archive.addfile(member, io.BytesIO(b""))
    with pytest.raises(InputError, match=r"picture b without b\.cls"):
        data.load("tar-shards", root=tmp_path)
