"""Puts `serve-auth` together: settings, keys, broker or own hub, listening socket, uvicorn.

The only place that knows both the server and the hub. Imports the network: whoever needs only the options imports
`serve_auth.py`. No token, key or secret is ever printed here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import re
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from codewrap import config
from codewrap.broker.app import HubRuntime, hub_routes
from codewrap.broker.apps import App, Webhook
from codewrap.broker.inprocess import HubApi
from codewrap.broker.limits import Limits
from codewrap.broker.origins import ANY, Door
from codewrap.broker.serving import uvicorn_settings
from codewrap.cli import looking
from codewrap.errors import ConfigError, TransportError
from codewrap.redaction import redact_all
from codewrap.server.app import Backends, MountedHub, PublicBroker, ServerSettings, build_app
from codewrap.server.auditing import Auditor
from codewrap.server.authorize import Signer
from codewrap.server.guard import Reach, normal_origin
from codewrap.server.health import Probe, always, http_probe
from codewrap.server.keys import KeyStore
from codewrap.server.limits import Bounds
from codewrap.server.metrics import Census
from codewrap.server.oidc import OidcVerifier
from codewrap.server.oidcrecognizer import OidcRecognizer
from codewrap.server.oidcsettings import read_oidc
from codewrap.server.recordingfiles import RecordingFiles
from codewrap.server.revoking import TerminateUser
from codewrap.server.state import StateStore
from codewrap.server.stores.opening import is_shared, open_store
from codewrap.store.audit import AuditLog, server_log
from codewrap.store.files import state_directory
from codewrap.transport.base import AppCredentials, Endpoint, Publisher
from codewrap.transport.publish import CallableBackend, PusherPublisher

SHORT_TOKEN_CHARACTERS = 16
STOP_WITHIN_S = 5
AUDIT_LOCK_WAIT_S = 5.0
BACKLOG = 512
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# What the hub of one's own accepts, and the largest event that is then sent to it.
HUB_PROFILES: dict[str, tuple[Callable[[], Limits], int]] = {
    "default": (Limits.default, config.SOKETI_EVENT_BYTES),
    "pusher-cloud": (Limits.pusher_cloud, config.PUSHER_EVENT_BYTES),
}
LOOPBACK_PROXIES = ("127.0.0.1", "::1")
# Of no concern to a server: they say where this user's own hosts and viewers go.
_CLIENT_SETTINGS = ("CODEWRAP_MODE", "CODEWRAP_URL", "CODEWRAP_TOKEN")


@dataclass(frozen=True, slots=True)
class Options:
    """The command's options, as given."""

    host: str = "127.0.0.1"
    port: int = 8080
    allowed_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    public_host: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False
    trusted_proxies: tuple[str, ...] = ()
    insecure: bool = False
    webhooks: tuple[str, ...] = ()
    hub_profile: str = "default"
    quiet: bool = False
    json: bool = False


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the server recognizes others by."""

    token: str = field(repr=False)
    signing_keys: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Backing:
    """What stands behind the server: a configured broker, or its own hub."""

    settings: ServerSettings
    make_publisher: Callable[[], Publisher]
    terminate: TerminateUser | None
    probe: Probe
    description: str
    kind: str
    way: looking.Way
    hub: MountedHub | None = None
    runtime: HubRuntime | None = None
    frame_bytes: int = 64 * 1024


def serve(options: Options, values: Mapping[str, str]) -> None:
    """Serve until SIGTERM or SIGINT. ``values`` are environment over `.env`.

    Raises ConfigError for settings, StoreError for the kept keys, TransportError where it cannot listen.
    """
    _check_exposure(options)
    _check_tls(options)
    reach = _reach(options)
    settings = config.load({name: value for name, value in values.items() if name not in _CLIENT_SETTINGS})
    store = KeyStore(state_directory(values))
    secrets = Secrets(
        token=settings.auth_token if settings.auth_token is not None else store.token(),
        signing_keys=settings.signing_keys or (store.signing_key(),),
    )
    backing = _bounded(_backing(options, settings, store, secrets, reach), values)
    backends = _backends(backing, values, store)
    with _listener(options.host, options.port) as listener:
        announcement = _Announcement(options, backing, None if settings.auth_token else store.token_path)
        if not options.quiet:
            for warning in [*settings.warnings, *_warnings(options, settings)]:
                _say(f"warning: {warning}")
        _run_server(options, backing, backends, listener, announcement, _hidden(values, secrets, backing))


def _bounded(backing: Backing, values: Mapping[str, str]) -> Backing:
    bounds = Bounds(*config.most_per_user(values))
    return replace(backing, settings=replace(backing.settings, bounds=bounds, metrics_token=config.metrics_token(values)))


def rotate_key(values: Mapping[str, str]) -> None:
    """Give the server's own hub a new master key, from its next start on. Raises ConfigError, StoreError."""
    settings = config.load({name: value for name, value in values.items() if name not in _CLIENT_SETTINGS})
    if settings.broker is not None:
        names = config.SOKETI_MASTER_KEY_NAMES if settings.broker.family == "SOKETI" else config.PUSHER_MASTER_KEY_NAMES
        raise ConfigError("--rotate-key", "is for a hub of its own", f"change {names[0]}, and start the server again")
    store = KeyStore(state_directory(values))
    store.rotate_master_key()
    _say(f"there is a new master key in {store.directory}: it counts from the next start of the server on")


