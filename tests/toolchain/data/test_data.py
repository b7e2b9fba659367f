"""Data sets: bundled, generated, and read from files written here in the published layouts."""

from __future__ import annotations

import pickle
import subprocess

import numpy as np
import pytest
from PIL import Image

from sanp import data
from sanp.data.counter_random import normal, uniform
from sanp.data.digits import upsample
from sanp.data.mixcues import drawings_for
from sanp_targets.errors import ConfigError, InputError

SMALL = {"train_size": 300, "val_size": 20, "test_size": 100}


@pytest.mark.parametrize("size", [16, 32])
def test_digits_are_split_once_and_normalised(size):
    digits, again = data.load("digits", image_size=size), data.load("digits", image_size=size)
    assert digits.train.images.shape == (1200, 3, size, size) and digits.train.images.dtype == np.float32
    assert digits.test.labels.shape == (597,) and digits.test.labels.dtype == np.int64
    assert (digits.num_classes, digits.image_size, digits.name) == (10, size, "digits")
    np.testing.assert_array_equal(digits.test.labels, again.test.labels)
    np.testing.assert_allclose(digits.train.images.mean((0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(digits.train.images.std((0, 2, 3)), 1, atol=1e-4)
    share = np.bincount(digits.train.labels) / 1200 - np.bincount(digits.test.labels) / 597
    assert np.abs(share).max() < 0.002  # stratified


def test_digits_upsampling_equals_torch():
    import torch

    small = np.random.default_rng(0).random((3, 8, 8), np.float32)
    for size in (16, 32):
        expected = torch.nn.functional.interpolate(
            torch.from_numpy(small)[:, None], size=size, mode="bilinear", align_corners=False
        )[:, 0]
        np.testing.assert_allclose(upsample(small, size), expected.numpy(), atol=1e-6)


def test_counter_random_is_uniform_normal_and_independent_of_company():
    index = np.arange(20000)
    u, n = uniform(3, index, "a", 4), normal(3, index, "a", 3)
    assert (u.min() >= 0) and (u.max() < 1)
    np.testing.assert_allclose(u.mean(0), 0.5, atol=0.01)
    np.testing.assert_allclose(np.corrcoef(u.T), np.eye(4), atol=0.03)
    np.testing.assert_allclose([n.mean(), n.std()], [0, 1], atol=0.02)
    np.testing.assert_array_equal(uniform(3, index[[77]], "a", 4)[0], u[77])
    for other in (uniform(4, index, "a", 4), uniform(3, index, "b", 4), uniform(3, index + 1, "a", 4)):
        assert abs(np.corrcoef(other[:, 0], u[:, 0])[0, 1]) < 0.03


def test_mixcues_images_depend_on_seed_and_index_alone():
    one = data.load("mixcues", image_size=16, **SMALL)
    more = data.load("mixcues", image_size=16, **{**SMALL, "train_size": 700})
    np.testing.assert_array_equal(one.train.raw, more.train.raw[:300])
    np.testing.assert_array_equal(one.test.labels, more.test.labels)
    other = data.load("mixcues", image_size=16, seed=1, **SMALL)
    assert not np.array_equal(one.train.raw, other.train.raw)
    assert not np.array_equal(one.train.raw[:100], one.test.raw)


@pytest.mark.parametrize("modes", [1, 4, 8])
def test_mixcues_labels_and_modes_are_balanced_and_independent(modes):
    big = data.load("mixcues", image_size=16, modes=modes, train_size=4000, val_size=1, test_size=1).train
    assert np.abs(np.bincount(big.labels, minlength=10) / 4000 - 0.1).max() < 0.02
    assert np.abs(np.bincount(big.extra["mode"], minlength=modes) / 4000 - 1 / modes).max() < 0.03
    if modes > 1:
        assert abs(np.corrcoef(big.labels, big.extra["mode"])[0, 1]) < 0.05


def nearest_mean(train, test, key):
    """Share of test images whose nearest class mean, in mean colour, is their own."""
    colours, wanted = train.images.mean((2, 3)), key(train)
    means = np.stack([colours[wanted == value].mean(0) for value in range(wanted.max() + 1)])
    guess = ((test.images.mean((2, 3))[:, None] - means[None]) ** 2).sum(2).argmin(1)
    return float((guess == key(test)).mean())


def test_the_cue_tells_the_mode_and_the_colour_does_not_tell_the_label():
    sizes = {"train_size": 2000, "val_size": 1, "test_size": 1000}
    told = data.load("mixcues", image_size=16, cue=1.0, **sizes)
    hidden = data.load("mixcues", image_size=16, cue=0.0, **sizes)
    mode, label = (lambda split: split.extra["mode"]), (lambda split: split.labels)
    assert nearest_mean(told.train, told.test, mode) > 0.9
    assert nearest_mean(hidden.train, hidden.test, mode) < 0.4
    assert nearest_mean(told.train, told.test, label) < 0.2


def test_difficulty_and_leak_change_the_images_as_said():
    hard = data.load("mixcues", image_size=16, difficulty=1.0, **SMALL).train
    easy = data.load("mixcues", image_size=16, difficulty=0.0, **SMALL).train
    assert hard.extra["difficulty"].max() > 0.9 and easy.extra["difficulty"].max() == 0
    clean = data.load("mixcues", image_size=16, difficulty=0.0, leak=0.0, **SMALL).train
    assert np.abs(clean.raw.astype(int) - easy.raw).mean() > 2


def test_drawings_follow_heterogeneity():
    assert [f.__name__ for f in drawings_for(4, 1.0)] == ["orientation", "hue", "strokes", "silhouette"]
    assert [f.__name__ for f in drawings_for(4, 0.0)] == ["orientation", "hue", "frequency", "texture"]
    assert len(set(drawings_for(8, 0.0))) == 8


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("mnist", {}, "digits, mixcues"), ("digits", {"image_size": 20}, "16 or 32"),
        ("digits", {"x": 1}, "no option x"),
        ("mixcues", {"modes": 2.5}, r"option modes is 2\.5, expected int"),
        ("mixcues", {"modes": "4"}, "option modes is '4', expected int"),
        ("mixcues", {"modes": True}, "option modes is True, expected int"),
        ("mixcues", {"cue": "high"}, "option cue is 'high', expected float"),
        ("mixcues", {"cue": 2}, "cue is 2"), ("mixcues", {"modes": 9}, "modes=9"), ("cifar10", {}, "local folder"),
        ("cifar10", {"root": "/nowhere"}, "no complete cifar10"),
        ("image-folder", {"root": "/nowhere"}, "train and test"),
        ("cifar10", {"root": "/nowhere", "image_size": 16}, "32x32"),
    ],
)  # fmt: skip
def test_impossible_requests_say_why(name, options, says):
    with pytest.raises(ConfigError, match=says):
        data.load(name, **options)


def write_cifar(root, layout, classes=10, per_file=12, seed=0):
    """A data set in a published layout; returns test images and labels as written."""
    rng = np.random.default_rng(seed)
    train = [f"data_batch_{i}" for i in range(1, 6)] if classes == 10 else ["train"]
    for name in [*train, "test_batch" if classes == 10 else "test"]:
        images = rng.integers(0, 256, (per_file, 3, 32, 32), np.uint8)
        labels = rng.integers(0, classes, per_file)
        if layout == "bin":
            heads = labels[:, None] if classes == 10 else np.stack([labels // 5, labels], 1)
            rows = np.concatenate([heads.astype(np.uint8), images.reshape(per_file, -1)], 1)
            (root / f"{name}.bin").write_bytes(rows.tobytes())
        else:
            key = b"labels" if classes == 10 else b"fine_labels"
            content = {b"data": images.reshape(per_file, -1), key: labels.tolist(), b"batch_label": b"x"}
            (root / name).write_bytes(pickle.dumps(content, protocol=2))
    return images, labels


@pytest.mark.parametrize("layout", ["bin", "py"])
@pytest.mark.parametrize("classes", [10, 100])
def test_cifar_layouts(layout, classes, tmp_path):
    images, labels = write_cifar(tmp_path, layout, classes)
    name = f"cifar{classes}"
    with pytest.raises(InputError, match=r"expected 10000 records|expected 50000 records|MD5"):
        data.load(name, root=tmp_path)
    found = data.load(name, root=tmp_path, verify=False, val_size=3)
    np.testing.assert_array_equal(found.test.raw, images)
    np.testing.assert_array_equal(found.test.labels, labels)
    assert len(found.train) + len(found.val) == (60 if classes == 10 else 12)
    assert len(found.val) == 3 and found.flip and found.shift == 4
    assert found.train.images.dtype == np.float32


def test_cifar_in_its_own_folder(tmp_path):
    (tmp_path / "cifar-10-batches-bin").mkdir()
    write_cifar(tmp_path / "cifar-10-batches-bin", "bin")
    assert len(data.load("cifar10", root=tmp_path, verify=False, val_size=0).train) == 60


@pytest.mark.parametrize("damage", ["truncate", "label", "flip"])
@pytest.mark.parametrize("layout", ["bin", "py"])
def test_damaged_cifar_files_are_input_errors(damage, layout, tmp_path):
    write_cifar(tmp_path, layout)
    path = tmp_path / ("test_batch.bin" if layout == "bin" else "test_batch")
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        content = content[: len(content) // 2 + 1]
    elif damage == "flip":
        content[0] ^= 0x80
    elif layout == "bin":
        content[0] = 10
    else:
        content = pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]})
    path.write_bytes(content)
    with pytest.raises(InputError, match="test_batch"):
        data.load("cifar10", root=tmp_path, verify=False, val_size=0)


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    class Attack:
        def __reduce__(self):
            return subprocess.call, (["touch", str(tmp_path / "owned")],)

    write_cifar(tmp_path, "py")
    (tmp_path / "test_batch").write_bytes(pickle.dumps({b"data": Attack(), b"labels": [1]}))
    with pytest.raises(InputError, match=r"subprocess\.call"):
        data.load("cifar10", root=tmp_path, verify=False, val_size=0)
    assert not (tmp_path / "owned").exists()


@pytest.fixture
def folder(tmp_path):
    """Two classes told apart by colour, in odd sizes and modes."""
    for split, count in (("train", 4), ("test", 2)):
        for label, colour in (("blue", (0, 0, 200)), ("red", (200, 0, 0))):
            where = tmp_path / split / label
            where.mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (20 + 7 * index, 40), colour).save(where / f"{index}.{('png', 'jpg')[index % 2]}")
    return tmp_path


