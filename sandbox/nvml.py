"""What GPUs are doing, from the driver's own library (NVML), on the host's side of the wall.

**No line of this has met a GPU**: it was run against tests/images/libnvidia-ml.c, a stand-in with
the signatures of NVIDIA's documentation. Known limits, from that documentation:

- Utilisation is the share of the driver's last sample period (a sixth of a second to a second) in
  which anything ran on the GPU, however little; what ran just before a container counts at its
  start.
- A MIG slice, and a GPU that is cut into slices, has no utilisation and no energy of its own. Such
  a device counts as busy as long as the container is there, a slice as its share of the GPU's
  compute slices.
- Memory is what is used beyond what was used before the start. Between two readings more may be
  used: where the limit must be hard, give the run a MIG slice of that size.
"""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.spec import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARY = "libnvidia-ml.so.1"

_CDI = "nvidia.com/gpu="
# NVML_ERROR_...: no such device (by number or by UUID), figure, function.
_INVALID, _NOT_SUPPORTED, _NOT_FOUND, _TOO_OLD = 2, 3, 6, 13
_NAME = 96  # bytes, NVML_DEVICE_NAME_V2_BUFFER_SIZE


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))  # per cent


class _Memory(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_ulonglong) for name in ("total", "free", "used"))


class _Attributes(ctypes.Structure):
    """nvmlDeviceAttributes_t: what a MIG slice has."""

    _fields_ = (
        ("multiprocessors", ctypes.c_uint),
        ("engines", ctypes.c_uint * 5),  # copy, decoder, encoder, JPEG, optical flow
        ("instance_slices", ctypes.c_uint),
        ("compute_slices", ctypes.c_uint),
        ("megabytes", ctypes.c_ulonglong),
    )


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One moment of all GPUs: how many are busy, bytes used beyond the start's, joules so far."""

    busy: float
    memory: int
    joules: float