def _backends(backing: Backing, values: Mapping[str, str], store: KeyStore) -> Backends:
    """What stands behind the server beside the broker. Raises ConfigError, StoreError."""
    provider = read_oidc(values)
    recognizers = [] if provider is None else [OidcRecognizer(OidcVerifier.from_settings(provider))]
    log = AuditLog(server_log(store.directory.parent), *config.audit_limits(values), lock_wait_s=AUDIT_LOCK_WAIT_S)
    return Backends(
        backing.make_publisher,
        open_state(values, store.directory),
        Auditor(log),
        recognizers,
        backing.terminate,
        backing.probe,
        several="CODEWRAP_STATE" in values,
        recordings=open_recordings(values, store.directory),
        looks=looking.Viewers(backing.way, Signer(backing.settings.app, backing.settings.master_key)),
    )


def open_recordings(values: Mapping[str, str], directory: Path) -> RecordingFiles | None:
    """Where recordings are stored: CODEWRAP_RECORDINGS, or a directory in ``directory``; None: nowhere. Raises ConfigError."""
    age_s, most_bytes = config.recordings_kept(values)
    if age_s == 0:
        return None
    chosen = values.get("CODEWRAP_RECORDINGS")
    return RecordingFiles(Path(chosen) if chosen else directory / "recordings", age_s, most_bytes)


def _hidden(values: Mapping[str, str], secrets: Secrets, backing: Backing) -> list[str]:
    """What must not get into a log, in the forms that it might."""
    keys = [backing.settings.master_key, *secrets.signing_keys]
    texts = [values[name] for name in config.SECRET_NAMES if values.get(name)]
    encoded = [form for key in keys for form in (key.hex(), base64.b64encode(key).decode(), repr(key))]
    return [*texts, secrets.token, backing.settings.app.secret, *encoded]


def open_state(values: Mapping[str, str], directory: Path) -> StateStore:
    """The store of CODEWRAP_STATE, or a file in ``directory``. Raises ConfigError, StoreError."""
    url = values.get("CODEWRAP_STATE")
    if is_shared(url) and "CODEWRAP_SIGNING_KEY" not in values:
        raise ConfigError(
            "CODEWRAP_SIGNING_KEY",
            "is missing: copies of the server that share a store must sign with one key",
            "make one with: openssl rand -base64 32",
        )
    return open_store(url, directory)


def _check_exposure(options: Options) -> None:
    if config.is_loopback(options.host) or options.tls_cert or options.behind_proxy or options.insecure:
        return
    raise ConfigError(
        "--host",
        "other machines would send their tokens without TLS",
        "give --tls-cert and --tls-key, or --behind-proxy, or --insecure",
    )


def _check_tls(options: Options) -> None:
    if (options.tls_cert is None) != (options.tls_key is None):
        raise ConfigError("--tls-cert", "and --tls-key are needed together")
    if options.tls_cert is None or options.tls_key is None:
        return
    try:
        # No password prompt: a server that waits for somebody to type is not running.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(options.tls_cert, options.tls_key, password=lambda: b"")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "it cannot be used"
        raise ConfigError("--tls-cert", f"certificate and key cannot be loaded: {reason}") from error


def _reach(options: Options) -> Reach:
    origins = set()
    for text in _split(options.allowed_origins):
        origin = normal_origin(text.rstrip("/"))
        if origin is None:
            raise ConfigError("--allowed-origin", "is not an origin", "for example https://example.com, without a path")
        origins.add(origin)
    hosts = set()
    for text in _split(options.allowed_hosts):
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,253}", text):
            raise ConfigError("--allowed-host", "is not a host name", "for example codewrap.example.com, without a port")
        hosts.add(text.lower().rstrip("."))
    if not config.is_loopback(options.host):
        hosts |= {socket.gethostname().lower(), options.host.lower()}
    return Reach(frozenset(hosts), frozenset(origins), https_outside=options.behind_proxy)


def _split(texts: tuple[str, ...]) -> list[str]:
    return [part for text in texts for part in re.split(r"[,\s]+", text) if part]


