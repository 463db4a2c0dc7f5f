"""Archives: what goes in comes out; what was tampered with, made up or cut short does not."""

import io
import json
import pickle
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from flyroom.data import archive, load

SUFFIXES = ("npz", "parquet")


@pytest.fixture
def made():
    return load("mnist1d", num_samples=50)


def assert_same(one, other):
    for part in archive.PARTS:
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part))
        assert getattr(one, part).dtype == getattr(other, part).dtype
    assert (one.name, one.classes, one.axes, dict(one.recipe)) == (
        other.name,
        other.classes,
        other.axes,
        dict(other.recipe),
    )
    assert set(one.extras) == set(other.extras)
    for name in one.extras:
        np.testing.assert_array_equal(one.extras[name], other.extras[name])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["mnist1d", "digits", "blobs"])
def test_what_goes_in_comes_out(tmp_path, suffix, name):
    made = load(name)
    path = archive.save(made, tmp_path / f"set.{suffix}")
    assert_same(load(path), made)
    assert_same(load(str(path)), made)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_float32_is_half_as_large_and_reads_as_float32(tmp_path, suffix):
    made = load("mnist1d", num_samples=1000)
    double = archive.save(made, tmp_path / f"double.{suffix}", dtype=np.float64)
    single = archive.save(made, tmp_path / f"single.{suffix}", dtype=np.float32)
    assert single.stat().st_size < 0.6 * double.stat().st_size
    np.testing.assert_array_equal(archive.read(single).x_train, made.x_train.astype(np.float32))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_empty_test_part_is_kept(tmp_path, suffix):
    made = load("moons", n=10, train_split=1.0)
    assert_same(archive.read(archive.save(made, tmp_path / f"set.{suffix}")), made)


def test_numpy_and_pandas_like_readers_open_them(tmp_path, made):
    with np.load(archive.save(made, tmp_path / "set.npz"), allow_pickle=False) as plain:
        np.testing.assert_array_equal(plain["x_test"], made.x_test)
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(archive.save(made, tmp_path / "set.parquet"))
    assert table.column_names == ["test", "label", "x"]
    assert table["label"].to_pylist() == [*made.y_train, *made.y_test]
    np.testing.assert_array_equal(table["x"].to_pylist()[-1], made.x_test[-1])


def test_equal_datasets_make_equal_files(tmp_path, made):
    one, two = (archive.save(made, tmp_path / name) for name in ("one.npz", "two.npz"))
    assert one.read_bytes() == two.read_bytes()


