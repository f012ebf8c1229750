"""Who may come in, as statements about one request's headers."""

import base64

import pytest

from studio.core.errors import InvalidRequest
from studio.core.settings import Settings
from studio.server.policy import Policy, is_loopback, policy_for

HERE = ("host", "127.0.0.1:7860")


def headers(*pairs: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in pairs]


def status(policy: Policy, *pairs: tuple[str, str], method: str = "GET", path: str = "/jobs/1") -> int:
    refusal = policy.judge(headers(*pairs), method=method, path=path)
    return refusal.status if refusal else 200


def basic(text: str) -> tuple[str, str]:
    return ("authorization", "Basic " + base64.b64encode(text.encode()).decode())


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:7860", "localhost", "localhost:9000", "LOCALHOST:7860", "[::1]", "[::1]:7860"]
)
def test_loopback_names_are_answered_at_any_port(host: str) -> None:
    assert status(Policy(), ("host", host)) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.com",
        "evil.com:7860",
        "localhost.evil.com",
        "127.0.0.1.evil.com",
        "192.168.1.7:7860",
        "0.0.0.0:7860",
        "127.0.0.2",
        "localhost@evil.com",
        "localhost, evil.com",
        "localhost/evil",
        "localhost:port",
        "localhost:99999",
        "[::1",
        "[::1]evil",
        "",
        ":7860",
    ],
)
def test_any_other_host_is_misdirected(host: str) -> None:
    assert status(Policy(), ("host", host)) == 421


def test_a_missing_or_a_second_host_is_misdirected() -> None:
    assert status(Policy()) == 421
    assert status(Policy(), HERE, HERE) == 421


@pytest.mark.parametrize("origin", ["http://127.0.0.1:7860", "https://127.0.0.1:7860", "HTTP://127.0.0.1:7860"])
def test_the_studios_own_page_may_write(origin: str) -> None:
    expected = 200 if origin.islower() else 403  # browsers write the scheme in lower case; anything else is no browser
    assert status(Policy(), HERE, ("origin", origin), method="POST") == expected


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.com",
        "http://127.0.0.1:9000",
        "http://localhost:7860",
        "http://127.0.0.1",
        "null",
        "",
        "file://",
        "http://127.0.0.1:7860.evil.com",
        "http://user@127.0.0.1:7860",
        "chrome-extension://127.0.0.1:7860",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
def test_another_origin_is_refused_whatever_the_method(origin: str, method: str) -> None:
    assert status(Policy(), HERE, ("origin", origin), method=method) == 403


def test_two_origins_are_refused() -> None:
    own = ("origin", "http://127.0.0.1:7860")
    assert status(Policy(), HERE, own, own) == 403


def test_a_default_port_may_be_written_or_left_out() -> None:
    policy = Policy(frozenset({"studio.example"}))
    assert status(policy, ("host", "studio.example"), ("origin", "https://studio.example:443")) == 200
    assert status(policy, ("host", "studio.example:80"), ("origin", "http://studio.example")) == 200
    assert status(policy, ("host", "studio.example:80"), ("origin", "https://studio.example")) == 403


def test_a_program_without_a_browser_sends_no_origin_and_comes_in() -> None:
    assert status(Policy(), HERE, method="POST") == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_requests_that_another_site_starts_are_refused(site: str) -> None:
    image = (("sec-fetch-site", site), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image"))
    assert status(Policy(), HERE, *image) == 403
    assert status(Policy(), HERE, *image, path="/") == 403


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_requests_of_the_page_and_of_the_person_come_in(site: str) -> None:
    assert status(Policy(), HERE, ("sec-fetch-site", site)) == 200


def test_a_link_from_another_site_opens_the_page_and_nothing_else() -> None:
    link = (("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"))
    assert status(Policy(), HERE, *link, path="/") == 200
    assert status(Policy(), HERE, *link, path="/images/abc") == 403
    assert status(Policy(), HERE, *link, path="//") == 403
    assert status(Policy(), HERE, *link, path="/", method="POST") == 403
    frame = (*link[:2], ("sec-fetch-dest", "iframe"))
    assert status(Policy(), HERE, *frame, path="/") == 403


def test_credentials_are_asked_for_when_set() -> None:
    policy = Policy(credentials="anna:böse:wörter")
    assert status(policy, HERE) == 401
    assert status(policy, HERE, basic("anna:böse:wörter")) == 200
    for wrong in ("anna:böse:wörte", "anna:", ":", "", "Anna:böse:wörter"):
        assert status(policy, HERE, basic(wrong)) == 401
    for header in ("Basic", "Basic !!!", "Basic /w==", "Bearer YW5uYTpi", "basic  "):
        assert status(policy, HERE, ("authorization", header)) == 401
    assert status(policy, HERE, basic("anna:böse:wörter"), basic("x:y")) == 401


def test_the_scheme_is_read_in_any_case() -> None:
    name, value = basic("a:b")
    assert status(Policy(credentials="a:b"), HERE, (name, value.replace("Basic", "bAsIc"))) == 200


def test_credentials_do_not_open_the_other_two_locks() -> None:
    policy = Policy(credentials="a:b")
    assert status(policy, ("host", "evil.com"), basic("a:b")) == 421
    assert status(policy, HERE, ("origin", "http://evil.com"), basic("a:b")) == 403


def test_a_refusal_is_one_plain_sentence_that_names_no_secret() -> None:
    refusal = Policy(credentials="anna:secret").judge(headers(HERE, basic("anna:guess")), path="/")
    assert refusal is not None
    assert refusal.challenge
    assert refusal.sentence.endswith(".")
    assert "secret" not in refusal.sentence
    assert "secret" not in repr(Policy(credentials="anna:secret"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "192.168.1.7", "studio.example"])
def test_an_open_bind_without_credentials_is_refused_with_the_reason(host: str) -> None:
    with pytest.raises(InvalidRequest, match=r"--auth user:password") as caught:
        policy_for(Settings(host=host))
    assert caught.value.field == "host"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.1.2.3"])
def test_loopback_needs_no_credentials(host: str) -> None:
    assert is_loopback(host.strip("[]"))
    assert status(policy_for(Settings(host=host)), ("host", f"[{host}]" if host == "::1" else host)) == 200


def test_a_bound_address_is_a_name_of_the_studio() -> None:
    policy = policy_for(Settings(host="192.168.1.7", auth="a:b"))
    assert status(policy, ("host", "192.168.1.7:7860"), basic("a:b")) == 200
    assert status(policy, ("host", "192.168.1.8:7860"), basic("a:b")) == 421


def test_a_bind_to_every_address_answers_to_addresses_and_to_names_that_were_allowed() -> None:
    """A page that rebinds its own name to this machine still sends that name, so names stay a closed list."""
    policy = policy_for(Settings(host="0.0.0.0", auth="a:b", allow_hosts=("Studio.Example",)))
    assert status(policy, ("host", "192.168.1.7:7860"), basic("a:b")) == 200
    assert status(policy, ("host", "[fe80::1]:7860"), basic("a:b")) == 200
    assert status(policy, ("host", "studio.example"), basic("a:b")) == 200
    assert status(policy, ("host", "evil.com"), basic("a:b")) == 421
