"""datasets/download.py with a server on this machine: whole, resumed, refused and unpacked files."""

import hashlib
import importlib.util
import io
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "datasets" / "download.py"
SPEC = importlib.util.spec_from_file_location("download", SCRIPT)
download = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(download)

HELA = {f"DIC-C2DH-HeLa/{name}": os.urandom(999) for name in ("01/t000.tif", "01/t001.tif", "01_GT/SEG/man_seg000.tif")}
U373 = {"PhC-C2DH-U373/01/t000.tif": b"phase"}


class Handler(BaseHTTPRequestHandler):
    """Sends ``server.files`` with Range requests, as the publishers' servers do; see ``server`` for how it misbehaves."""

    def do_GET(self):
        content = self.server.files.get(self.path.lstrip("/"))
        asked = self.headers.get("Range") if self.server.knows_ranges else None
        self.server.requests.append(self.headers.get("Range"))
        if content is None:
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if asked and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        sent = content[start:][: self.server.stop_after]
        self.server.sent.append(len(sent))
        self.wfile.write(sent)
        self.wfile.flush()
        if self.server.hold:
            self.server.hold.wait(10)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """``files``: what it has; ``requests``: the Range headers and ``sent``: the bytes, one per answer."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.requests, server.sent = {}, [], []
    server.knows_ranges, server.stop_after, server.hold = True, None, None
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def publish(server, monkeypatch):
    """A function that puts a recipe's zip files on the server; known: with their checksums in the table."""

    def put(recipe, *contents, known=True):
        archives = []
        for archive, content in zip(download.ARCHIVES[recipe], contents, strict=True):
            server.files[archive.name] = content
            archives.append(archive._replace(sha256=hashlib.sha256(content).hexdigest() if known else None))
        monkeypatch.setitem(download.ARCHIVES, recipe, archives)

    return put


@pytest.fixture
def fetch(server, tmp_path):
    """A function that runs the command line for a recipe, and the folder it fills."""
    return lambda recipe, url=server.url: download.main([recipe, "--folder", str(tmp_path), "--url", url])


def zipped(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name), content)  # without the time: the same bytes in every call
    return stream.getvalue()


