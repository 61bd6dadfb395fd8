"""Who calls, as far as the network tells: a name for each address, so that one cannot take all.

A visitor's key is their browser's, and a script makes itself as many as it likes; addresses are
fewer. LATHE_PROXIES says how many proxies stand before the program, each of which adds the address
that it was asked from to X-Forwarded-For, at the end; what stands before those is what the caller
claims, and counts for nothing.

    LATHE_PROXIES=0    none: who connects is who asks
    LATHE_PROXIES=1    one
    unset              one on a Space, else none; but a private address, which a proxy that nobody
                       told of may have, is nobody's, so that its visitors do not share a limit

Kept is only a hash under a key that is drawn when the program starts and never written.
"""

import hashlib
import hmac
import logging
import os
import secrets
from ipaddress import IPv4Address, IPv6Address, ip_address

from gradio.context import LocalContext
from starlette.datastructures import Headers
from starlette.types import Scope

from pipelines.errors import InstallationError

VARIABLE = "LATHE_PROXIES"
HEADER = "x-lathe-caller"
"""By which the name travels with a request; what a caller writes there is overwritten."""
MAX_PROXIES = 10
NETWORK_BITS = 64
"""Of an IPv6 address; the rest is its holder's to choose."""
UNTOLD = (
    "requests come through a proxy, so visitors are not counted by address; "
    f"set {VARIABLE} to the number of proxies"
)

logger = logging.getLogger(__name__)


class Callers:
    """Names callers by the address that they ask from, the same for the program's life."""

    def __init__(self, num_proxies: int = 0, *, only_public: bool = True) -> None:
        self.num_proxies = num_proxies
        self.only_public = only_public
        self._key = secrets.token_bytes(32)
        self._told = False

    def name(self, scope: Scope) -> str | None:
        """Return who sent a request, or None where the network does not tell."""
        forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
        if 0 < self.num_proxies <= len(forwarded):
            address = _parsed(forwarded[-self.num_proxies])
        else:
            address = _parsed((scope.get("client") or ("",))[0])
        if address is None:
            return None
        if self.only_public and not address.is_global:
            if forwarded != [""] and not self._told:
                self._told = True
                logger.warning(UNTOLD)
            return None
        return hmac.new(self._key, _network(address), hashlib.sha256).hexdigest()[:32]


def callers_from_environment() -> Callers:
    """Return what names callers as the environment says.

    Raises:
        InstallationError: LATHE_PROXIES is no number of proxies.
    """
    given = os.environ.get(VARIABLE)
    if not given:
        return Callers(1 if os.environ.get("SPACE_ID") else 0)
    if not given.isdecimal() or int(given) > MAX_PROXIES:
        raise InstallationError(f"{VARIABLE} is {given!r}; it must be 0 to {MAX_PROXIES}")
    return Callers(int(given), only_public=False)


def calling() -> str | None:
    """Return who sent the request of the event that this is called in, or None."""
    request = LocalContext.request.get(None)
    headers = getattr(request, "headers", None)
    return (headers.get(HEADER) or None) if headers is not None else None


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip().strip('"')
    # Some proxies write the port, too: [2001:db8::1]:443 and 192.0.2.1:443.
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _network(address: IPv4Address | IPv6Address) -> bytes:
    return address.packed if address.version == 4 else address.packed[: NETWORK_BITS // 8]
