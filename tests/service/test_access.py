"""Keys, scopes and pages of other sites, on a service of its own that asks for keys."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest
from typer.testing import CliRunner

from pinwheel.access import Scope, new_key
from pinwheel.cli import app
from pinwheel.client import Client
from pinwheel.errors import Forbidden, Unauthenticated
from pinwheel.up import CannotStart, Service

NAMES = {scope.label: scope for scope in Scope}


@pytest.fixture(scope="module")
def secrets() -> dict[str, tuple[str, str]]:
    """Secret and entry of a key for each scope."""
    made = {name: new_key(f"the-{name}", scope) for name, scope in NAMES.items()}
    return {name: (secret, str(key)) for name, (secret, key) in made.items()}


@pytest.fixture(scope="module")
def guarded(secrets: dict[str, tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    environment = {
        "PINWHEEL_API_KEYS": ",".join(entry for _, entry in secrets.values()),
        "PINWHEEL_ALLOWED_HOSTS": "pinwheel.example.org",
    }
    with Service(tmp_path_factory.mktemp("guarded"), port=0, environment=environment) as service:
        yield service


def npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.zeros((4, 8, 8), np.uint8))
    return out.getvalue()


def ask(service: Service, method: str, path: str, secret: str | None = None, **more: object) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    headers |= more.pop("headers", {})  # type: ignore[arg-type]
    return httpx2.request(method, service.url + path, headers=headers, **more)  # type: ignore[arg-type]


def test_without_a_key_only_life_signs_are_given(guarded: Service) -> None:
    for path in ("/healthz", "/readyz", "/v2/health/live", "/static/pinwheel.svg"):
        assert ask(guarded, "GET", path).status_code == 200
    for method, path in (
        ("GET", "/v1/jobs"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("POST", "/v1/jobs"),
        ("DELETE", "/v1/models/x"),
    ):
        refused = ask(guarded, method, path)
        assert refused.status_code == 401, path
        assert refused.json()["code"] == "unauthenticated"
        assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert ask(guarded, "GET", "/v1/jobs", "pw_guessed").status_code == 401
    assert ask(guarded, "GET", "/v1/jobs", headers={"Authorization": "Basic ?"}).status_code == 401


def test_keys_come_in_three_ways(guarded: Service, secrets: dict[str, tuple[str, str]]) -> None:
    secret = secrets["read"][0]
    assert ask(guarded, "GET", "/v1/jobs", secret).status_code == 200
    assert ask(guarded, "GET", "/v1/jobs", headers={"X-API-Key": secret}).status_code == 200
    assert httpx2.get(guarded.url + "/v1/jobs", auth=("anybody", secret)).status_code == 200
    page = ask(guarded, "GET", "/", headers={"Accept": "text/html"})
    assert page.status_code == 401
    assert page.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/v1/jobs/none", "read"),
        ("POST", "/v1/models/none/encode", "encode"),
        ("POST", "/v1/models/none/classify", "encode"),
        ("POST", "/v2/models/none/infer", "encode"),
        ("POST", "/v1/embeddings", "encode"),
        ("POST", "/v1/jobs", "train"),
        ("POST", "/v1/jobs/none/cancel", "train"),
        ("DELETE", "/v1/jobs/none", "train"),
        ("DELETE", "/v1/models/none@1", "admin"),
        ("DELETE", "/v1/datasets/none", "admin"),
    ],
)
def test_scopes_open_what_they_should(
    guarded: Service, secrets: dict[str, tuple[str, str]], method: str, path: str, needed: str
) -> None:
    for name, (secret, _) in secrets.items():
        answer = ask(guarded, method, path, secret)
        if NAMES[name] >= NAMES[needed]:
            assert answer.status_code in (400, 404, 422), (name, answer.text)
        else:
            assert answer.status_code == 403
            assert needed in answer.json()["detail"]


def test_the_clients_send_theirs(
    guarded: Service, secrets: dict[str, tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(guarded.url) as nobody, pytest.raises(Unauthenticated):
        list(nobody.jobs())
    with Client(guarded.url, secrets["train"][0]) as trainer:
        made = trainer.create_dataset(np.zeros((4, 8, 8), np.uint8), name="guarded")
        with pytest.raises(Forbidden, match="admin"):
            made.delete()
    monkeypatch.setenv("PINWHEEL_API_KEY", secrets["admin"][0])
    removed = CliRunner().invoke(app, ["--url", guarded.url, "data", "rm", "guarded"])
    assert removed.exit_code == 0, removed.output


def test_an_idempotency_key_is_its_senders_alone(guarded: Service, secrets: dict[str, tuple[str, str]]) -> None:
    sent = {"headers": {"Idempotency-Key": "the-same", "Content-Type": "application/x-npy"}, "content": npy()}
    first = ask(guarded, "POST", "/v1/datasets?name=mine", secrets["train"][0], **sent)
    again = ask(guarded, "POST", "/v1/datasets?name=mine", secrets["train"][0], **sent)
    other = ask(guarded, "POST", "/v1/datasets?name=mine", secrets["admin"][0], **sent)
    assert first.status_code == 201
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in other.headers


def test_the_log_names_keys_and_never_shows_them(guarded: Service, secrets: dict[str, tuple[str, str]]) -> None:
    ask(guarded, "POST", "/v1/datasets?name=told", secrets["train"][0], content=npy())
    logged = "".join(path.read_text(errors="replace") for path in Path(guarded.logs).glob("*.log"))
    for secret, entry in secrets.values():
        assert secret not in logged
        assert entry.rpartition(":")[2] not in logged


def test_pages_of_other_sites_change_nothing(guarded: Service, secrets: dict[str, tuple[str, str]]) -> None:
    secret, own = secrets["train"][0], re.sub(r"^http://", "", guarded.url)
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://{own}", "Sec-Fetch-Site": "cross-site", "Host": "127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        refused = ask(guarded, "POST", "/v1/datasets?name=evil", secret, content=npy(), headers=headers)
        assert refused.status_code == 403, headers
        assert refused.json()["code"] == "forbidden"
    assert ask(guarded, "GET", "/v1/jobs", secret, headers={"Origin": "https://evil.example"}).status_code == 200
    for origin in (f"http://{own}", "https://pinwheel.example.org"):
        allowed = ask(guarded, "POST", "/v1/datasets?name=good", secret, content=npy(), headers={"Origin": origin})
        assert allowed.status_code in (200, 201), allowed.text


def test_names_that_lead_here_by_a_trick_are_refused(http: httpx2.Client) -> None:
    for host in ("rebound.example.com", "127.0.0.1.nip.io:8000"):
        refused = http.get("/v1/jobs", headers={"Host": host})
        assert refused.status_code == 403
        assert "PINWHEEL_ALLOWED_HOSTS" in refused.json()["detail"]
    for host in ("localhost:8000", "127.0.0.1", "[::1]:80", "server", "app.localhost"):
        assert http.get("/v1/jobs", headers={"Host": host}).status_code == 200, host


def test_the_document_tells_of_keys(http: httpx2.Client) -> None:
    document = http.get("/openapi.json").json()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "basic", "header"}
    assert {"401", "403"} <= set(document["paths"]["/v1/jobs"]["post"]["responses"])
    assert "security" not in document["paths"]["/healthz"]["get"]


def test_other_machines_are_let_in_with_keys_only(secrets: dict[str, tuple[str, str]], tmp_path: Path) -> None:
    everywhere = "0.0.0.0"  # noqa: S104
    with pytest.raises(CannotStart, match="PINWHEEL_API_KEYS"):
        Service(tmp_path, host=everywhere, port=0)
    Service(tmp_path, host=everywhere, port=0, environment={"PINWHEEL_API_KEYS": secrets["read"][1]})


def test_the_command_makes_a_key_and_says_what_to_do_with_it() -> None:
    made = CliRunner().invoke(app, ["key", "alice", "--scope", "encode"])
    assert made.exit_code == 0
    assert re.fullmatch(r"pw_[\w-]{43}\n", made.stdout)
    assert re.search(r"alice:encode:[0-9a-f]{64}", made.stderr)
    assert CliRunner().invoke(app, ["key", "alice", "--scope", "root"]).exit_code == 2


def test_no_log_knows_a_key(guarded: Service, secrets: dict[str, tuple[str, str]]) -> None:
    for secret, _ in secrets.values():
        ask(guarded, "GET", "/v1/jobs", secret)
        ask(guarded, "POST", "/v1/jobs", secret, content=b"{")
        httpx2.get(guarded.url + "/v1/nothing", auth=("anybody", secret))
    logs = "".join(path.read_text(errors="replace") for path in guarded.logs.glob("*.log"))
    assert '"event"' in logs
    assert [secret for secret, _ in secrets.values() if secret in logs] == []