def everything(folder):
    """{path below folder: content} of all files."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


NUCLEI = zipped({"a/images/a.png": os.urandom(60_000), "a/masks/1.png": b"white"})


def test_a_whole_download(publish, fetch, tmp_path, capsys):
    publish("dsb", NUCLEI)
    fetch("dsb")
    assert everything(tmp_path) == {"dsb/stage1_train.zip": NUCLEI}
    assert capsys.readouterr().out == f"{tmp_path / 'dsb/stage1_train.zip'}: complete\n"


def test_an_interrupted_download_goes_on(publish, fetch, server, tmp_path, monkeypatch):
    publish("dsb", NUCLEI)
    monkeypatch.setattr(download, "CHUNK", 1000)
    server.stop_after = 10_000
    with pytest.raises(SystemExit, match=r"stage1_train\.zip: the connection failed.*continues after the 10,000 bytes in") as e:
        fetch("dsb")
    assert "\n" not in str(e.value)
    assert everything(tmp_path) == {"dsb/stage1_train.zip.part": NUCLEI[:10_000]}
    server.stop_after = None
    fetch("dsb")
    assert server.requests == [None, "bytes=10000-"]
    assert server.sent == [10_000, len(NUCLEI) - 10_000]
    assert everything(tmp_path) == {"dsb/stage1_train.zip": NUCLEI}


def test_a_killed_download_goes_on(publish, server, fetch, tmp_path):
    """The process is killed while it waits for more; what it has is not under the final name."""
    content = zipped({"a/images/a.png": os.urandom(300_000)})
    publish("dsb", content)
    server.stop_after, server.hold = 200_000, threading.Event()
    command = [sys.executable, SCRIPT, "dsb", "--folder", tmp_path, "--url", server.url]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    part = tmp_path / "dsb/stage1_train.zip.part"
    while process.poll() is None and not (part.exists() and part.stat().st_size):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    server.hold.set()
    held = part.stat().st_size
    assert 0 < held <= 200_000 and not (tmp_path / "dsb/stage1_train.zip").exists()
    server.stop_after = None
    fetch("dsb")
    assert server.requests == [None, f"bytes={held}-"] and server.sent[1] == len(content) - held
    assert everything(tmp_path) == {"dsb/stage1_train.zip": content}


def test_a_server_without_ranges_sends_all_again(publish, fetch, server, tmp_path):
    publish("dsb", NUCLEI)
    server.knows_ranges = False
    (tmp_path / "dsb").mkdir()
    (tmp_path / "dsb/stage1_train.zip.part").write_bytes(NUCLEI[:10_000])
    fetch("dsb")
    assert server.requests == ["bytes=10000-"] and server.sent == [len(NUCLEI)]
    assert everything(tmp_path) == {"dsb/stage1_train.zip": NUCLEI}


def test_a_part_that_is_complete_needs_no_more_bytes(publish, fetch, server, tmp_path):
    publish("dsb", NUCLEI)
    (tmp_path / "dsb").mkdir()
    (tmp_path / "dsb/stage1_train.zip.part").write_bytes(NUCLEI)
    fetch("dsb")
    assert server.sent == []
    assert everything(tmp_path) == {"dsb/stage1_train.zip": NUCLEI}


def test_a_part_longer_than_the_file_starts_again(publish, fetch, server, tmp_path):
    publish("dsb", NUCLEI)
    (tmp_path / "dsb").mkdir()
    (tmp_path / "dsb/stage1_train.zip.part").write_bytes(NUCLEI + b"more")
    fetch("dsb")
    assert server.sent == [len(NUCLEI)]
    assert everything(tmp_path) == {"dsb/stage1_train.zip": NUCLEI}


def test_a_wrong_checksum_leaves_nothing(publish, fetch, server, tmp_path):
    publish("dsb", NUCLEI)
    server.files["stage1_train.zip"] = NUCLEI[:-1] + b"x"
    with pytest.raises(SystemExit, match=r"stage1_train\.zip: SHA256 hash of.*does not match.*the same command again"):
        fetch("dsb")
    assert list((tmp_path / "dsb").iterdir()) == []


@pytest.mark.parametrize("there", ["stage1_train.zip", "stage1_train/a/images/a.png"])
def test_what_is_there_is_not_fetched(publish, fetch, server, tmp_path, there, capsys):
    """Nor changed: the zip file with the community's corrected masks has the same name as the published one."""
    publish("dsb", NUCLEI)
    path = tmp_path / "dsb" / there
    path.parent.mkdir(parents=True)
    path.write_bytes(b"corrected")
    fetch("dsb")
    assert server.requests == [] and path.read_bytes() == b"corrected"
    assert "is there already" in capsys.readouterr().out


def test_cells_are_unpacked(publish, fetch, server, tmp_path):
    publish("cells", zipped(HELA), zipped(U373))
    fetch("cells")
    assert everything(tmp_path / "cells") == HELA | U373
    fetch("cells")
    assert len(server.requests) == 2


@pytest.mark.parametrize("inside", ["BBBC005_v1_ground_truth", "synthetic_2_ground_truth"])
def test_bbbc005_is_unpacked(publish, fetch, tmp_path, inside):
    """Both names are known for the folder in the zip file of masks."""
    name = "SIMCEPImages_A01_C1_F1_s01_w1.TIF"
    masks = zipped({f"{inside}/{name}": b"mask", "__MACOSX/x": b""})
    publish("bbbc005", masks, zipped({f"BBBC005_v1_images/{name}": b"image"}))
    fetch("bbbc005")
    expected = {f"BBBC005_v1_images/{name}": b"image", f"BBBC005_v1_ground_truth/{name}": b"mask"}
    assert everything(tmp_path / "bbbc005") == expected


def test_a_zip_file_put_there_is_unpacked_and_kept(publish, fetch, server, tmp_path, capsys):
    publish("cells", zipped(HELA), zipped(U373))
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells/PhC-C2DH-U373.zip").write_bytes(zipped(U373))
    fetch("cells")
    assert everything(tmp_path / "cells") == HELA | U373 | {"PhC-C2DH-U373.zip": zipped(U373)}
    assert len(server.requests) == 1
    assert "PhC-C2DH-U373.zip is no longer needed" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["../outside.tif", "/outside.tif", "PhC-C2DH-U373/../../outside.tif", "C:\\outside.tif"])
def test_a_member_that_points_outside_is_refused(publish, fetch, tmp_path, name):
    publish("cells", zipped(HELA), zipped(U373 | {name: b"bad"}))
    with pytest.raises(SystemExit, match=r"PhC-C2DH-U373\.zip: .*outside\.tif would be written outside"):
        fetch("cells")
    assert not (tmp_path / "cells/PhC-C2DH-U373").exists()
    assert [path for path in everything(tmp_path) if "outside" in path] == []


