"""The client against a server that answers as it is told: what is sent again, what is raised, how events go on.

Every test runs over a `Client` and over an `AsyncClient`.
"""

import inspect
import json
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from awaited import Facade, faced

from pinwheel.client import AsyncJob, Client, Job, retries
from pinwheel.client.bodies import npy_bytes
from pinwheel.errors import InvalidConfig, NotFound, PinwheelError, TooManyRequests, Unavailable

JOB = {"id": "job_1", "status": "running", "terminal": False, "model": None}
DONE = {**JOB, "status": "succeeded", "terminal": True, "model": "digits@1"}


class Script:
    """Answers in order: (status, headers, body), or None to hang up without a word. Remembers what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def take(self, asked: dict[str, Any]) -> Any:
        self.asked.append(asked)
        return self.answers.pop(0)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Script

    def _answer(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            raise AssertionError("the client knows the length of everything it sends")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.script.take({"line": f"{self.command} {self.path}", "headers": self.headers, "body": body})
        if answer is None:
            self.close_connection = True
            return
        status, headers, content = answer
        content = json.dumps(content).encode() if isinstance(content, dict | list) else content
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "X-Cut" in headers:  # more is announced than comes
            self.send_header("Content-Length", str(len(content) + 1))
            self.close_connection = True
        elif status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _answer

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(params=[Client, faced], ids=["sync", "async"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setattr(retries, "FIRST_SECONDS", 0.02)

    class Here(Handler):
        script = Script()
        make = staticmethod(request.param)

    with ThreadingHTTPServer(("127.0.0.1", 0), Here) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def told(server: ThreadingHTTPServer, *answers: Any) -> tuple[Client, Script]:
    script = Script(*answers)
    server.RequestHandlerClass.script = script  # type: ignore[attr-defined]
    return made(server, retries=2, timeout_seconds=5), script


def made(server: ThreadingHTTPServer, **options: Any) -> Client:
    """Of the kind that this test is about."""
    client: Client = server.RequestHandlerClass.make(f"http://127.0.0.1:{server.server_address[1]}", **options)  # type: ignore[attr-defined]
    return client


def job_of(client: Any, record: dict[str, Any]) -> Any:
    if isinstance(client, Facade):
        return Facade(AsyncJob(client._connection, record), client._portal)
    return Job(client._connection, record)


def problem(status: int, code: str, **more: Any) -> tuple[int, dict[str, str], dict[str, Any]]:
    body = {"type": "about:blank", "title": "", "status": status, "detail": f"said {code}", "code": code, **more}
    return status, {"Content-Type": "application/problem+json"}, body


def sse(*seqs: int, cut: bool = False) -> tuple[int, dict[str, str], bytes]:
    text = ": alive\n\n"
    for seq in seqs:
        event = {"object": "event", "seq": seq, "type": "done" if seq == 9 else "metrics", "data": {}}
        text += f"id: {seq}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n"
    return 200, {"Content-Type": "text/event-stream"} | ({"X-Cut": "yes"} if cut else {}), text.encode()


def test_a_problem_is_raised_as_the_class_the_server_raised(server: ThreadingHTTPServer) -> None:
    errors = [{"pointer": "#/model/units", "code": "unknown", "detail": "did you mean …"}]
    client, script = told(server, problem(422, "invalid_config", errors=errors, limit=3))
    with client, pytest.raises(InvalidConfig, match="said invalid_config") as raised:
        client.train(recipe="drsae", dataset="digits", model={"units": 3})
    assert raised.value.errors == errors
    assert raised.value.extra == {"limit": 3}
    assert len(script.asked) == 1


def test_an_answer_that_is_no_problem_says_its_status(server: ThreadingHTTPServer) -> None:
    client, _ = told(server, (500, {}, b"<h1>proxy</h1>"))
    with client, pytest.raises(PinwheelError, match=r"HTTP 500.*proxy"):
        client.info()


def test_a_busy_server_is_asked_again_after_the_time_it_says(server: ThreadingHTTPServer) -> None:
    busy = (503, {"Retry-After": "1"}, problem(503, "no_worker")[2])
    client, script = told(server, busy, (200, {}, {"data": []}))
    begin = time.monotonic()
    with client:
        assert client.recipes() == []
    assert time.monotonic() - begin >= 1
    assert len(script.asked) == 2


def test_a_server_that_stays_busy_is_given_up(server: ThreadingHTTPServer) -> None:
    client, script = told(server, *[problem(429, "too_many_requests")] * 2, problem(429, "too_many_requests"))
    with client, pytest.raises(TooManyRequests):
        client.info()
    assert len(script.asked) == 3


def test_a_proxy_without_a_server_is_unavailable(server: ThreadingHTTPServer) -> None:
    client, _ = told(server, *[(502, {}, b"bad gateway")] * 3)
    with client, pytest.raises(Unavailable, match="502"):
        client.info()


def test_a_creation_that_got_no_answer_is_sent_again_whole_and_with_the_same_key(
    server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    upload = tmp_path / "digits.zip"
    upload.write_bytes(b"PK" + bytes(300_000))
    client, script = told(server, None, problem(409, "idempotency_in_progress"), (201, {}, {"id": "ds_1"}))
    with client:
        assert client.create_dataset(upload, name="mine", color="gray") == {"id": "ds_1"}
    assert [asked["line"] for asked in script.asked] == ["POST /v1/datasets?name=mine&color=gray"] * 3
    assert {asked["body"] for asked in script.asked} == {upload.read_bytes()}
    assert len({asked["headers"]["Idempotency-Key"] for asked in script.asked}) == 1


def test_a_date_to_come_back_at_is_waited_for(server: ThreadingHTTPServer) -> None:
    soon = formatdate(time.time() + 1, usegmt=True)
    client, script = told(server, (503, {"Retry-After": soon}, b"busy"), (200, {}, {"data": []}))
    begin = time.time()
    with client:
        assert client.recipes() == []
    assert time.time() - begin < 2.5
    assert len(script.asked) == 2
    assert retries.retry_after(formatdate(time.time() + 30, usegmt=True)) in (29, 30, 31)
    assert retries.retry_after(formatdate(time.time() - 30, usegmt=True)) == 0
    assert retries.retry_after("soon") is None


def test_a_key_of_the_callers_own_is_the_key_that_is_sent(server: ThreadingHTTPServer) -> None:
    client, script = told(server, (202, {}, JOB), (201, {}, {"id": "ds_1"}))
    with client:
        client.train(dataset="digits", recipe="drsae", idempotency_key="night-1")
        client.create_dataset(builtin="digits", idempotency_key="night-2")
    assert [asked["headers"]["Idempotency-Key"] for asked in script.asked] == ["night-1", "night-2"]
    assert "idempotency_key" not in json.loads(script.asked[0]["body"])


def test_two_creations_have_two_keys(server: ThreadingHTTPServer) -> None:
    client, script = told(server, (202, {}, JOB), (202, {}, JOB))
    with client:
        client.train(dataset={"id": "ds_1"}, recipe="drsae", validation=0.1, training={"epochs": 2})
        client.train(dataset="digits", validation="digits-test")
    assert script.asked[0]["headers"]["Idempotency-Key"] != script.asked[1]["headers"]["Idempotency-Key"]
    assert json.loads(script.asked[0]["body"]) == {
        "type": "train", "dataset": "ds_1", "recipe": "drsae", "validation": {"split": 0.1}, "training": {"epochs": 2},
    }  # fmt: skip
    assert json.loads(script.asked[1]["body"])["validation"] == {"dataset": "digits-test"}


def test_a_conflict_at_the_first_sending_is_the_callers(server: ThreadingHTTPServer) -> None:
    client, script = told(server, problem(409, "idempotency_in_progress"))
    with client, pytest.raises(PinwheelError):
        client.create_dataset(builtin="digits")
    assert len(script.asked) == 1


def test_nobody_there_is_a_connection_error(server: ThreadingHTTPServer) -> None:
    client, _ = told(server, None, None, None)
    with client, pytest.raises(ConnectionError, match=r"127\.0\.0\.1"):
        client.info()


def test_events_go_on_where_the_connection_broke_and_end_at_done(server: ThreadingHTTPServer) -> None:
    unavailable = problem(503, "store_unavailable")
    client, script = told(server, sse(1, 2), None, sse(3, cut=True), unavailable, sse(4, 9), (200, {}, DONE))
    seen: list[int] = []
    with client:
        job = job_of(client, JOB).wait(on_event=lambda event: seen.append(event["seq"]))
    assert seen == [1, 2, 3, 4, 9]
    asked = [asked["headers"]["Last-Event-ID"] for asked in script.asked[:5]]
    assert asked == ["0", "2", "2", "3", "3"]
    assert (job.status, job.terminal, job.model) == ("succeeded", True, "digits@1")


def test_events_behind_done_end_at_once(server: ThreadingHTTPServer) -> None:
    client, script = told(server, (204, {}, b""))
    with client:
        assert list(job_of(client, DONE).events(after=9)) == []
    assert script.asked[0]["headers"]["Last-Event-ID"] == "9"


def test_events_of_a_job_that_is_gone_raise(server: ThreadingHTTPServer) -> None:
    client, _ = told(server, problem(404, "not_found"))
    with client, pytest.raises(NotFound):
        list(job_of(client, JOB).events())


def test_waiting_ends_when_its_time_is_over(server: ThreadingHTTPServer) -> None:
    client, _ = told(server, sse(1), *[sse()] * 20, (200, {}, JOB))
    script = server.RequestHandlerClass.script  # type: ignore[attr-defined]
    script.take = lambda asked: sse() if asked["line"].endswith("/events") else (200, {}, JOB)
    begin = time.monotonic()
    with client, pytest.raises(TimeoutError, match=r"job_1.*running"):
        job_of(client, JOB).wait(timeout_seconds=0.5)
    assert time.monotonic() - begin < 2


def test_progress_is_told_on_stderr(server: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]) -> None:
    told_of = [("status", {"status": "running"}), ("metrics", {"step": 7, "epoch": 0.5, "loss": 1.25})]
    events = [{"seq": seq, "type": kind, "data": data} for seq, (kind, data) in enumerate(told_of, 1)]
    text = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode() + sse(9)[2]
    client, _ = told(server, (200, {"Content-Type": "text/event-stream"}, text), (200, {}, DONE))
    with client:
        job_of(client, JOB).wait(progress=True)
    assert capsys.readouterr().err.splitlines()[:2] == ["job_1 running", "job_1 running  step 7  epoch 0.5  loss 1.250"]


def test_lists_are_followed_from_page_to_page(server: ThreadingHTTPServer) -> None:
    first = {"data": [{"id": "b"}, {"id": "a"}], "last_id": "a", "has_more": True}
    client, script = told(
        server, (200, {}, first), (200, {}, {"data": [{"id": "0"}], "last_id": "0", "has_more": False})
    )
    with client:
        assert [record["id"] for record in client.datasets()] == ["b", "a", "0"]
    assert script.asked[1]["line"] == "GET /v1/datasets?limit=100&after=a"


def test_arrays_travel_as_numpy_files(server: ThreadingHTTPServer) -> None:
    images, features = np.arange(8, dtype=np.uint8).reshape(2, 2, 2), np.eye(2, dtype=np.float32)
    client, script = told(
        server, (200, {}, {"name": "digits", "version": 2}), (200, {}, npy_bytes(features)), (201, {}, {"id": "ds_1"})
    )
    with client:
        found = client.model("digits").encode(images, topk=1)
        client.create_dataset(images, labels=np.array([0, 1]))
    assert (found == features).all()
    assert script.asked[1]["line"] == "POST /v1/models/digits@2/encode?format=npy&topk=1"
    assert script.asked[1]["headers"]["Content-Type"] == "application/x-npy"
    assert script.asked[1]["body"] == npy_bytes(images)
    assert "Idempotency-Key" not in script.asked[1]["headers"]
    assert script.asked[2]["body"].startswith(b"PK")


def test_image_and_label_files_travel_as_one_form(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "train-images.gz").write_bytes(b"the images")
    client, script = told(server, None, (201, {}, {"id": "ds_1"}))
    with client:
        client.create_dataset(tmp_path / "train-images.gz", labels=b"the labels")
    for asked in script.asked:
        assert asked["headers"]["Content-Type"].startswith("multipart/form-data")
        assert b'name="images"; filename="train-images.gz"' in asked["body"]
        assert b"the images" in asked["body"]
        assert b"the labels" in asked["body"]


def test_what_cannot_be_sent_is_refused_before_anything_is_sent(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    client, script = told(server)
    with client:
        with pytest.raises(ValueError, match="either data or builtin"):
            client.create_dataset()
        with pytest.raises(ValueError, match="as an array"):
            client.create_dataset(b"x", labels=np.zeros(1))
        with pytest.raises(ValueError, match=r"no image in the folder.*\.png"):
            client.create_dataset(tmp_path)
        with pytest.raises(ValueError, match="no name"):
            client.dataset("")
    assert script.asked == []


def test_a_method_shows_its_parameters_and_what_it_does(server: ThreadingHTTPServer) -> None:
    client, _ = told(server)
    with client:
        bare = client._inner if isinstance(client, Facade) else client
        assert str(inspect.signature(bare.job)) == "(job_id: str)"
        assert list(inspect.signature(bare.train).parameters)[:2] == ["dataset", "recipe"]
        assert bare.train.__doc__.startswith("Start a training.")
        assert bare.train.__name__ == "train"


def test_the_key_goes_along_and_names_are_one_segment_of_the_path(server: ThreadingHTTPServer) -> None:
    _, script = told(server, (200, {}, {"id": "x"}))
    with made(server, api_key="secret") as client:
        client.dataset("a/../b c?")
    assert script.asked[0]["line"] == "GET /v1/datasets/a%2F..%2Fb%20c%3F"
    assert script.asked[0]["headers"]["Authorization"] == "Bearer secret"