def test_image_folder(folder):
    found = data.load("image-folder", root=folder, image_size=16)
    assert found.class_names == ("blue", "red") and found.num_classes == 2
    assert found.train.raw.shape == (8, 3, 16, 16) and found.train.raw.dtype == np.uint8
    assert found.test.labels.tolist() == [0, 0, 1, 1]
    assert (found.test.raw[:2, 2] > 150).all() and (found.test.raw[2:, 0] > 150).all()


def test_image_folder_of_258_pictures_as_people_have_them(tmp_path):
    """Upper half bright or lower half: a photo that is stored on its side says so in EXIF, one picture has 16 bits."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for split, count in (("train", 100), ("test", 29)):
        for label, name in enumerate(("lower", "upper")):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                picture = rng.integers(0, 60, (20, 20, 3), dtype=np.uint8)
                picture[slice(0, 10) if label else slice(10, 20)] += 180
                Image.fromarray(picture).save(folder / f"{index}.png")
    upright = np.asarray(Image.open(tmp_path / "train/upper/0.png"))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it
    Image.fromarray(np.rot90(upright)).save(tmp_path / "train/upper/0.png", exif=exif)
    grey = np.asarray(Image.open(tmp_path / "train/lower/1.png").convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(tmp_path / "train/lower/1.png")
    for hidden in ("train/.ipynb_checkpoints", "train/upper/.cache"):
        (tmp_path / hidden).mkdir()
        Image.fromarray(upright).save(tmp_path / hidden / "copy.png")
    Image.fromarray(upright).save(tmp_path / "test/upper/._0.png")
    with pytest.warns(UserWarning, match="3 hidden files were left out"):
        found = data.load("image-folder", root=tmp_path, image_size=16)
    assert (len(found.train), len(found.test), found.class_names) == (200, 58, ("lower", "upper"))
    for part in (found.train, found.test):
        halves = part.raw[:, :, :6].mean((1, 2, 3)), part.raw[:, :, -6:].mean((1, 2, 3))
        assert np.array_equal(halves[0] > halves[1], part.labels == 1), "every picture says what its folder says"
    assert found.train.raw.max() < 250, "16 bits are scaled, not clipped to white"


def test_image_folder_refuses_pixels_without_a_range(folder):
    from PIL import Image

    Image.fromarray(np.full((20, 20), 0.5, np.float32)).save(folder / "train" / "red" / "float.tiff")
    with pytest.raises(InputError, match=r"float.tiff cannot be read .*floating-point"):
        data.load("image-folder", root=folder, image_size=16)


def test_image_folder_refuses_what_it_cannot_read(folder):
    (folder / "test" / "red" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no image")
    with pytest.raises(InputError, match=r"broken\.png"):
        data.load("image-folder", root=folder, image_size=16)
    (folder / "test" / "red" / "broken.png").unlink()
    (folder / "test" / "green").mkdir()
    with pytest.raises(InputError, match="'green'"):
        data.load("image-folder", root=folder, image_size=16)
    (folder / "test" / "green").rmdir()
    (folder / "train" / "green").mkdir()
    with pytest.raises(InputError, match="no image"):
        data.load("image-folder", root=folder, image_size=16)
