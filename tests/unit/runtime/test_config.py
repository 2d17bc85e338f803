from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from core.runtime import config
from core.runtime.config import ConfigError, Loaded


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a program with one of each kind."""

    port: Annotated[int, Meta(ge=0, le=65535, description="port")] = 8080
    wait_s: Annotated[float, Meta(ge=0, description="time")] = 1.5
    many: Annotated[int, Meta(ge=1, description="at least one")] = 3
    few: Annotated[float, Meta(gt=0, le=9, description="above none")] = 3.0
    max_bytes: Annotated[int, Meta(ge=1 << 24, description="room")] = 1 << 25
    loud: Annotated[bool, Meta(description="noise", extra={"commands": ("run",)})] = False
    shape: Annotated[Literal["text", "json"], Meta(description="lines")] = "text"
    name: Annotated[str, Meta(pattern="^[a-z]*$", description="name")] = "x"
    feed: Annotated[tuple[str, ...], Meta(description="feeds", extra={"secret": "url"})] = ()
    keys: Annotated[str, Meta(description="keys", extra={"secret": "all"})] = ""


SETTINGS = config.settings_of(Sample, prefix="APP")


def load(
    flags: dict[str, str | list[str]] | None = None, environ: dict[str, str] | None = None
) -> Loaded[Sample]:
    return config.load(Sample, flags or {}, environ or {}, prefix="APP")


def error(
    flags: dict[str, str | list[str]] | None = None, environ: dict[str, str] | None = None
) -> str:
    with pytest.raises(ConfigError) as caught:
        load(flags, environ)
    return str(caught.value)


def test_defaults_hold_without_flags_and_variables() -> None:
    loaded = load()

    assert loaded.values == Sample()
    assert set(loaded.sources.values()) == {"default"}


def test_a_flag_wins_over_a_variable_and_a_variable_over_the_default() -> None:
    loaded = load({"port": "1"}, {"APP_PORT": "2", "APP_WAIT_S": "0.5"})

    assert (loaded.values.port, loaded.values.wait_s) == (1, 0.5)
    assert loaded.sources["port"] == "--port"
    assert loaded.sources["wait_s"] == "APP_WAIT_S"


@pytest.mark.parametrize(
    ("flags", "environ", "message"),
    [
        ({"port": "x"}, {}, "--port: expected a whole number from 0 to 65535, was 'x'"),
        ({"port": "1.5"}, {}, "--port: expected a whole number from 0 to 65535, was '1.5'"),
        ({}, {"APP_PORT": "65536"}, "APP_PORT: expected a whole number from 0 to 65535, "),
        ({"max_bytes": "1"}, {}, "--max-bytes: expected a whole number of at least 16777216, was "),
        ({"many": "0"}, {}, "--many: expected a whole number of at least 1, was '0'"),
        ({"few": "0"}, {}, "--few: expected a number above 0 and of at most 9, was '0'"),
        ({"wait_s": "nan"}, {}, "--wait-s: expected a number of at least 0, was 'nan'"),
        ({"wait_s": "inf"}, {}, "--wait-s: expected a number of at least 0, was 'inf'"),
        ({"shape": "xml"}, {}, "--shape: expected one of text, json, was 'xml'"),
        ({"loud": "maybe"}, {}, "--loud: expected true or false, was 'maybe'"),
        ({"name": "A"}, {}, "--name: expected text, was 'A'"),
        ({}, {"APP_PROT": "1"}, "APP_PROT: no such setting (did you mean APP_PORT?)"),
        ({}, {"APP_QQQQQQQQQ": "1"}, "APP_QQQQQQQQQ: no such setting"),
    ],
)
def test_an_error_names_the_setting_its_source_its_value_and_what_is_accepted(
    flags: dict[str, str | list[str]], environ: dict[str, str], message: str
) -> None:
    assert error(flags, environ).startswith(message)


def test_all_errors_are_told_at_once() -> None:
    text = error({"port": "x", "shape": "y"}, {"APP_NOPE": "1"})

    assert len(text.splitlines()) == 3


@pytest.mark.parametrize(
    "variable",
    ["APP_SERVICE_HOST", "APP_SERVICE_PORT", "APP_SERVICE_PORT_HTTP", "APP_PORT_80_TCP_ADDR"],
)
def test_variables_of_a_container_platform_are_no_settings(variable: str) -> None:
    loaded = load(environ={variable: "10.0.0.1", "APP_PORT": "tcp://10.0.0.1:80"})

    assert loaded.values == Sample()


def test_an_address_is_a_link_only_where_a_port_is_expected() -> None:
    assert "APP_NAME" in error(environ={"APP_NAME": "tcp://10.0.0.1:80"})
    loaded = load(environ={"APP_FEED": "tcp://10.0.0.1:80"})

    assert loaded.values.feed == ("tcp://10.0.0.1:80",)


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load(environ={"APP_PORT": " "}).values.port == 8080


@pytest.mark.parametrize("text", ["true", "YES", "1", "on"])
def test_words_for_true(text: str) -> None:
    assert load({"loud": text}).values.loud is True


@pytest.mark.parametrize(
    ("text", "items"),
    [("a b,c", ("a", "b,c")), ("a b\nc\n\n", ("a b", "c")), ("/with blank\n", ("/with blank",))],
)
def test_a_list_variable_holds_words_or_lines(text: str, items: tuple[str, ...]) -> None:
    assert load(environ={"APP_FEED": text}).values.feed == items


def test_a_list_flag_may_be_repeated() -> None:
    assert load({"feed": ["a b", " c "]}).values.feed == ("a b", "c")


@given(
    st.builds(
        Sample,
        port=st.sampled_from([0, 8080, 65535]),
        loud=st.booleans(),
        wait_s=st.sampled_from([0.0, 1e-9, 1e300, 1.5]),
        feed=st.lists(st.text("ab ,?=&:", min_size=1).filter(str.strip)).map(
            lambda items: tuple(item.strip() for item in items)
        ),
    )
)
def test_another_process_gets_the_same_settings_from_the_environment(values: Sample) -> None:
    environ = config.environment(Loaded(values, {}), SETTINGS)

    assert load(environ=environ).values == values


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://:secret@host:1/0", "redis://:***@host:1/0"),
        ("postgresql://me:p@ss:w@host/db", "postgresql://me:***@host/db"),
        ("host=h password='a b' user=u", "host=h password=*** user=u"),
        ("poll:http://h/x?api_key=abc&s=1", "poll:http://h/x?api_key=***&s=1"),
        ("coinbase:BTC-USD?url=ws://h/", "coinbase:BTC-USD?url=ws://h/"),
        ("redis://host", "redis://host"),
        (r"host=h password='it\'s a b' user=u", "host=h password=*** user=u"),
        (r"host=h password=a\ b user=u", "host=h password=*** user=u"),
    ],
)
def test_passwords_are_masked_wherever_they_stand(text: str, shown: str) -> None:
    assert config.mask(text) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("redis://:a b'c@host/0", "redis://:***@host/0"),
        ("redis://us er:a b@host/0", "redis://us er:***@host/0"),
        (
            "redis+sentinel://h/m?sentinel_password=a b&x=1",
            "redis+sentinel://h/m?sentinel_password=***&x=1",
        ),
        ("alpaca:*?key=a b&url=wss://h/", "alpaca:*?key=***&url=wss://h/"),
        ("host=h password=a user=u", "host=h password=*** user=u"),
    ],
)
def test_a_blank_in_a_url_ends_no_secret(value: str, shown: str) -> None:
    assert config.mask_value(value) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://u:a@b c/d@host:1/0", "redis://***@host:1/0"),
        ("postgresql://h/db?password=a b%zz&user=u", "postgresql://h/db?password=***&user=u"),
        ("u:a@host/db", "***@host/db"),
        ("u:a=b@host/db", "***@host/db"),
        ("host=h password=a b user=u", "host=h password=***"),
        ("redis://host:x", "redis://host:x"),
    ],
)
def test_of_a_url_that_cannot_be_read_all_is_hidden_that_may_be_secret(
    url: str, shown: str
) -> None:
    assert config.veil(url) == shown


def test_secrets_are_masked_in_errors_and_when_shown() -> None:
    keys, feed = (next(s for s in SETTINGS if s.name == name) for name in ("keys", "feed"))

    assert keys.show("id:secret") == "***"
    assert keys.show("") == ""
    assert feed.show(("a", "x://u:pw@h")) == "a x://u:***@h"


def test_a_setting_without_commands_concerns_all() -> None:
    loud, port = (next(s for s in SETTINGS if s.name == name) for name in ("loud", "port"))

    assert port.concerns("anything")
    assert loud.concerns("run")
    assert not loud.concerns("walk")


def test_a_type_that_no_flag_can_hold_is_refused() -> None:
    class Odd(msgspec.Struct):
        when: Annotated[dict[str, int], Meta(description="odd")] = {}

    with pytest.raises(TypeError):
        config.settings_of(Odd, prefix="APP")