def _backing(options: Options, settings: config.Settings, store: KeyStore, secrets: Secrets, reach: Reach) -> Backing:
    public = _public_broker(options.public_host)
    if settings.broker is None:
        return _own_hub(options, store, secrets, reach, public)
    if options.webhooks:
        raise ConfigError("--webhook", "is for a hub of its own", "configure webhooks at the broker")
    if options.hub_profile != "default":
        raise ConfigError("--hub-profile", "is for a hub of its own", "the broker that is configured has limits of its own")
    return _in_front_of(settings.broker, secrets, reach, public)


def _in_front_of(broker: config.Broker, secrets: Secrets, reach: Reach, public: PublicBroker | None) -> Backing:
    if broker.master_key is None:
        names = config.SOKETI_MASTER_KEY_NAMES if broker.family == "SOKETI" else config.PUSHER_MASTER_KEY_NAMES
        raise ConfigError(names[0], "is missing: sessions could not be encrypted", "make one with: openssl rand -base64 32")
    app = AppCredentials(broker.app_id, broker.key, broker.secret)
    endpoint = Endpoint(broker.api_host, broker.api_port, broker.tls, broker.key)
    public = public or PublicBroker(broker.ws_host, broker.ws_port, broker.tls)
    if public.port is None or public.tls is None:
        tls = broker.tls if public.tls is None else public.tls
        public = replace(public, port=public.port or broker.ws_port, tls=tls)
    return Backing(
        settings=ServerSettings(
            app,
            broker.master_key,
            secrets.token,
            secrets.signing_keys,
            broker.event_bytes,
            public,
            reach,
            client_events_per_s=broker.client_events_per_s,
        ),
        make_publisher=lambda: PusherPublisher(app, endpoint, event_bytes=broker.event_bytes),
        terminate=lambda user: _terminate(app, endpoint, user),
        probe=http_probe(broker.api_host, broker.api_port, tls=broker.tls),
        description=f"{broker.family.capitalize()} server at {endpoint.url}",
        kind=broker.family.lower(),
        way=looking.way_to_broker(broker),
    )


def _own_hub(options: Options, store: KeyStore, secrets: Secrets, reach: Reach, public: PublicBroker | None) -> Backing:
    public = _public_hub(options, public)
    keys = store.hub_keys()
    app = AppCredentials(keys.app_id, keys.key, keys.secret)
    profile, event_bytes = HUB_PROFILES[options.hub_profile]
    limits = profile()
    # Hosts and origins are judged once, by the server's guard before all routes.
    hooks = tuple(Webhook(config.check_url("--webhook", url)) for url in _split(options.webhooks))
    runtime = HubRuntime(App(keys.app_id, keys.key, keys.secret, webhooks=hooks), limits=limits, door=Door({ANY}, {ANY}))
    nowhere = Endpoint("localhost", 80, False, keys.key)
    make_publisher = partial(_hub_publisher, app, nowhere, event_bytes, runtime)
    return Backing(
        settings=ServerSettings(
            app,
            keys.master_key,
            secrets.token,
            secrets.signing_keys,
            event_bytes,
            public,
            reach,
            client_events_per_s=limits.client_events_per_s,
        ),
        make_publisher=make_publisher,
        terminate=None,  # every socket of it is closed, signed in or not
        probe=always,
        description="this server itself",
        kind="own",
        way=looking.way_to_hub(runtime, make_publisher),
        hub=MountedHub(
            hub_routes(runtime),
            runtime.running,
            runtime.close_socket,
            runtime.hub.is_open,
            lambda: Census(*runtime.census()),
        ),
        runtime=runtime,
        frame_bytes=limits.frame_bytes,
    )


def _hub_publisher(app: AppCredentials, nowhere: Endpoint, event_bytes: int, runtime: HubRuntime) -> Publisher:
    return PusherPublisher(app, nowhere, event_bytes=event_bytes, backend=CallableBackend(HubApi(runtime).request))


def _terminate(app: AppCredentials, endpoint: Endpoint, user: str) -> None:
    publisher = PusherPublisher(app, endpoint)
    try:
        publisher.terminate_user(user)
    finally:
        publisher.close()


def _public_broker(text: str | None) -> PublicBroker | None:
    if text is None:
        return None
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        port = parts.port
    except ValueError:
        raise ConfigError("--public-host", "is not a host", "[https://]HOST[:PORT][/PATH]") from None
    schemes = {"": None, "http": False, "ws": False, "https": True, "wss": True}
    if parts.scheme not in schemes or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ConfigError("--public-host", "is not a host", "[https://]HOST[:PORT][/PATH]")
    tls = schemes[parts.scheme]
    if port is None and tls is not None:
        port = 443 if tls else 80
    return PublicBroker(parts.hostname, port, tls, parts.path.rstrip("/"))