class _Driver:
    """The library, with its calls by name."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise SandboxError(
                f"The NVIDIA driver's library {LIBRARY} is not on this host, so what a run does "
                "with its GPUs cannot be metered. Install the driver, or set gpus = 0 in "
                "evaluator.toml."
            ) from error

    def ask(self, function: str, *arguments: object) -> int:
        """The code that a function of the library answers."""
        try:
            call = getattr(self._library, function)
        except AttributeError:  # an older driver
            return _TOO_OLD
        return int(call(*arguments))

    def must(self, function: str, *arguments: object) -> None:
        """Call a function that has no reason to fail."""
        code = self.ask(function, *arguments)
        if code:
            raise SandboxError(
                f"The NVIDIA driver's library did not answer ({function}: code {code}), so the "
                "run's GPUs cannot be metered. See that `nvidia-smi` lists them without an error."
            )


class _Device:
    """One GPU, or one slice of a GPU."""

    def __init__(self, driver: _Driver, name: str) -> None:
        self._driver = driver
        self._handle = _handle(driver, name, *_asked(name))
        self.weight = self._share()
        self._used = self._memory()

    def name(self) -> str:
        """The model, as its maker writes it."""
        text = ctypes.create_string_buffer(_NAME)
        self._driver.must("nvmlDeviceGetName", self._handle, text, ctypes.c_uint(_NAME))
        return text.value.decode(errors="replace")

    def read(self) -> GpuReading:
        """How much of a whole GPU is busy, and the rest."""
        busy = self._utilization() * self.weight
        return GpuReading(busy, max(0, self._memory() - self._used), self._joules())

    def _share(self) -> float:
        """1, or a slice's part of the GPU's compute slices."""
        slices = ctypes.c_uint(0)
        code = self._driver.ask("nvmlDeviceIsMigDeviceHandle", self._handle, ctypes.byref(slices))
        if code or not slices.value:
            return 1.0
        whole, most, part = ctypes.c_void_p(), ctypes.c_uint(), _Attributes()
        must = self._driver.must
        found = ctypes.byref(whole)
        must("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", self._handle, found)
        must("nvmlDeviceGetMaxMigDeviceCount", whole, ctypes.byref(most))
        must("nvmlDeviceGetAttributes_v2", self._handle, ctypes.byref(part))
        return min(1.0, part.compute_slices / most.value) if most.value else 1.0

    def _utilization(self) -> float:
        figures = _Utilization()
        function = "nvmlDeviceGetUtilizationRates"
        code = self._driver.ask(function, self._handle, ctypes.byref(figures))
        if code == _NOT_SUPPORTED:
            return 1.0
        if code:
            self._driver.must(function, self._handle, ctypes.byref(figures))
        return min(100, int(figures.gpu)) / 100

    def _memory(self) -> int:
        figures = _Memory()
        self._driver.must("nvmlDeviceGetMemoryInfo", self._handle, ctypes.byref(figures))
        return int(figures.used)

    def _joules(self) -> float:
        """Since the driver was loaded; 0 where the GPU does not count."""
        figure = ctypes.c_ulonglong()
        function = "nvmlDeviceGetTotalEnergyConsumption"
        code = self._driver.ask(function, self._handle, ctypes.byref(figure))
        if code in {_NOT_SUPPORTED, _TOO_OLD}:
            return 0.0
        if code:  # 0 now and a figure before would be energy that comes back
            self._driver.must(function, self._handle, ctypes.byref(figure))
        return figure.value / 1000


def _asked(name: str) -> tuple[str, object]:
    """The call that finds a GPU, by its UUID or, as NVIDIA's toolkit counts, by its number."""
    device = name.removeprefix(_CDI)
    if device.startswith(("GPU-", "MIG-")):
        return "nvmlDeviceGetHandleByUUID", device.encode()
    if device != name and device.isdecimal():
        return "nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(int(device))
    if "=" in name and device == name:
        raise SandboxError(
            f"What a run does with {name!r} cannot be metered: it is not NVIDIA's, and the use of "
            "GPUs is read from NVIDIA's driver alone. Name an NVIDIA GPU in gpu_devices of "
            "evaluator.toml (`nvidia-smi -L`), or set gpus = 0."
        )
    raise SandboxError(
        f"What a run does with {name!r} cannot be metered: nothing says which GPU that is. "
        "Name its UUID (`nvidia-smi -L`) in gpu_devices of evaluator.toml."
    )


def _handle(driver: _Driver, name: str, function: str, argument: object) -> ctypes.c_void_p:
    handle = ctypes.c_void_p()
    code = driver.ask(function, argument, ctypes.byref(handle))
    if code:
        listed = code not in {_INVALID, _NOT_FOUND}
        why = f"code {code}" if listed else "the driver lists no such GPU"
        raise SandboxError(
            f"What a run does with {name!r} cannot be metered: {why}. Compare gpu_devices of "
            "evaluator.toml with `nvidia-smi -L`."
        )
    return handle


class Gpus:
    """The GPUs of one run."""

    def __init__(self, devices: tuple[_Device, ...]) -> None:
        self._devices = devices
        self.count = sum(device.weight for device in devices)

    def names(self) -> tuple[str, ...]:
        """The model of each."""
        return tuple(device.name() for device in self._devices)

    def read(self) -> GpuReading:
        """All of them together."""
        each = [device.read() for device in self._devices]
        return GpuReading(
            sum(reading.busy for reading in each),
            sum(reading.memory for reading in each),
            sum(reading.joules for reading in each),
        )


@contextmanager
def opened(names: tuple[str, ...]) -> Iterator[Gpus]:
    """The GPUs of these names, as long as the block lasts; SandboxError says what is missing."""
    for name in names:
        _asked(name)  # a name that says no GPU is told even where there is no driver
    driver = _Driver()
    driver.must("nvmlInit_v2")
    try:
        yield Gpus(tuple(_Device(driver, name) for name in names))
    finally:
        driver.ask("nvmlShutdown")


def gpu_models(names: tuple[str, ...]) -> tuple[str, ...]:
    """What the maker calls each of these GPUs."""
    with opened(names) as gpus:
        return gpus.names()
