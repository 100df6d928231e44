"""What the engine made of the request, held against what was asked.

Daemon defaults, image settings and newer engines all add to a container. Anything
that was not asked for and is not empty refuses the start.
"""

from __future__ import annotations

from typing import Any

# Set by the engine itself, and only ever narrower than nothing.
_ENGINE_OWN = {
    "ConsoleSize": ([0, 0],),
    "Isolation": ("", "default"),
    "MemorySwappiness": (-1,),
    "UsernsMode": ("", "host"),
}
_MUST_MASK = {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"}
_MUST_BE_READ_ONLY = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
# Fields of the container's Config that say how it looks, not what it may do.
_HARMLESS = {"Domainname", "StdinOnce", "ArgsEscaped"}


def differences(asked: dict[str, Any], image: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """The paths of the fields in which a created container differs from the request.

    `asked` is the create request, `image` the image's own Config, and `found` what the
    engine's inspect says. Paths only: values may hold a vendor's words.
    """
    return [
        *_host_config(asked["HostConfig"], found["HostConfig"]),
        *_config(_expected_config(asked, image), found["Config"]),
        *_mounts(asked["HostConfig"]["Mounts"], found["Mounts"]),
        *([] if found["Image"] == asked["Image"] else ["Image"]),
        *([] if set(found["NetworkSettings"]["Networks"]) == {"none"} else ["Networks"]),
    ]


def _expected_config(asked: dict[str, Any], image: dict[str, Any]) -> dict[str, Any]:
    """The create request over the few image settings that intake lets through."""
    variables = dict(entry.split("=", 1) for entry in [*(image.get("Env") or []), *asked["Env"]])
    return {
        **{key: value for key, value in asked.items() if key != "HostConfig"},
        "Env": sorted(f"{name}={value}" for name, value in variables.items()),
        "Entrypoint": image.get("Entrypoint"),
        "WorkingDir": image.get("WorkingDir") or "",
        "Labels": {**(image.get("Labels") or {}), **asked["Labels"]},
    }


def _config(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    found = {**found, "Env": sorted(found.get("Env") or [])}
    return [
        f"Config.{key}"
        for key in sorted(expected.keys() | found.keys() - _HARMLESS)
        if (expected.get(key) or None) != (found.get(key) or None)
    ]


def _host_config(asked: dict[str, Any], found: dict[str, Any]) -> list[str]:
    wrong = [
        f"HostConfig.{key}"
        for key in sorted((asked.keys() | found.keys()) - {"MaskedPaths", "ReadonlyPaths"})
        if not _agrees(asked.get(key), found.get(key), _ENGINE_OWN.get(key, ()))
    ]
    if not set(found.get("MaskedPaths") or ()) >= _MUST_MASK:
        wrong.append("HostConfig.MaskedPaths")
    if not set(found.get("ReadonlyPaths") or ()) >= _MUST_BE_READ_ONLY:
        wrong.append("HostConfig.ReadonlyPaths")
    return wrong


def _agrees(asked: Any, found: Any, allowed: tuple[Any, ...]) -> bool:  # noqa: ANN401 - JSON
    if not asked:
        return not found or found in allowed
    if isinstance(asked, list) and asked and isinstance(asked[0], dict):
        return len(asked) == len(found or ()) and all(map(_contains, found, asked))
    return bool(found == asked)


def _contains(found: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Every asked member is there, and nothing else that is not empty."""
    return all((found.get(key) or None) == (asked.get(key) or None) for key in found | asked)


def _mounts(asked: list[dict[str, Any]], found: list[dict[str, Any]]) -> list[str]:
    """The mounts that will be made: the requested ones and no volume of the image's."""
    expected = {(m["Target"], m["Source"], not m["ReadOnly"], m["Type"]) for m in asked}
    made = {
        # A volume is asked for by its name; where its driver has it is the engine's own business.
        (m["Destination"], m.get("Name" if m["Type"] == "volume" else "Source"), m["RW"], m["Type"])
        for m in found
    }
    # The engine lists /tmp among the mounts only in some versions.
    made = {mount for mount in made if mount[3] != "tmpfs"}
    return [] if made == expected and len(found) >= len(asked) else ["Mounts"]