def _public_hub(options: Options, public: PublicBroker | None) -> PublicBroker:
    """Where clients find our own hub: where they find us, or all of host, port and TLS."""
    if public is None:
        return PublicBroker()
    tls = public.tls if public.tls is not None else bool(options.tls_cert or options.behind_proxy)
    port = public.port or (443 if options.behind_proxy else options.port)
    if port == 0:
        raise ConfigError("--public-host", "has no port, and --port 0 gives none", "HOST:PORT")
    return replace(public, port=port, tls=tls)


def _warnings(options: Options, settings: config.Settings) -> list[str]:
    lines = []
    if settings.auth_token is not None and len(settings.auth_token) < SHORT_TOKEN_CHARACTERS:
        lines.append("AUTH_TOKEN is short: who guesses it can type into every session (openssl rand -base64 32)")
    if options.insecure and not options.tls_cert and not config.is_loopback(options.host):
        lines.append("no TLS: who can see the network path can read the tokens")
    for_others = not config.is_loopback(options.host) or options.behind_proxy
    broker = settings.broker if options.public_host is None else None
    if for_others and broker is not None and config.is_loopback(broker.ws_host):
        lines.append(f"other machines will be told that the broker is at {broker.ws_host}: give --public-host")
    return lines


@contextlib.contextmanager
def _listener(host: str, port: int) -> Generator[socket.socket]:
    """A bound socket. Raises TransportError in one line where that cannot be."""
    where = f"{host}:{port}"
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise TransportError(where, f"no such address: {error.strerror}", retry=False) from error
    with socket.socket(family, kind, proto) as listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            raise TransportError(where, f"cannot listen: {error.strerror}: choose another --port", retry=False) from error
        yield listener


class _Announcement:
    """What is said when the port listens."""

    def __init__(self, options: Options, backing: Backing, token_path: Path | None) -> None:
        self._options = options
        self._backing = backing
        self._token_path = token_path

    def say(self, port: int) -> None:
        """Print it: a line each on stderr for people, one object on stdout for programs."""
        scheme = "https" if self._options.tls_cert else "http"
        host = f"[{self._options.host}]" if ":" in self._options.host else self._options.host
        url = f"{scheme}://{host}:{port}"
        if not self._options.quiet:
            _say(f"serving at {url}")
            _say(f"broker: {self._backing.description}")
            token = f"the line in {self._token_path}" if self._token_path is not None else "AUTH_TOKEN of this server"
            _say(f"hosts and viewers need CODEWRAP_URL={url} and CODEWRAP_TOKEN, which is {token}")
        if self._options.json:
            print(json.dumps(self._object(url, port)), flush=True)  # noqa: T201

    def _object(self, url: str, port: int) -> dict[str, Any]:
        return {
            "ready": True,
            "url": url,
            "host": self._options.host,
            "port": port,
            "broker": self._backing.kind,
            "token_file": str(self._token_path) if self._token_path is not None else None,
        }


def _run_server(
    options: Options,
    backing: Backing,
    backends: Backends,
    listener: socket.socket,
    announcement: _Announcement,
    hidden: Sequence[str],
) -> None:
    app = build_app(backing.settings, backends, backing.hub)
    changes: dict[str, Any] = {
        "proxy_headers": options.behind_proxy,
        "forwarded_allow_ips": list(_split(options.trusted_proxies)) or list(LOOPBACK_PROXIES),
        "timeout_graceful_shutdown": STOP_WITHIN_S,
        "date_header": True,  # clients tell by it how far their clock is off
        "ssl_certfile": options.tls_cert,
        "ssl_keyfile": options.tls_key,
        "lifespan": "on",
    }
    logging.basicConfig(level=logging.WARNING, format="codewrap: %(levelname)s: %(message)s", stream=sys.stderr)
    redact_all(hidden)
    configuration = uvicorn.Config(app, **(uvicorn_settings(backing.frame_bytes) | changes))
    server = _ReadyServer(configuration, announcement, backing.runtime)
    try:
        server.run(sockets=[listener])
    except SystemExit as error:  # uvicorn's way to say that the application did not start; it has logged why
        raise TransportError("serve-auth", "did not start", retry=False) from error


class _ReadyServer(uvicorn.Server):
    """Says when it listens, and stops on a signal without passing it on: being asked to stop is no failure."""

    def __init__(self, configuration: uvicorn.Config, announcement: _Announcement, hub: HubRuntime | None) -> None:
        super().__init__(configuration)
        self._announcement = announcement
        self._hub = hub

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say so."""
        await super().startup(sockets)
        if self.started and sockets:
            self._announcement.say(sockets[0].getsockname()[1])

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop on SIGTERM and SIGINT while it runs."""
        loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in _STOP_SIGNALS:
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        if self._hub is not None:
            self._hub.shut_down()
        self.should_exit = True


def _say(line: str) -> None:
    print(f"codewrap: {line}", file=sys.stderr, flush=True)  # noqa: T201