def test_another_folder_inside_is_refused(publish, fetch, tmp_path):
    publish("cells", zipped(HELA), zipped({"a/t000.tif": b"", "b/t000.tif": b""}))
    with pytest.raises(SystemExit, match=r"U373\.zip: holds a, b, expected the folder PhC-C2DH-U373; unpack it by hand"):
        fetch("cells")
    assert not (tmp_path / "cells/PhC-C2DH-U373").exists()


def test_interrupted_unpacking_leaves_no_half_of_the_images(publish, fetch, server, tmp_path, monkeypatch):
    publish("cells", zipped(HELA), zipped(U373))
    whole = zipfile.ZipFile.extract

    def stop_at_the_second(self, name, path):
        if name.endswith("t001.tif"):
            raise KeyboardInterrupt
        return whole(self, name, path)

    monkeypatch.setattr(zipfile.ZipFile, "extract", stop_at_the_second)
    with pytest.raises(SystemExit, match="130"):
        fetch("cells")
    assert not (tmp_path / "cells/DIC-C2DH-HeLa").exists()
    monkeypatch.setattr(zipfile.ZipFile, "extract", whole)
    fetch("cells")
    assert len(server.requests) == 2
    found = everything(tmp_path / "cells")
    assert found.pop("DIC-C2DH-HeLa.zip") == zipped(HELA)
    assert found == HELA | U373


def test_without_a_published_checksum_the_first_download_is_recorded(publish, fetch, server, tmp_path, capsys):
    publish("dsb", NUCLEI, known=False)
    fetch("dsb")
    assert "no checksum is published, so only the CRCs" in capsys.readouterr().out
    assert hashlib.sha256(NUCLEI).hexdigest() in (tmp_path / "dsb/checksums.json").read_text()
    (tmp_path / "dsb/stage1_train.zip").unlink()
    server.files["stage1_train.zip"] = zipped({"another": b""})
    with pytest.raises(SystemExit, match=r"does not match.*checksums\.json holds the known hash"):
        fetch("dsb")
    assert list(everything(tmp_path)) == ["dsb/checksums.json"]


@pytest.mark.parametrize(
    "content", [NUCLEI.replace(b"white", b"black"), NUCLEI[:50_000], b"<html>Log in</html>"], ids=["crc", "cut", "html"]
)
def test_without_a_published_checksum_damage_is_found(publish, fetch, tmp_path, content):
    publish("dsb", content, known=False)
    with pytest.raises(SystemExit, match=r"stage1_train\.zip: .*damaged.*the same command again"):
        fetch("dsb")
    assert list((tmp_path / "dsb").iterdir()) == []


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("tomography", "private; ask the authors .*tomography/inp/<sample>_image_<slice>.tiff.*Cell Tracking.*simulated"),
        ("isbi", "register at https://imagej.net/.*train-volume.tif, train-labels.tif and test-volume.tif into .*/isbi/"),
    ],
)
def test_what_is_not_public_says_whom_to_ask(fetch, server, tmp_path, recipe, words):
    with pytest.raises(SystemExit, match=words) as stopped:
        fetch(recipe)
    assert isinstance(stopped.value.code, str)  # as the exit status: 1
    assert server.requests == [] and list(tmp_path.iterdir()) == []


def test_a_server_that_is_down_or_lacks_the_file(server, fetch, tmp_path):
    with pytest.raises(SystemExit, match=r"download\.py: http://.*stage1_train\.zip: the server answered 404 Not Found; check"):
        fetch("dsb")
    with pytest.raises(
        SystemExit,
        match=r"download\.py: http://127\.0\.0\.1:1/stage1_train\.zip: the connection failed \(ConnectionError\); check",
    ):
        fetch("dsb", "http://127.0.0.1:1")
    with pytest.raises(SystemExit, match="No scheme supplied"):
        fetch("dsb", "mirror")
    assert everything(tmp_path) == {}


def test_the_table_of_published_files():
    archives = [archive for archives in download.ARCHIVES.values() for archive in archives]
    assert all(archive.address.startswith("https://") and archive.name.endswith(".zip") for archive in archives)
    assert all(len(bytes.fromhex(archive.sha256)) == 32 for archive in archives if archive.sha256)
