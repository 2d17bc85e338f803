import gzip
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry, Gauge

from core.runtime.config import ConfigError, Setting, load
from gateway.http.metrics import HttpMetrics
from gateway.metrics import GatewayMetrics
from tickgate import cli, docs, rules
from tickgate.gateway_role import gateway_settings
from tickgate.settings import PREFIX, SETTINGS, Settings
from tickgate.watch import Refused

URLS = ["--redis-url", "redis://127.0.0.1:1", "--database-url", "postgresql://127.0.0.1:1/x"]
REBUILD = ["rebuild", "X:A", *URLS[2:]]
BACKFILL = ["backfill", *URLS[:2]]
EXPORT = ["export", *URLS[2:], "--output", "x.csv", "--start", "2024-01-01", "--end", "2024-01-02"]
SPAN = ["--start", "2024-01-01", "--end", "2024-01-02"]


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TICKGATE_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["dve"], "no command 'dve' (did you mean dev?)"),
        (["dev", "--prot", "1"], "--prot: no such option (did you mean --port?)"),
        (["dev", "--por", "1"], "--por: no such option (did you mean --port?)"),
        (["dev", "--port"], "--port: expected one argument"),
        (
            ["dev", "--port", "70000"],
            "--port: expected a whole number from 0 to 65535, was ",
        ),
        (["dev", "extra"], "'extra': takes no such word"),
        (["ingest", "--port", "1"], "--port: no setting of this command, but of dev, gateway"),
        (["backfill", "--start", "2024-01-01"], "the following arguments are required: --end"),
        ([*BACKFILL, "--start", "now", "--end", "2024-01-01"], "--start: expected a time such as"),
        ([*BACKFILL, "--start", "2024-01-01", "--end", "2023-01-01"], "--end: expected a time aft"),
        (
            [*BACKFILL, "--start", "2200-01-01", "--end", "2200-01-02"],
            "expected a time in the past",
        ),
        ([*BACKFILL, *SPAN, "--feed", "sim:"], "accepted: coinbase, binance or kraken"),
        ([*BACKFILL, *SPAN, "--feed", "kraken:A/B?url=ws://x"], "with rest_url where there is a"),
        ([*BACKFILL, *SPAN], "expected a feed such as coinbase:BTC-USD"),
        ([*BACKFILL, "--strat", "2024-01-01", *SPAN], "(did you mean --start?)"),
        (["watch"], "the following arguments are required: SYMBOL"),
        ([*REBUILD, "--end", "2026-01-01"], "the following arguments are required: --start"),
        (
            [*REBUILD, *SPAN[2:], "--start", "noon"],
            "--start: expected a time such as 2024-03-12T10:37:00Z, or a date, was 'noon': not an ",
        ),
        (
            [*REBUILD, "--start", "2026-01-02", "--end", "2026-01-02"],
            "--end: expected a time after --start",
        ),
        (
            [*REBUILD, "--start", "2026-01-02", "--end", "2026-02-03"],
            "--end: expected at most 31 days after --start",
        ),
        (
            [*REBUILD, *SPAN, "--stat", "2026-01-02"],
            "--stat: no such option (did you mean --start?)",
        ),
        ([*EXPORT, "trades", "X:A"], "'trades': expected bars or ticks, then symbols"),
        ([*EXPORT, "bars"], "bars: expected at least one symbol after it"),
        ([*EXPORT, "bars", "A", "--timeframe", "2Day"], "--timeframe: timeframe '2Day': expected"),
        ([*EXPORT, "bars", "A", "--format", "xls"], "--format: invalid choice: 'xls'"),
        ([*EXPORT, "bars", "A", "--start", "noon"], "--start: expected a time such as 2024-03-12"),
        ([*EXPORT, "bars", "A", "--force=1"], "--force: ignored explicit argument '1'"),
        (["export", "bars", "A", *SPAN], "the following arguments are required: --output"),
        (["import", "x.csv"], "'x.csv': expected bars or ticks, then files"),
        (["import", "bars"], "bars: expected at least one file after it"),
        (["import", "ticks", "x.csv", *URLS, "--replace"], "--replace: ticks replace nothing"),
        (["import", "bars", "x.csv", *URLS, "--venue", "?"], "--venue: expected a letter, then le"),
        (["watch", "A", "--url", "ftp://x"], "--url: expected an http:// or https:// URL"),
        (["watch", "\udcff"], "'\\udcff': expected a symbol such as COINBASE:BTC-USD"),
        (["watch", "A", "--url", "http://"], "--url: expected an http:// or https:// URL, was"),
        (["watch", "A", "--url", "http://h:99999"], "--url: expected an http:// or https:// URL"),
        (["watch", "A", "--url", "http://[::1"], "--url: expected an http:// or https:// URL"),
        (["gateway", *URLS, "--jwt-jwks", "http://[::1"], "or a file (Invalid IPv6 URL), was "),
        (["gateway", *URLS, "--jwt-jwks", "https://h:x/"], "or a file (Port could not be cast"),
        (["gateway", *URLS, "--jwt-jwks", "https://"], "or a file (there is no host in it), was"),
        (["gateway", *URLS, "--jwt-jwks", "http://h/"], "or a file (anybody on the way could put"),
        (["dev", "--jwt-shared-key", "\udcff" * 32], "-key: expected text in UTF-8, was '***'"),
        (["dev", "--feed", "replay:\udcff.csv"], "--feed: expected text in UTF-8, was "),
        (["watch", "A", "--api-key", "secret"], "--api-key: expected KEYID:SECRET, was '***'"),
        (["dev", "--exit-at-end"], "--exit-at-end: expected feeds that have an end, which sim:"),
        (["dev", "--feed", "nope:X"], "--feed: "),
        (["dev", "--feed", "replay:/no/such.csv"], "--feed: expected the path of a file to replay"),
        (["dev", "--host", "0.0.0.0"], "--host: expected a loopback address"),
        (["gateway", *URLS, "--host", "::"], "--host: expected a loopback address"),
        (["gateway", *URLS, "--host", "here"], "--host: expected an IP address or localhost"),
        (["gateway", *URLS, "--api-keys", "a:b"], "--api-keys: "),
        (["dev", "--allowed-origins", "desk"], "--allowed-origins: 'desk' is no origin: expected"),
        (["gateway", *URLS, "--workers", "65"], "--workers: expected a whole number from 1 to 64"),
        (["dev", "--disk-max-bytes", "5"], "--disk-max-bytes: expected at least 1073741824"),
        (["dev", "--db-pool-max", "1"], "--db-pool-max: expected at least db_pool_min, which is 2"),
        (["dev", "--redis-url", "http://x"], "--redis-url: expected a redis://"),
        (
            ["dev", "--redis-url", "redis://h:99999"],
            "('h:99999' is no host:port: Port out of range 0-65535), was ",
        ),
        (["dev", "--database-url", "postgresql://[::bad/x"], "string (Invalid IPv6 URL), was "),
        (["check", "--redis-url", "redis://h/?db=x"], "--redis-url: expected a redis://"),
        (["check", "--redis-url", "redis://h/?nope=1"], "(there is no option 'nope')"),
        (["check", "--redis-url", "redis://h:1:2"], "--redis-url: expected a redis://"),
        (["migrate", "--database-url", "postgresql://h/x?nope=1"], 'parameter: "nope"'),
        (["migrate", "--database-url", "nope=1"], 'connection option "nope"'),
        (["dev", "--feed", ""], "--feed: expected feed specs, was "),
        (["dev", "--reconnect-cap-s", "0.5"], "expected at least reconnect_first_s, which is 1"),
        (["dev", "--silence-s", "0"], "--silence-s: expected a number above 0"),
        (["gateway"], "--redis-url (or TICKGATE_REDIS_URL): expected a redis://"),
        (["gateway"], "--database-url (or TICKGATE_DATABASE_URL): expected a postgresql://"),
        (
            ["ingest", "--redis-url", "redis://h"],
            "--feed (or TICKGATE_FEED): expected at least",
        ),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_names_what_is_wrong(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.main(argv)

    assert code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("backfill", ["--stream-retention-s", "--stream-max-bytes"]),
        ("import", ["--stream-retention-s", "--stream-max-bytes"]),
        ("import", ["--dedup-horizon-s", "--max-future-ms"]),
    ],
)
def test_a_command_takes_the_settings_that_it_goes_by(command: str, flags: list[str]) -> None:
    shown = next(each for each in cli.COMMANDS if each.name == command).settings()

    assert set(flags) <= {setting.flag for setting in shown}


