"""Every setting, read from POINTS_* environment variables when a process starts.

Each field's description tells its unit and why its default is what it is; docs/settings.md shows
the same texts. An unknown POINTS_* variable is refused, for a misspelt one would silently do
nothing. No other POINTS_ variable is read elsewhere.
"""

import difflib
import os
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ledger import crash
from ledger.errors import StartRefused

PREFIX = "POINTS_"

_LOOPBACK = ("127.0.0.1", "::1", "localhost")

Network = IPv4Network | IPv6Network

_POSTGRESQL = re.compile(r"postgres(ql)?://.")


class Settings(BaseSettings):
    """The settings of one process."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    # --- services -----------------------------------------------------------------------------

    database_url: Annotated[
        SecretStr | None,
        Field(
            description="PostgreSQL to use, postgresql://user@host/database. Not set: the embedded"
            " PostgreSQL that `points up` starts."
        ),
    ] = None
    kafka_bootstrap: Annotated[
        str | None,
        Field(
            description="Kafka to use, host:port[,host:port]. Not set: the embedded Kafka that"
            " `points up` starts."
        ),
    ] = None
    data_dir: Annotated[
        Path,
        Field(
            description="Folder of the embedded services' data and logs. Default: .points in"
            " the current folder, so that two checkouts do not share data."
        ),
    ] = Path(".points")

    # --- ledger -------------------------------------------------------------------------------

    program_id: Annotated[
        str | None,
        Field(
            description="Id of the program whose ledger this must be; another ledger's database is"
            " refused at start. Not set: whichever ledger the database holds."
        ),
    ] = None
    shards: Annotated[
        int,
        Field(
            ge=1,
            le=1_024,
            description="Shards of a new ledger, fixed for ever when it is created. Default 32:"
            " room for 32 workers; each shard costs two small tables.",
        ),
    ] = 32
    partitions: Annotated[
        int,
        Field(
            ge=1,
            le=1_024,
            description="Partitions of each input topic; must divide the number of shards, so that"
            " a shard belongs to one partition. Default 8: eight workers at most.",
        ),
    ] = 8
    cache_accounts: Annotated[
        int,
        Field(
            ge=1_000,
            le=10_000_000,
            description="Most accounts kept in memory by one process; those not used for longest"
            " leave first. Default 50000: what POINTS_CACHE_MEGABYTES holds of shoppers who come"
            " every other week.",
        ),
    ] = 50_000
    cache_megabytes: Annotated[
        int,
        Field(
            ge=50,
            le=1_000_000,
            description="Most memory of those accounts, in megabytes, by an estimate that is right"
            " to a quarter; beside them a process takes some 200. Default 1000: 30000 accounts with"
            " a year of weekly purchases of nine lines (33 kB each).",
        ),
    ] = 1_000
    database_connections: Annotated[
        int,
        Field(
            ge=2,
            le=100,
            description="Most PostgreSQL connections of one process. Default 10: eight partitions"
            " appending at once, one that notifies, one for questions.",
        ),
    ] = 10
    database_timeout_seconds: Annotated[
        int,
        Field(
            ge=1,
            le=600,
            description="Seconds after which a statement or a wait for a lock is given up and the"
            " append tried again. Default 30: a hundred times the slowest healthy append.",
        ),
    ] = 30
    max_clock_skew_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=86_400,
            description="Seconds that an event may lie in the future before it is dead-lettered"
            " (from_future). Default 300: clocks of tills are rarely worse.",
        ),
    ] = 300

    # --- worker -------------------------------------------------------------------------------

    group: Annotated[
        str,
        Field(
            min_length=1,
            max_length=128,
            pattern=r"^[A-Za-z0-9._-]+$",
            description="Kafka consumer group of the workers, and the name under which the offsets"
            " are stored in PostgreSQL. Fixed by the ledger's first worker; another name is refused"
            " until `points kafka adopt`.",
        ),
    ] = "points-ledger"
    http_host: Annotated[
        str,
        Field(
            min_length=1,
            description="Address on which the worker's /livez, /readyz and /metrics listen. Default"
            " 127.0.0.1: nobody else's business; in a container 0.0.0.0.",
        ),
    ] = "127.0.0.1"
    http_port: Annotated[
        int,
        Field(
            ge=0,
            le=65_535,
            description="Port of the worker's /livez, /readyz and /metrics. Default 0: a"
            " free one, printed at the start, so that two workers fit on one machine.",
        ),
    ] = 0
    max_task_idle_ms: Annotated[
        int,
        Field(
            ge=0,
            le=60_000,
            description="Milliseconds that a partition waits for a topic whose unread records have"
            " not arrived, so that older events of it go first. Default 100: a fetch takes less."
            " A worker that loads a history waits until they are read.",
        ),
    ] = 100
    allowed_lateness_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=604_800,
            description="Seconds that the scheduler stays behind the clock, so that events which"
            " arrive that late find their account as if they had been in time. Default 3600.",
        ),
    ] = 3_600
    session_timeout_seconds: Annotated[
        int,
        Field(
            ge=6,
            le=60,
            description="Seconds after which Kafka gives a dead worker's partitions to another."
            " Default 10: a shorter pause of a healthy worker must not cost a rebalance.",
        ),
    ] = 10

    # --- api ----------------------------------------------------------------------------------

    api_host: Annotated[
        str,
        Field(
            min_length=1,
            description="Address on which the HTTP API listens. Default 127.0.0.1: a proxy with TLS"
            " stands in front of it.",
        ),
    ] = "127.0.0.1"
    api_port: Annotated[
        int,
        Field(
            ge=0,
            le=65_535,
            description="Port of the HTTP API; 0: a free one, printed at the start. Default 8088.",
        ),
    ] = 8_088
    api_connections: Annotated[
        int,
        Field(
            ge=1,
            le=100_000,
            description="Connections that the HTTP API keeps open at once; more are closed with"
            " 503. Default 1000: two to each of the requests that it answers at once.",
        ),
    ] = 1_000
    api_connections_per_address: Annotated[
        int,
        Field(
            ge=1,
            le=100_000,
            description="Connections of one address among them. Default 250: the tills of a large"
            " store behind one address, and three such stores leave room for others.",
        ),
    ] = 250
    api_trusted_proxies: Annotated[
        str | None,
        Field(
            description="Addresses and networks (10.0.0.7,10.1.0.0/24) of the proxies in front of"
            " the HTTP API, whose X-Forwarded-For and X-Forwarded-Proto are believed. Not set:"
            " nobody's, for anybody can send them."
        ),
    ] = None

    # --- access -------------------------------------------------------------------------------

    api_rate_per_second: Annotated[
        int,
        Field(
            ge=1,
            le=1_000_000,
            description="Requests a second that one caller of the API may send to one process, with"
            " bursts of twice as many; a key may have a rate of its own. Default 100: a store's"
            " tills behind one key.",
        ),
    ] = 100
    approval_points: Annotated[
        int,
        Field(
            ge=0,
            le=1_000_000_000_000,
            description="An adjustment over the API of more points than this, given or taken, waits"
            " for a second person. Default 10000: what an agent gives for a spoilt purchase is"
            " below. 0: every adjustment waits; the largest value: none does.",
        ),
    ] = 10_000
    oidc_issuer: Annotated[
        str | None,
        Field(
            description="Issuer of the bearer tokens that the API takes, exactly as in their claim"
            " iss: https://…, or http:// on loopback. Not set: API keys only."
        ),
    ] = None
    oidc_audience: Annotated[
        str | None,
        Field(
            min_length=1,
            description="What the claim aud of these tokens must hold. Needed with"
            " POINTS_OIDC_ISSUER.",
        ),
    ] = None
    oidc_jwks_url: Annotated[
        str | None,
        Field(
            description="Where the issuer's public keys are: https://…, or http:// on loopback. Not"
            " set: where the issuer's /.well-known/openid-configuration says."
        ),
    ] = None
    oidc_roles_claim: Annotated[
        str,
        Field(
            min_length=1,
            description="Claim with a person's roles, a list or a text with blanks; with dots a"
            " path, as realm_access.roles. Default roles. Roles that are none of ours are left"
            " out.",
        ),
    ] = "roles"

    # --- audit --------------------------------------------------------------------------------

    checkpoint_key: Annotated[
        Path | None,
        Field(
            description="File of the private key with which `points audit checkpoint` signs; its"
            " mode must be 0600. Not set: named on the command line.",
        ),
    ] = None

    checkpoint_dir: Annotated[
        Path | None,
        Field(
            description="Folder of the checkpoints, where `points audit checkpoint` puts them and"
            " the API finds them. Not set: named on the command line, and the API tells none.",
        ),
    ] = None

    checkpoint_every_seconds: Annotated[
        int,
        Field(
            ge=60,
            le=31_536_000,
            description="Seconds from one checkpoint to the next, where `points serve` or `points"
            " audit keep-checkpoints` makes them; a moment missed is made up for. Without"
            " POINTS_CHECKPOINT_KEY and POINTS_CHECKPOINT_DIR `points serve` makes none. Default"
            " 86400, a day: what was appended since the newest can be cut off unseen.",
        ),
    ] = 86_400

    # --- projections --------------------------------------------------------------------------

    rfm_refresh_hour: Annotated[
        int | None,
        Field(
            ge=0,
            le=23,
            description="Hour of the program's local day at which `points projections run` works"
            " out and records RFM bounds, every day; a night missed is made up for. Not set: never;"
            " `points segments refresh` does it once.",
        ),
    ] = None

    # --- webhooks -----------------------------------------------------------------------------

    webhooks_private_addresses: Annotated[
        Literal["refuse", "allow"],
        Field(
            description="refuse: webhooks go to public addresses only, over https. allow: also to"
            " private ones (loopback, one's own network) and over http. Default refuse: whoever may"
            " add a webhook must not reach what only this machine reaches."
        ),
    ] = "refuse"

    # --- drills -------------------------------------------------------------------------------

    crash_at: Annotated[
        str | None,
        Field(
            description="Crash point at which the process kills itself (SIGKILL), NAME or NAME:N"
            " for the Nth pass: for tests of recovery, docs/reliability.md lists the names. Not"
            " set: nowhere."
        ),
    ] = None

    @field_validator("crash_at")
    @classmethod
    def _is_a_crash_point(cls, name: str | None) -> str | None:
        if name is not None:
            crash.parse(name)
        return name

    @field_validator("database_url")
    @classmethod
    def _is_a_database(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not _POSTGRESQL.match(url.get_secret_value()):
            # Without the text that was found: it may hold a password.
            raise ValueError("write it as postgresql://user@host:port/database, or leave it unset")
        return url

    @field_validator("kafka_bootstrap")
    @classmethod
    def _names_a_server(cls, servers: str | None) -> str | None:
        if servers is not None and not servers.strip():
            raise ValueError("it is empty; write host:port[,host:port], or leave it unset")
        return servers

    @field_validator("api_trusted_proxies")
    @classmethod
    def _are_networks(cls, proxies: str | None) -> str | None:
        if proxies is not None:
            _networks(proxies)
        return proxies

    @field_validator("oidc_issuer", "oidc_jwks_url")
    @classmethod
    def _is_a_safe_url(cls, url: str | None) -> str | None:
        if url is not None and not is_safe_url(url):
            raise ValueError("write it as https://…; http:// is for loopback only")
        return url

    @model_validator(mode="after")
    def _issuer_has_an_audience(self) -> Self:
        if self.oidc_issuer is not None and self.oidc_audience is None:
            raise ValueError(
                "POINTS_OIDC_ISSUER is set without POINTS_OIDC_AUDIENCE: a token made for another"
                " application of that issuer would be taken; set both"
            )
        return self

    @model_validator(mode="after")
    def _partitions_divide_shards(self) -> Self:
        if self.shards % self.partitions:
            raise ValueError(
                f"POINTS_PARTITIONS={self.partitions} does not divide POINTS_SHARDS={self.shards}:"
                f" choose a divisor, so that each shard is fed by one partition"
            )
        return self

    @property
    def trusted_networks(self) -> tuple[Network, ...]:
        """Where the proxies are whose word on an address counts."""
        return () if self.api_trusted_proxies is None else _networks(self.api_trusted_proxies)

    def is_trusted_proxy(self, address: str) -> bool:
        """Whether an address is that of such a proxy."""
        try:
            asked = ip_address(address)
        except ValueError:
            return False
        return any(asked in network for network in self.trusted_networks)

    @property
    def shards_asked(self) -> int | None:
        """The number of shards if it was set: a ledger that exists must have it. None: any."""
        return self.shards if "shards" in self.model_fields_set else None

    def require_database_url(self) -> str:
        """The URL with its password. Raises StartRefused when none is set."""
        if self.database_url is None:
            raise StartRefused(
                "No database is set: run `points up`, or set POINTS_DATABASE_URL.",
                "no_database",
            )
        return self.database_url.get_secret_value()


def _networks(text: str) -> tuple[Network, ...]:
    """Each, of IPv4 also as a socket of IPv6 tells it. Raises ValueError with a sentence."""
    try:
        named = [ip_network(each.strip()) for each in text.split(",")]
        mapped = [
            IPv6Network(f"::ffff:{each.network_address}/{96 + each.prefixlen}")
            for each in named
            if isinstance(each, IPv4Network)
        ]
        return (*named, *mapped)
    except ValueError as error:
        raise ValueError(
            f"{error}: write addresses and networks with commas between them, as"
            " 10.0.0.7,10.1.0.0/24, or leave it unset"
        ) from None


def is_safe_url(url: str) -> bool:
    """Whether keys may be fetched there: over TLS, or from this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)


def load_settings(environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """The settings of the environment, `overrides` first. Raises StartRefused (unknown_setting,
    bad_setting)."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in environ if environ is not None else os.environ:
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"did you mean {near[0]}?" if near else "see docs/settings.md for all of them."
            raise StartRefused(f"{name} is not a setting: {hint}", "unknown_setting")
    values = dict(overrides)
    if environ is not None:
        given = {name.upper(): value for name, value in environ.items()}
        for name in Settings.model_fields:
            if PREFIX + name.upper() in given:
                values.setdefault(name, given[PREFIX + name.upper()])
    try:
        return Settings(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        name = f"{PREFIX}{place.upper()}: " if place else ""
        text = str(first["msg"]).removeprefix("Value error, ")
        raise StartRefused(f"{name}{text}.", "bad_setting") from None
