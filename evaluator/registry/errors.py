"""What a registry can do wrong, told in our own words: none of what it answers stands in them."""

from __future__ import annotations

from sandbox import SandboxError


class RegistryError(SandboxError):
    """The registry, or the way to it, is in trouble: never a vendor's fault."""


class Unreachable(RegistryError):  # noqa: N818 - as Denied, Gone and Lied: what the registry did
    """It does not answer, or not in time; later it may."""


class Denied(RegistryError):  # noqa: N818 - as above
    """It does not let these credentials do that."""


class Gone(RegistryError):  # noqa: N818 - as above
    """It has no such thing, or keeps it from these credentials."""


class Lied(RegistryError):  # noqa: N818 - as above
    """What came is not what a digest, a size or the protocol promised."""


class TooLarge(RegistryError):  # noqa: N818 - as above
    """What was asked for is more than may come; `size` is in bytes, as far as it is known."""

    def __init__(self, size: int) -> None:
        super().__init__(
            f"The registry has more than may be read of it: {size} bytes or more. Nothing of it "
            "was kept."
        )
        self.size = size


def unreachable() -> Unreachable:
    """After the last of several attempts."""
    return Unreachable(
        "The registry does not answer, or breaks off every time. Check its address and whether it "
        "runs; what was asked of it can be asked again."
    )


def untrusted() -> Unreachable:
    """Where its certificate is nobody's that this host trusts."""
    return Unreachable(
        "The registry's certificate is not valid for its address, or no CA that is known here "
        "vouches for it. Give the CA's certificate, or install it on this host."
    )


def denied() -> Denied:
    """Where it knows nobody by these credentials, or does not let them do this."""
    return Denied(
        "The registry does not let this user do that. Check the credentials, or log in with "
        "`docker login`, and compare what the registry grants: reading, listing, pushing."
    )


def gone() -> Gone:
    """For 404, which stands for secrets as well."""
    return Gone(
        "The registry has no such repository, tag or digest, or keeps it from this user. Compare "
        "the name with what was pushed."
    )


def lied(what: str) -> Lied:
    """`what` says in our words what was promised and not kept."""
    return Lied(
        f"The registry's answer cannot be right: {what}. Nothing of it was kept. Look at the "
        "registry and at what stands between it and this host."
    )


def odd(status: int) -> RegistryError:
    """For a status that the protocol does not know in this place."""
    return RegistryError(
        f"The registry answered with status {status}, which means nothing here. It may not speak "
        "the OCI distribution protocol, or not allow this kind of request."
    )


class Broken(Unreachable):
    """One attempt failed; another may not, not before `after` seconds."""

    def __init__(self, after: float = 0.0) -> None:
        super().__init__("The connection to the registry broke.")
        self.after = after