def test_a_url_that_is_not_understood_does_not_give_its_password_away(
    capsys: pytest.CaptureFixture[str],
) -> None:
    codes = [
        cli.main(["migrate", "--database-url", "postgresql://u:geheim@[::bad/x"]),
        cli.main(["check", "--redis-url", "redis://u:geheim@h:99999"]),
        cli.main(["migrate", "--database-url", "host=h password=geheim nope=1"]),
    ]

    assert codes == [2, 2, 2]
    assert "geheim" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "password", ["%zz", " ", "/", "?", "#", "[", "@", "'", '"', '%"z', ":", "="]
)
@pytest.mark.parametrize(
    ("flag", "url"),
    [
        ("--database-url", "postgresql://u:PASSWORD@h:1x/db"),
        ("--database-url", "postgresql://h/db?password=PASSWORD&nope=%zz"),
        ("--database-url", "postgre://u:PASSWORD@h/db"),
        ("--database-url", "u:PASSWORD@h/db"),
        ("--database-url", "host=h password=PASSWORD nope=1"),
        ("--redis-url", "redis://u:PASSWORD@h:1x/0"),
        ("--redis-url", "redis+sentinel://u:PASSWORD@h:1/"),
        ("--redis-url", "u:PASSWORD@h:6379"),
        ("--jwt-jwks", "http://u:PASSWORD@[h/jwks"),
    ],
)
def test_nothing_of_a_password_is_told_wherever_a_url_goes_wrong(
    password: str, flag: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = url.replace("PASSWORD", f"geheim{password}geheim")

    code = cli.main(["gateway", flag, given])

    told = capsys.readouterr().err
    assert code == 2
    assert flag in told
    assert "geheim" not in told


def test_a_password_that_is_not_encoded_is_told_how_to_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    codes = [
        cli.main(["migrate", "--database-url", "postgresql://u:ge@heim@h/db"]),
        cli.main(["check", "--redis-url", "redis://u:ge/heim@h"]),
        cli.main(["check", "--redis-url", "redis://h:12x"]),
    ]

    first, second, third = (
        line for line in capsys.readouterr().err.splitlines() if "--r" in line or "--d" in line
    )
    assert codes == [2, 2, 2]
    assert "there is an @ in the host; in a password %" in first
    assert "was 'postgresql://***@h/db'" in first
    assert "… is no host:port" in second
    assert "(… is no host" not in third
    assert "'h:12x' is no host:port: Port could not be cast to integer value as '12x'" in third


def test_a_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TICKGATE_PROT", "1")
    monkeypatch.setenv("TICKGATE_SHARDS", "0")

    assert cli.main(["config"]) == 2
    err = capsys.readouterr().err
    assert "TICKGATE_PROT: no such setting (did you mean TICKGATE_PORT?)" in err
    assert "TICKGATE_SHARDS: expected a whole number from 1 to 1024, was '0'" in err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jwt_shared_key", "short"),
        ("jwt_shared_key", "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZI\n-----END PUBLIC KEY-----\n"),
        ("trusted_proxies", "nobody"),
        ("allowed_origins", "desk"),
        ("api_keys", "alice"),
        ("tls_key", "/key.pem"),
    ],
)
def test_check_finds_what_the_gateway_refuses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(f"TICKGATE_{name.upper()}", value)

    codes, said = [], []
    for command in ("gateway", "check"):
        codes.append(cli.main([command, "--redis-url", "redis://h", "--database-url", "host=h"]))
        said.append(capsys.readouterr().err.replace(f"tickgate {command}", "tickgate"))

    assert codes == [2, 2]
    assert said[0] == said[1]
    assert "expected" in said[0]


