import hashlib
import io
import os
import stat
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest

from s3mr import limits
from s3mr.errors import InvariantError, RequestError
from s3mr.usercode.bundle import make_bundle, open_bundle


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


def test_an_opened_bundle_has_the_bundled_files(code: dict[str, Path], tmp_path: Path) -> None:
    opened = open_zip(make_bundle(code), tmp_path / "bundles")
    files = {str(path.relative_to(opened)): path.read_bytes() for path in opened.rglob("*") if path.is_file()}
    assert files == {name: path.read_bytes() for name, path in code.items()}


def test_the_same_code_gives_the_same_bytes_regardless_of_its_file_times(code: dict[str, Path]) -> None:
    first = make_bundle(code)
    for path in code.values():
        path.chmod(0o600)
        path.touch()
    assert make_bundle(dict(reversed(code.items()))) == first


def test_a_bundle_is_unpacked_once_and_reused(code: dict[str, Path], tmp_path: Path) -> None:
    data = make_bundle(code)
    opened = open_zip(data, tmp_path / "bundles")
    (opened / "mark").touch()
    assert open_zip(data, tmp_path / "bundles") == opened
    assert (opened / "mark").exists()
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == [hashlib.sha256(data).hexdigest()]


def test_a_bundle_whose_content_does_not_match_its_name_is_refused(code: dict[str, Path], tmp_path: Path) -> None:
    data = make_bundle(code)
    with pytest.raises(InvariantError, match="SHA-256"):
        open_bundle(data + b"x", hashlib.sha256(data).hexdigest(), tmp_path / "bundles")


def claiming(size_bytes: int) -> bytes:
    return zip_of(("a", bytes(100_000))).replace((100_000).to_bytes(4, "little"), size_bytes.to_bytes(4, "little"))


def claiming_everywhere(size_bytes: int) -> bytes:
    """Return a zip whose headers and checksum claim this size, but which unpacks to 256 MiB."""
    content = zlib.compressobj(9, zlib.DEFLATED, -15)
    squeezed = b"".join([*(content.compress(bytes(64 * limits.MIB)) for _ in range(4)), content.flush()])
    made = zip_of(("a", bytes(size_bytes)))
    honest = zipfile.ZipFile(io.BytesIO(made)).infolist()[0]
    data = bytearray(made.replace(made[31 : 31 + honest.compress_size], squeezed, 1))
    header = data.index(b"PK\x01\x02")
    data[18:22] = data[header + 20 : header + 24] = len(squeezed).to_bytes(4, "little")
    data[-6:-2] = header.to_bytes(4, "little")
    return bytes(data)


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


def garbled_zip() -> bytes:
    data = bytearray(zip_of(("a", b"content" * 100)))
    data[31:35] = b"\xff" * 4
    return bytes(data)


def no_utf8_zip() -> bytes:
    return zip_of(("ä", b"")).replace("ä".encode(), b"\xff\xff")


def bzip2_zip() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a", b"content")
    return data.getvalue()


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
    "file below file but for case": zip_of(("A", b""), ("a/b", b"")),
    "same but for case": zip_of(("dir/a.py", b"1"), ("dir/A.py", b"2")),
    "same but for accents": zip_of(("\u00e9", b"1"), ("e\u0301", b"2")),
    "long name": zip_of(("a" * 256, b"")),
    "hidden parent": zip_of(("a/..", b"")),
    "link": zip_of((entry("a", stat.S_IFLNK | 0o777), b"/etc/passwd")),
    "device": zip_of((entry("a", stat.S_IFCHR | 0o666), b"")),
    "too large": claiming(limits.BUNDLE_UNZIPPED_BYTES_MAX + 1),
    "claiming less than it holds": claiming(10),
    "claiming more than it holds": claiming(100_001),
    "not deflated": bzip2_zip(),
    "garbled": garbled_zip(),
    "no UTF-8": no_utf8_zip(),
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


def test_a_zip_bomb_with_a_false_header_uses_little_memory(tmp_path: Path) -> None:
    data = claiming_everywhere(10)
    assert len(data) < 3 * limits.MIB
    tracemalloc.start()
    try:
        opened = open_zip(data, tmp_path / "bundles")
        assert tracemalloc.get_traced_memory()[1] < 32 * limits.MIB
    finally:
        tracemalloc.stop()
    assert (opened / "a").stat().st_size == 10


def test_a_bundle_with_too_many_files_is_refused_before_any_is_written(tmp_path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for number in range(limits.BUNDLE_FILES_MAX + 1):
            archive.writestr(str(number), b"")
    with pytest.raises(InvariantError, match="too many files"):
        open_zip(data.getvalue(), tmp_path / "bundles")
    assert list(tmp_path.rglob("*")) == [tmp_path / "bundles"]


def test_a_bundle_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(InvariantError, match="too large"):
        open_bundle(bytes(limits.BUNDLE_BYTES_MAX + 1), "0" * 64, tmp_path / "bundles")


def test_bundles_are_in_a_folder_that_other_users_cannot_write(code: dict[str, Path], tmp_path: Path) -> None:
    opened = open_zip(make_bundle(code), tmp_path / "bundles")
    assert stat.S_IMODE(opened.parent.stat().st_mode) == stat.S_IMODE(opened.stat().st_mode) == 0o700


def test_a_folder_for_bundles_that_belongs_to_another_user_is_refused(code: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir()
    try:
        os.chown(tmp_path / "bundles", os.geteuid() + 1, -1)
    except PermissionError:
        pytest.skip("only root can give a folder away")
    with pytest.raises(RequestError, match="belongs to another user"):
        open_zip(make_bundle(code), tmp_path / "bundles")


@pytest.mark.parametrize("names", [("a.py", "A.py"), ("a", "A/b"), ("\u00e9", "e\u0301")])
def test_names_that_differ_only_in_case_are_refused(names: tuple[str, str], code: dict[str, Path]) -> None:
    with pytest.raises(RequestError, match="a bundle cannot have"):
        make_bundle(dict.fromkeys(names, code["job.py"]))


def test_folders_may_differ_only_in_case(code: dict[str, Path], tmp_path: Path) -> None:
    opened = open_zip(make_bundle({"A/x": code["job.py"], "a/y": code["job.py"]}), tmp_path / "bundles")
    assert (opened / "A/x").is_file()
    assert (opened / "a/y").is_file()


@pytest.mark.parametrize("name", ["/a", "../a", "a\\b", "c:a", ""])
def test_a_bundle_is_not_made_with_a_name_that_could_not_be_opened(name: str, code: dict[str, Path]) -> None:
    with pytest.raises(RequestError, match="not a valid name for a file"):
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


@pytest.mark.timeout(10)
@pytest.mark.parametrize("device", ["pipe", "/dev/zero", "/dev/stdin"])
def test_a_bundle_contains_only_regular_files(device: str, code: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "other").unlink()
    if device == "pipe":
        os.mkfifo(tmp_path / "other")
    else:
        (tmp_path / "other").symlink_to(device)
    with pytest.raises(RequestError, match=r"other is not a regular file"):
        make_bundle(code)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs a file that says it is empty, and is endless")
def test_a_file_that_reports_size_0_is_read_only_up_to_the_limit_of_a_bundle(
    code: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BUNDLE_UNZIPPED_BYTES_MAX", 1_000)
    (tmp_path / "other").unlink()
    (tmp_path / "other").symlink_to("/proc/self/smaps")
    assert Path("/proc/self/smaps").stat().st_size == 0
    with pytest.raises(RequestError, match=r"the code is too large: with .*other"):
        make_bundle(code)