def test_saving_refuses_what_it_should(tmp_path, made, monkeypatch):
    path = archive.save(made, tmp_path / "set.npz")
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="exists; choose another name, or say overwrite=True"):
        archive.save(made, path)
    with pytest.raises(ValueError, match=r"ends in '.csv'; use .npz or .parquet"):
        archive.save(made, tmp_path / "set.csv")
    with pytest.raises(ValueError, match="dtype=int8 is not offered"):
        archive.save(made, tmp_path / "other.npz", dtype=np.int8)
    with pytest.raises(FileNotFoundError, match="is not a directory; make it first"):
        archive.save(made, tmp_path / "nowhere" / "set.npz")
    with pytest.raises(ValueError, match="extras/names has type object, which is not a number"):
        archive.save(replace(made, extras={"names": np.array([{}])}), tmp_path / "other.npz")

    def fail(*arguments, **options):
        raise OSError("no space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(OSError, match="no space left"):
        archive.save(made, path, overwrite=True)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["set.npz"]


def test_overwriting_when_told(tmp_path, made):
    path = archive.save(load("moons", n=10), tmp_path / "set.npz")
    assert_same(archive.read(archive.save(made, path, overwrite=True)), made)


def test_without_pyarrow_the_error_names_the_extra(tmp_path, made, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'flyroom\[lab\]', or save to .npz"):
        archive.save(made, tmp_path / "set.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_truncation_is_noticed(tmp_path, made, suffix):
    path = archive.save(made, tmp_path / f"set.{suffix}")
    whole = path.read_bytes()
    for length in [0, 1, 10, 100, *range(1000, len(whole), 4000), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=str(path)):
            archive.read(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_changed_value_is_noticed(tmp_path, made, suffix):
    path = archive.save(made, tmp_path / f"set.{suffix}")
    whole = bytearray(path.read_bytes())
    at = whole.find(made.x_train[7, 3].tobytes())
    assert at > 0
    whole[at] ^= 1
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"CRC|is damaged: its contents do not have the digest"):
        archive.read(path)


def members(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def write(path, contents, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in contents.items():
            file.writestr(name, data)


def array_bytes(array, **options):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


def header_of_shape(shape, descr="<f8"):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


class Trap:
    """Would leave a mark if it were ever unpickled."""

    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"x_train.npy": header_of_shape((10**9, 10**6)) + b"tiny"}, r"declares shape \(1000000000, 1000000\)"),
        ({"x_train.npy": header_of_shape((-1, 40)) + b"tiny"}, r"declares shape \(-1, 40\)"),
        (
            {"x_train.npy": array_bytes(np.array([Trap()], object), allow_pickle=True)},
            "only numbers are read, never obj",
        ),
        ({"x_train.npy": array_bytes(np.array(["text"]))}, "only numbers are read"),
        ({"x_train.npy": pickle.dumps([1, 2])}, "is not a NumPy array"),
        ({"x_train.npy": array_bytes(np.zeros((40, 40)))}, "is damaged: its contents do not have the digest"),
        ({"header.npy": array_bytes(np.frombuffer(b"{", np.uint8))}, "header that cannot be read"),
        ({"header.npy": array_bytes(np.frombuffer(b"[" * 100_000, np.uint8))}, "header that cannot be read"),
        ({"header.npy": array_bytes(np.frombuffer(b"[1]", np.uint8))}, "is of format None; this version reads"),
        ({"header.npy": array_bytes(np.frombuffer(b'{"format": "other 3"}', np.uint8))}, "is of format 'other 3'"),
        ({"header.npy": None}, "has no header; it was not made by flyroom"),
        ({"y_test.npy": None}, "has no y_test; it was not made by flyroom"),
        ({f"extras/{i}.npy": b"" for i in range(1001)}, "too many or of equal names"),
    ],
)
def test_hostile_archives_are_named_and_refused(tmp_path, made, change, sentence):
    path = archive.save(made, tmp_path / "set.npz")
    contents = {name: data for name, data in {**members(path), **change}.items() if data is not None}
    write(path, contents)
    with pytest.raises(ValueError, match=sentence):
        archive.read(path)
    assert not Trap.sprung


def test_a_zip_bomb_is_refused_before_it_opens(tmp_path, made):
    path = archive.save(made, tmp_path / "set.npz")
    write(path, members(path) | {"extras/bomb.npy": bytes(50_000_000)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(ValueError, match="is compressed or encrypted"):
        archive.read(path)


def test_a_lying_directory_is_refused(tmp_path, made):
    """The directory at the end of the file claims that a member is larger than the whole file."""
    path = archive.save(made, tmp_path / "set.npz")
    write(path, members(path))
    whole = bytearray(path.read_bytes())
    at = whole.rfind(b"PK\x01\x02")
    whole[at + 20 : at + 28] = (2**31 - 1).to_bytes(4, "little") * 2
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"declares \d+ bytes but has"):
        archive.read(path)


def test_other_files_are_refused(tmp_path, made):
    for name, data in (("a.npz", b"no zip at all"), ("a.parquet", b"PAR1 not really PAR1"), ("b.npz", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=r"is not a whole"):
            archive.read(tmp_path / name)
    np.savez(tmp_path / "foreign.npz", x=made.x_train)
    with pytest.raises(ValueError, match="has no header; it was not made by flyroom"):
        archive.read(tmp_path / "foreign.npz")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        archive.read(tmp_path / "none.npz")


def test_hostile_parquet_is_refused(tmp_path, made):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = archive.save(made, tmp_path / "set.parquet")
    table = parquet.read_table(path)
    metadata = dict(table.schema.metadata)

    def rewrite(changed, **options):
        parquet.write_table(changed, path, **({"compression": "NONE", "use_dictionary": False} | options))

    rewrite(table, compression="snappy")
    with pytest.raises(ValueError, match="is compressed"):
        archive.read(path)
    rewrite(table, use_dictionary=True)
    with pytest.raises(ValueError, match="holds dictionaries"):
        archive.read(path)
    rewrite(table.replace_schema_metadata({}))
    with pytest.raises(ValueError, match="has no header"):
        archive.read(path)
    rewrite(table.slice(0, 49))
    with pytest.raises(ValueError, match="is damaged"):
        archive.read(path)
    about = json.loads(metadata[b"flyroom"])
    rewrite(table.replace_schema_metadata({b"flyroom": json.dumps(about | {"shape": [10**12]}).encode()}))
    with pytest.raises(ValueError, match="declares 400000000000400 bytes but has"):
        archive.read(path)
    rewrite(table.replace_schema_metadata({b"flyroom": json.dumps(about | {"x": "O"}).encode()}))
    with pytest.raises(ValueError, match="values of a wrong type"):
        archive.read(path)
    rewrite(table.set_column(1, "label", arrow.array(["a"] * 50)).replace_schema_metadata(metadata))
    with pytest.raises(ValueError, match="has columns"):
        archive.read(path)