def test_a_failure_is_a_json_line_where_the_log_is_for_machines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = "postgresql://127.0.0.1:1/x"

    assert cli.main(["migrate", "--database-url", url, "--log-format", "json"]) == 1
    line = msgspec.json.decode(capsys.readouterr().err)
    assert (line["level"], line["role"]) == ("error", "migrate")
    assert "127.0.0.1:1/x" in line["message"]


def test_an_aggregator_that_is_to_end_with_a_broken_file_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cut.csv.gz"
    file.write_bytes(gzip.compress(b"symbol,trade_id,event_ns,side,price,size\n" * 9)[:-9])

    assert cli.main(["aggregate", *URLS, "--exit-at-end", "--feed", f"replay:{file}"]) == 2
    assert "broken off" in capsys.readouterr().err


def test_no_command_shows_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    codes = [cli.main([]), cli.main(["--help"]), cli.main(["--version"])]

    out = capsys.readouterr().out
    assert codes == [2, 0, 0]
    assert all(f"  {command.name} " in out for command in cli.COMMANDS)
    assert "tickgate " in out.splitlines()[-1]


@pytest.mark.parametrize("command", [command.name for command in cli.COMMANDS])
def test_help_lists_each_setting_that_concerns_the_command(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])

    out = capsys.readouterr().out
    assert ended.value.code == 0
    shown = {setting.flag for setting in SETTINGS if f"  {setting.flag} " in out}
    concerned = {s.flag for s in SETTINGS if command == "config" or s.concerns(command)}
    assert shown == concerned


