"""`codewrap serve-auth`: options, one call. What is put together from them stands in `serving.py`.

Importing this module imports nothing of the network.
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from codewrap.cli import environment

_LIST = "May be given several times; commas between them in the variable."


class HubProfile(enum.Enum):
    """What the server's own hub accepts."""

    DEFAULT = "default"
    PUSHER_CLOUD = "pusher-cloud"


def serve_auth(
    host: Annotated[str, typer.Option(envvar="CODEWRAP_HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="CODEWRAP_PORT", min=0, max=65535, help="Port; 0 takes any free one.")] = 8080,
    allowed_origin: Annotated[
        list[str] | None,
        typer.Option(envvar="CODEWRAP_ALLOWED_ORIGINS", help=f"Origin whose web pages may ask (https://example.com). {_LIST}"),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(envvar="CODEWRAP_ALLOWED_HOSTS", help=f"Name under which clients reach this server. {_LIST}"),
    ] = None,
    public_host: Annotated[
        str | None,
        typer.Option(
            envvar="CODEWRAP_PUBLIC_HOST",
            help="Where clients reach the broker, if not as this server does: a host, or a URL without a query.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(envvar="CODEWRAP_TLS_CERT", help="Certificate chain (PEM): serve https and wss.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(envvar="CODEWRAP_TLS_KEY", help="The certificate's private key (PEM).")] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", envvar="CODEWRAP_BEHIND_PROXY", help="A proxy before this server speaks TLS.")
    ] = False,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            envvar="CODEWRAP_TRUSTED_PROXIES",
            help=f"Address of that proxy, whose X-Forwarded-For is believed (default: this machine). {_LIST}",
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", envvar="CODEWRAP_INSECURE", help="Serve other machines without TLS, knowingly.")
    ] = False,
    webhook: Annotated[
        list[str] | None,
        typer.Option(
            envvar="CODEWRAP_WEBHOOKS",
            help=f"URL that is told of channels, members and client events, signed; with a hub of its own only. {_LIST}",
        ),
    ] = None,
    hub_profile: Annotated[
        HubProfile,
        typer.Option(
            envvar="CODEWRAP_HUB_PROFILE",
            help="How much a hub of its own accepts; pusher-cloud: no more than the hosted service, to try things out.",
        ),
    ] = HubProfile.DEFAULT,
    rotate_key: Annotated[
        bool,
        typer.Option(
            "--rotate-key", help="Make a new master key for a hub of its own, which counts from the next start on; exit."
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", envvar="CODEWRAP_QUIET", help="Say nothing but errors.")] = False,
    json: Annotated[
        bool, typer.Option("--json", envvar="CODEWRAP_JSON", help="When ready, print one JSON object on stdout.")
    ] = False,
) -> None:
    """Authorize hosts and viewers, take input over HTTP; without a broker configured, be the broker too.

    The token that everybody needs is AUTH_TOKEN, from the environment or .env; where it is not set, one is made and kept in a
    file of yours. The broker is that of SOKETI_* or PUSHER_*; where neither is set, it is this server.

    Exit status: 0 stopped by SIGTERM or SIGINT, 2 a setting is wrong, 125 cannot serve (port taken).
    """
    from codewrap.cli import serving

    if rotate_key:
        serving.rotate_key(environment.current().values)
        return
    options = serving.Options(
        host=host,
        port=port,
        allowed_origins=tuple(allowed_origin or ()),
        allowed_hosts=tuple(allowed_host or ()),
        public_host=public_host,
        tls_cert=tls_cert,
        tls_key=tls_key,
        behind_proxy=behind_proxy,
        trusted_proxies=tuple(trusted_proxy or ()),
        insecure=insecure,
        webhooks=tuple(webhook or ()),
        hub_profile=hub_profile.value,
        quiet=quiet,
        json=json,
    )
    serving.serve(options, environment.current().values)
