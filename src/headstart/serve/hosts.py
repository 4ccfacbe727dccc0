"""Who is asked: the name in a request's Host header.

A page of another site can have its own name lead to 127.0.0.1 (DNS rebinding); a browser then lets it read
what a local server answers. It still says in Host which name it asked for.
"""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit


def asked(host: str) -> tuple[str, int] | None:
    """Name and port (80 where none is said) of a Host header; None where it is none.

    >>> asked("127.0.0.1:8000"), asked("[::1]:8000"), asked("a@b")
    (('127.0.0.1', 8000), ('::1', 8000), None)
    """
    try:
        found = urlsplit(f"//{host}")
        name, port = found.hostname or "", found.port or 80
    except ValueError:
        return None
    return None if "@" in host or not name else (name, port)


def is_own(name: str, names: Collection[str]) -> bool:
    """Whether a name is an address, which nobody can make another's, or among `names`, in small letters."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.casefold() in names
    return True


def is_local(host: str) -> bool:
    """Whether only this machine reaches what listens at `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