def test_config_shows_sources_and_masks_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TICKGATE_REDIS_URL", "redis://:secret@host")
    keys = "id:" + "0" * 64

    assert cli.main(["config", "--json", "--api-keys", keys, "--feed", "a", "--feed", "b"]) == 0
    found = msgspec.json.decode(capsys.readouterr().out)
    assert found["redis_url"] == {"value": "redis://:***@host", "source": "TICKGATE_REDIS_URL"}
    assert found["api_keys"] == {"value": "***", "source": "--api-keys"}
    assert found["feed"]["value"] == ["a", "b"]
    assert found["port"] == {"value": 8080, "source": "default"}

    assert cli.main(["config"]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) == len(SETTINGS)
    assert "secret" not in out


def test_data_goes_where_the_xdg_convention_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert rules.data_dir(Settings(), {}) == tmp_path / ".local/share/tickgate"
    assert rules.data_dir(Settings(), {"XDG_DATA_HOME": "/x"}) == Path("/x/tickgate")
    assert rules.data_dir(Settings(), {"XDG_DATA_HOME": "relative"}) != Path("relative/tickgate")
    assert rules.data_dir(Settings(data_dir="~/own"), {}) == tmp_path / "own"


@pytest.mark.parametrize(
    "setting", [s for s in SETTINGS if s.kind == "float"], ids=lambda setting: setting.name
)
def test_no_time_is_beyond_what_a_role_can_wait_for(setting: Setting) -> None:
    with pytest.raises(ConfigError, match=f"{setting.flag}: expected "):
        load(Settings, {setting.name: "1e300"}, {}, prefix=PREFIX)


