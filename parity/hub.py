"""Caches that huggingface_hub makes from a hub of this machine, as a listing of their files and links."""

import hashlib
import json
import os
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

FIXTURES = Path(__file__).parent.parent / "test" / "fixtures" / "hub"

COMMIT = "1234567890abcdef1234567890abcdef12345678"
FILES = {
    "config.json": b'{"model_type": "llama"}\n',
    "README.md": b"---\nlicense: mit\n---\n",
    "tokenizer.json": b'{"version": "1.0"}',
    "empty.txt": b"",
    "onnx/model.onnx": b"onnx" * 5,
    "model.safetensors": bytes(range(256)) * 4,
}
LARGE = {"model.safetensors"}


def entry(path: str) -> dict:
    content = FILES[path]
    pointer = (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{hashlib.sha256(content).hexdigest()}\nsize {len(content)}\n"
    ).encode()
    stored = pointer if path in LARGE else content
    oid = hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest()
    row = {"type": "file", "oid": oid, "size": len(content), "path": path}
    if path in LARGE:
        row["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": len(pointer)}
    return row


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status: int, headers: dict, body: bytes = b""):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        parts = path.strip("/").split("/")
        if parts[:2] in (["api", "models"], ["api", "datasets"]):
            if parts[4] == "revision":
                body = {"_id": "1", "id": "/".join(parts[2:4]), "sha": COMMIT, "private": False, "siblings": []}
            else:
                body = [entry(name) for name in FILES]
            return self.answer(200, {"content-type": "application/json"}, json.dumps(body).encode())
        name = "/".join(parts[parts.index("resolve") + 2 :]) if "resolve" in parts else ""
        if name not in FILES:
            return self.answer(404, {"x-error-code": "EntryNotFound", "x-repo-commit": COMMIT})
        row = entry(name)
        tag = {"x-repo-commit": COMMIT, "etag": f'"{row["oid"]}"'}
        if "lfs" in row:
            tag |= {"x-linked-etag": f'"{row["lfs"]["oid"]}"', "x-linked-size": str(row["size"])}
        self.answer(200, tag, FILES[name])


def layout(folder: Path) -> dict:
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.startswith(".locks") or path.is_dir() and not path.is_symlink():
            continue
        if path.is_symlink():
            found[name] = {"link": os.readlink(path)}
        elif "blobs" in name:
            found[name] = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        else:
            found[name] = {"text": path.read_text()}
    return found


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = os.environ["HF_HUB_DISABLE_XET"] = "1"
    import huggingface_hub

    record = {
        "huggingface_hub": huggingface_hub.__version__,
        "commit": COMMIT,
        "files": {name: entry(name) | {"hex": FILES[name].hex()} for name in FILES},
        "layouts": {},
    }
    cases = {
        "model": {"repo_type": "model", "revision": "main"},
        "dataset": {"repo_type": "dataset", "revision": "refs/convert/parquet"},
        "commit": {"repo_type": "model", "revision": COMMIT},
    }
    for case, options in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            huggingface_hub.snapshot_download("some-org/some.name", cache_dir=folder, **options)
            record["layouts"][case] = layout(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        huggingface_hub.hf_hub_download("some-org/some.name", "config.json", cache_dir=folder)
        huggingface_hub.hf_hub_download("some-org/some.name", "model.safetensors", cache_dir=folder)
        record["layouts"]["single"] = layout(Path(folder))
    names = ["org/name", "name", "a/b/c", "-a/b", "a/b-", "a..b", "a/b--c", "a/b.git", "org/na me", "", "x" * 97, "a/", "a_b/c.d-e", ".a", "A/B1"]
    record["ids"] = {}
    for name in names:
        try:
            huggingface_hub.utils.validate_repo_id(name)
            record["ids"][name] = True
        except huggingface_hub.errors.HFValidationError:
            record["ids"][name] = False
    FIXTURES.mkdir(parents=True, exist_ok=True)
    (FIXTURES / "cache.json").write_text(json.dumps(record, indent=1) + "\n")
    server.shutdown()


def read(folder: str):
    """Reads a cache that was made by something else, with the network off, and prints what was found."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import huggingface_hub

    snapshot = huggingface_hub.snapshot_download("some-org/some.name", cache_dir=folder)
    file = huggingface_hub.try_to_load_from_cache("some-org/some.name", "model.safetensors", cache_dir=folder)
    scan = huggingface_hub.scan_cache_dir(folder)
    print(snapshot, file, [(r.repo_id, r.nb_files, r.size_on_disk) for r in scan.repos], scan.warnings)


if __name__ == "__main__":
    read(sys.argv[1]) if len(sys.argv) > 1 else main()
