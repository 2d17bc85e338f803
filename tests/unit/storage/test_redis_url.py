"""URLs of Redis: what each form means, and what is refused in words."""

import pytest

from storage.redis_url import Address, Credentials, Tls, mask_url, parse_url, url_problem


def test_one_server_has_an_address_a_user_and_a_database() -> None:
    target = parse_url("redis://me:p%40ss@h:7000/3")

    assert target.kind == "single"
    assert target.addresses == (Address("h", 7000),)
    assert target.credentials == Credentials("me", "p@ss")
    assert target.database == 3
    assert target.tls is None
    assert str(target) == "h:7000/3"


def test_what_is_left_out_has_its_usual_value() -> None:
    target = parse_url("redis://")

    assert target.addresses == (Address("localhost", 6379),)
    assert target.credentials == Credentials()
    assert parse_url("redis+sentinel://h/m").addresses == (Address("h", 26379),)


def test_a_socket_is_named_by_its_path() -> None:
    target = parse_url("unix://:secret@/run/a%20b/valkey.sock?db=2")

    assert target.addresses == (Address("/run/a b/valkey.sock", 0),)
    assert target.credentials.password == "secret"
    assert str(target) == "/run/a b/valkey.sock/2"


def test_sentinels_name_a_master_and_may_have_a_password_of_their_own() -> None:
    target = parse_url(
        "redis+sentinel://u:p@a:1,[::1]:2,c:3/mymaster/4?sentinel_username=s&sentinel_password=q"
    )

    assert target.kind == "sentinel"
    assert target.addresses == (Address("a", 1), Address("::1", 2), Address("c", 3))
    assert (target.master, target.database) == ("mymaster", 4)
    assert target.credentials == Credentials("u", "p")
    assert target.sentinel == Credentials("s", "q")
    assert str(target) == "mymaster of the Sentinels a:1,[::1]:2,c:3"


def test_a_cluster_is_known_by_some_of_its_nodes() -> None:
    target = parse_url("rediss+cluster://u:p@a:1,b:2?ssl_cert_reqs=none")

    assert target.kind == "cluster"
    assert target.addresses == (Address("a", 1), Address("b", 2))
    assert target.tls == Tls(verify=False)
    assert str(target) == "the Cluster a:1,b:2"


def test_tls_takes_the_files_that_are_named() -> None:
    target = parse_url("rediss://h?ssl_ca_certs=/a&ssl_certfile=/c&ssl_keyfile=/k")

    assert target.tls == Tls("/a", "/c", "/k")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://h", "expected one of redis://"),
        ("h:6379", "expected one of redis://"),
        ("redis://h:99999", "'h:99999' is no host:port: Port out of range"),
        ("redis://h:0", "a port is 1 to 65535"),
        ("redis://:6379", "':6379' is no host:port"),
        ("redis://a,b", "several servers; expected redis+sentinel:// or redis+cluster://"),
        ("redis://h/x", "the database is a number, was 'x'"),
        ("redis://h?nope=1", "there is no option 'nope'"),
        ("redis://h?ssl_cert_reqs=none", "there is no option 'ssl_cert_reqs'"),
        ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs is required or none, was 'maybe'"),
        ("rediss://h?ssl_keyfile=/k", "ssl_keyfile needs ssl_certfile"),
        ("unix://host/path", "expected unix:///path/of/the/socket"),
        ("unix://", "expected unix:///path/of/the/socket"),
        ("redis+sentinel://a:1,b:2", "expected the master's name after the Sentinels"),
        ("redis+cluster://a:1/3", "a Cluster has no databases, was /3"),
    ],
)
def test_a_wrong_url_is_refused_in_words_without_its_password(url: str, said: str) -> None:
    scheme, _, rest = url.partition("://")

    assert said in url_problem(url)
    if not rest.startswith("host"):
        assert "geheim" not in url_problem(f"{scheme}://u:geheim@{rest}")


@pytest.mark.parametrize("url", ["redis://h", "redis+cluster://a:1/0", "redis+sentinel://h/m/0"])
def test_nothing_is_wrong_with_a_good_url(url: str) -> None:
    assert url_problem(url) == ""


def test_passwords_are_masked_wherever_they_stand() -> None:
    assert mask_url("redis+sentinel://u:p@a:1,b:2/m?sentinel_password=q") == (
        "redis+sentinel://u:***@a:1,b:2/m?sentinel_password=***"
    )
    assert mask_url("redis://h?db=1") == "redis://h?db=1"
    assert mask_url("redis://u@h/1") == "redis://u@h/1"