@pytest.mark.parametrize("name", ["minute_bars_days", "tick_log_days"])
def test_what_is_kept_reaches_back_to_a_time_that_there_is(name: str) -> None:
    days = getattr(load(Settings, {name: "100000"}, {}, prefix=PREFIX).values, name)

    for newest in (datetime(1990, 1, 1, tzinfo=UTC), datetime.now(UTC)):
        assert (newest - timedelta(days=days)).timestamp() * 1e9 > -(2**63)
    with pytest.raises(ConfigError, match="from 0 to 100000, was '999999'"):
        load(Settings, {name: "999999"}, {}, prefix=PREFIX)


def test_a_home_that_nobody_knows_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["check", "--data-dir", "~no such user/data"])

    assert code == 1
    assert "data directory ~no such user/data: nobody knows the home" in capsys.readouterr().err


def test_check_finds_a_name_that_is_too_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.main(["check", "--data-dir", f"{tmp_path}/{'x' * 300}", "--port", "0"])

    assert code == 1
    assert "FAIL  data      data directory" in (said := capsys.readouterr().out)
    assert "file name too long; choose a directory" in said.lower()


def test_check_without_urls_looks_at_what_dev_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = tmp_path / "data"

    assert cli.main(["check", "--data-dir", str(data_dir), "--port", "0"]) == 0
    assert "will be created" in capsys.readouterr().out
    assert not data_dir.exists()


def test_check_names_a_server_that_is_away(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--redis-url", "redis://127.0.0.1:1"]) == 1

    out = capsys.readouterr().out
    assert "FAIL  redis" in out
    assert "FAIL  database  not set; the roles need --database-url" in out


def test_no_gauge_of_the_gateway_tells_its_workers_apart() -> None:
    registry = CollectorRegistry()
    for owner in (GatewayMetrics(registry), HttpMetrics(registry)):
        gauges = [metric for metric in vars(owner).values() if isinstance(metric, Gauge)]
        assert [g for g in gauges if not g._multiprocess_mode.startswith("live")] == []


def test_limits_by_address_are_off_without_keys() -> None:
    limits = gateway_settings(Settings()).limits

    assert (limits.max_connections_per_ip, limits.handshakes_per_s) == (10, 50)
    assert limits.only_with_keys


def test_the_generated_pages_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert docs.main(["--check"]) == 0, capsys.readouterr().err


def test_every_setting_says_what_it_is_for() -> None:
    for setting in SETTINGS:
        assert len(setting.description) > 10, setting.name
        assert setting.accepted, setting.name


def test_watch_says_how_to_give_a_key_where_one_is_missing() -> None:
    assert str(Refused(401, "who?")).endswith("(code 401); give a key with --api-key")
    assert str(Refused(405, "too many")).endswith("(code 405)")


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--symbols", ""),  # as a shell makes it of a variable that is not set
        ("--channels", ""),
        ("--expires", ""),
        ("--connections", ""),
        ("--requests-per-min", ""),
        ("--id", ""),
        ("--id", "oauth"),
        ("--symbols", "SIM:S001,"),
        ("--channels", "Bars"),
        ("--expires", "2020-01-01"),
        ("--connections", "0"),
    ],
)
def test_a_key_is_not_made_of_a_value_that_cannot_be_meant(
    flag: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["keys", "add", f"{flag}={value}", "--database-url", "postgresql://a/b"]) == 2

    said = capsys.readouterr().err
    assert f"tickgate keys: {flag}: " in said
    assert "expected" in said


@pytest.mark.parametrize(
    ("words", "server"),
    [
        (["import", "ticks", "x.csv"], "Redis"),
        (["import", "bars", "x.csv"], "database"),
        (["export", "bars", "A", *SPAN, "--output", "x.csv"], "database"),
        (["rebuild", "A", *SPAN], "database"),
        (["keys", "list"], "database"),
    ],
)
def test_without_a_url_it_is_said_that_no_dev_runs(
    words: list[str], server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*words, "--data-dir", str(tmp_path)]) == 1

    said = capsys.readouterr().err
    assert f"no `tickgate dev` with a {server} of its own runs on data directory {tmp_path}" in said
    assert f"--{server.lower()}-url" in said
    assert list(tmp_path.iterdir()) == []
