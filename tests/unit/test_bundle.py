import hashlib
import io
import stat
import zipfile
from pathlib import Path

import pytest

from s3mr import limits
from s3mr.bundle import make_bundle, open_bundle
from s3mr.errors import InvariantError, RequestError


def open_zip(data: bytes, folder: Path) -> Path:
    return open_bundle(data, hashlib.sha256(data).hexdigest(), folder)


def zip_of(*entries: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return data.getvalue()


def entry(name: str, mode: int) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.create_system, made.external_attr = 3, mode << 16
    return made


@pytest.fixture
def code(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "job.py").write_text("print('job')")
    (tmp_path / "other").write_bytes(bytes(range(256)))
    return {"job.py": tmp_path / "job.py", "package/deep/data.bin": tmp_path / "other"}


def test_what_was_bundled_is_what_is_opened(code: dict[str, Path], tmp_path: Path) -> None:
    opened = open_zip(make_bundle(code), tmp_path / "bundles")
    files = {str(path.relative_to(opened)): path.read_bytes() for path in opened.rglob("*") if path.is_file()}
    assert files == {name: path.read_bytes() for name, path in code.items()}


def test_the_same_code_makes_the_same_bytes_whenever_it_was_written(code: dict[str, Path]) -> None:
    first = make_bundle(code)
    for path in code.values():
        path.chmod(0o600)
        path.touch()
    assert make_bundle(dict(reversed(code.items()))) == first


def test_a_bundle_is_unpacked_once_and_found_again(code: dict[str, Path], tmp_path: Path) -> None:
    data = make_bundle(code)
    opened = open_zip(data, tmp_path / "bundles")
    (opened / "mark").touch()
    assert open_zip(data, tmp_path / "bundles") == opened
    assert (opened / "mark").exists()
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == [hashlib.sha256(data).hexdigest()]


def test_a_bundle_with_other_content_than_its_name_says_is_refused(code: dict[str, Path], tmp_path: Path) -> None:
    data = make_bundle(code)
    with pytest.raises(InvariantError, match="SHA-256"):
        open_bundle(data + b"x", hashlib.sha256(data).hexdigest(), tmp_path / "bundles")


def claiming(size_bytes: int) -> bytes:
    return zip_of(("a", bytes(100_000))).replace((100_000).to_bytes(4, "little"), size_bytes.to_bytes(4, "little"))


def nul_zip() -> bytes:
    return zip_of(("aXb", b"")).replace(b"aXb", b"a\0b")


def encrypted_zip() -> bytes:
    data = bytearray(zip_of(("a", b"content")))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def twice_zip() -> bytes:
    return zip_of(("a", b"1"), ("b", b"2")).replace(b"b", b"a")


def wrong_checksum_zip() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a", b"content")
    return data.getvalue().replace(b"content", b"CONTENT")


HOSTILE = {
    "absolute": zip_of(("/etc/passwd", b"")),
    "parent": zip_of(("a/../../b", b"")),
    "only parent": zip_of(("..", b"")),
    "drive": zip_of(("C:/a", b"")),
    "backslash": zip_of(("a\\b", b"")),
    "dot": zip_of(("./a", b"")),
    "empty component": zip_of(("a//b", b"")),
    "folder": zip_of(("a/", b"")),
    "file below file": zip_of(("a", b""), ("a/b", b"")),
    "link": zip_of((entry("a", stat.S_IFLNK | 0o777), b"/etc/passwd")),
    "device": zip_of((entry("a", stat.S_IFCHR | 0o666), b"")),
    "too large": claiming(limits.BUNDLE_UNZIPPED_BYTES_MAX + 1),
    "claiming less than it holds": claiming(10),
    "no zip": b"no zip at all",
    "cut": zip_of(("a", b"content"))[:-5],
    "damaged": wrong_checksum_zip(),
    "nul": nul_zip(),
    "encrypted": encrypted_zip(),
    "twice": twice_zip(),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_zip_is_refused_and_leaves_nothing(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(InvariantError):
        open_zip(data, tmp_path / "bundles")
    assert list(tmp_path.rglob("*")) == [tmp_path / "bundles"]


@pytest.mark.parametrize("name", ["/a", "../a", "a\\b", "c:a", ""])
def test_no_bundle_is_made_with_a_name_that_could_not_be_opened(name: str, code: dict[str, Path]) -> None:
    with pytest.raises(RequestError, match="no name for a file"):
        make_bundle({name: code["job.py"]})


def test_too_many_files_are_refused(code: dict[str, Path]) -> None:
    files = dict.fromkeys(map(str, range(limits.BUNDLE_FILES_MAX + 1)), code["job.py"])
    with pytest.raises(RequestError, match="too many files"):
        make_bundle(files)


def test_too_large_files_are_refused_before_they_are_read(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(limits.BUNDLE_UNZIPPED_BYTES_MAX + 1)
    with pytest.raises(RequestError, match="too large"):
        make_bundle({"large": tmp_path / "large"})
