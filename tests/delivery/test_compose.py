"""compose.yaml: fits the published schema, and says only what the program understands."""

import json
import re
from typing import Any

import jsonschema
import pytest
import yaml

from core.runtime import config
from tests.delivery.dockerfiles import ROOT, gateway_url
from tickgate import rules
from tickgate.arguments import parse
from tickgate.cli import COMMANDS
from tickgate.feeds import feeds_of
from tickgate.settings import PREFIX, SETTINGS, Settings

DIGEST = "a" * 64
DOT_ENV = {"POSTGRES_PASSWORD": "secret", "TICKGATE_API_KEYS": f"mine:{DIGEST}"}
OWN = ("migrate", "ingest", "aggregate", "gateway")
ROLES = ("ingest", "aggregate", "gateway")


def interpolate(text: str, environ: dict[str, str]) -> str:
    """``${NAME:-default}`` and ``${NAME:?message}``, as Compose does."""

    def value(found: re.Match[str]) -> str:
        name, operator, word = found.groups()
        if environ.get(name):
            return environ[name]
        if operator == ":?":
            raise KeyError(f"{name}: {word}")
        return word

    return re.sub(r"\$\{(\w+)(:[-?])([^}]*)\}", value, text)


def compose(environ: dict[str, str] = DOT_ENV) -> dict[str, Any]:
    text = (ROOT / "compose.yaml").read_text()
    loaded: dict[str, Any] = yaml.safe_load(interpolate(text, environ))
    return loaded


def variables(service: dict[str, Any]) -> dict[str, str]:
    ours = service["environment"].items()
    return {name: str(value) for name, value in ours if name.startswith(f"{PREFIX}_")}


def test_it_fits_the_published_schema() -> None:
    schema = json.loads((ROOT / "tests" / "delivery" / "compose-spec.json").read_text())

    jsonschema.Draft7Validator(schema).validate(compose())


@pytest.mark.parametrize("missing", sorted(DOT_ENV))
def test_without_a_password_or_keys_it_does_not_start(missing: str) -> None:
    with pytest.raises(KeyError, match=missing):
        compose({name: value for name, value in DOT_ENV.items() if name != missing})


@pytest.mark.parametrize("name", OWN)
def test_our_commands_and_variables_are_accepted_by_the_program(name: str) -> None:
    service = compose()["services"][name]
    word, *flags = service["command"]
    command = next(command for command in COMMANDS if command.name == word)

    arguments = parse(command, flags)
    loaded = config.load(Settings, arguments.flags, variables(service), prefix=PREFIX)
    rules.check(loaded, command.name)

    assert variables(service).keys() <= {setting.variable for setting in SETTINGS}
    if name == "ingest":
        assert feeds_of(loaded, command.name)


def test_the_roles_agree_on_everything_they_share() -> None:
    services = compose()["services"]
    shared = [
        {
            variable: value
            for variable, value in variables(services[name]).items()
            if variable in {s.variable for s in SETTINGS if not s.commands or len(s.commands) >= 4}
        }
        for name in ROLES
    ]

    for name in set.union(*(set(each) for each in shared)) - {"TICKGATE_LOG_LEVEL"}:
        assert len({each[name] for each in shared if name in each}) == 1


@pytest.mark.parametrize("name", [*ROLES, "database", "valkey"])
def test_what_serves_has_a_health_check_a_memory_limit_and_time_to_stop(name: str) -> None:
    service = compose()["services"][name]

    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["mem_limit"]
    assert service["stop_grace_period"]


@pytest.mark.parametrize("name", ROLES)
def test_a_role_is_asked_on_the_port_it_serves(name: str) -> None:
    service = compose()["services"][name]
    word, *rest = service["healthcheck"]["test"][1:]
    port = service["environment"].get(
        "TICKGATE_PORT", service["environment"].get("TICKGATE_OPS_PORT")
    )
    asked = rest[1] if rest[1:] else gateway_url(variables(service))

    assert (word, rest[0]) == ("python", "/opt/tickgate/healthcheck.py")
    assert asked == f"http://127.0.0.1:{port}/livez"


def test_roles_have_time_to_drain_before_they_are_killed() -> None:
    seconds = int(compose()["services"]["gateway"]["stop_grace_period"].removesuffix("s"))

    assert seconds >= 3 * Settings().drain_s  # each role has up to three parts


@pytest.mark.parametrize("name", sorted(compose()["services"]))
def test_images_have_a_version(name: str) -> None:
    image, _, tag = compose()["services"][name]["image"].partition(":")

    assert image
    assert re.search(r"\d", tag)


def test_one_service_builds_the_image_that_all_of_ours_run() -> None:
    services = compose()["services"]

    assert [name for name in services if "build" in services[name]] == ["migrate"]
    assert len({services[name]["image"] for name in OWN}) == 1


def test_only_loopback_is_published() -> None:
    published = [p for s in compose()["services"].values() for p in s.get("ports", [])]

    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("name", OWN)
def test_our_containers_have_no_rights_they_do_not_need(name: str) -> None:
    service = compose()["services"][name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_every_file_it_mounts_is_there() -> None:
    mounts = [m for s in compose()["services"].values() for m in s.get("volumes", [])]
    own = [mount.partition(":")[0] for mount in mounts if mount.startswith("./")]

    assert own
    assert [path for path in own if not (ROOT / path).is_file()] == []


def test_prometheus_scrapes_the_services_on_the_ports_they_serve() -> None:
    services = compose()["services"]
    jobs = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())["scrape_configs"]
    targets = [target for job in jobs for target in job["static_configs"][0]["targets"]]

    ports = {}
    for target in targets:
        name, _, port = target.partition(":")
        ports[name] = int(port)

    assert set(ports) == set(ROLES)
    for name, port in ports.items():
        environment = services[name]["environment"]
        assert port == environment.get("TICKGATE_PORT", environment.get("TICKGATE_OPS_PORT"))


def test_the_example_of_an_environment_names_what_has_to_be_set() -> None:
    lines = (ROOT / "deploy" / "env.example").read_text().splitlines()
    names = {line.partition("=")[0] for line in lines if line and not line.startswith("#")}

    assert names == set(DOT_ENV)
