"""Does a GPU compute behind the wall? The driver's own library, and a kernel that adds one.

    docker run IMAGE gpu-self-test    1,024 numbers on each GPU, plus one, and back
    docker run IMAGE gpu-scrub        zeros over all memory of each GPU that can be had

/output/predictions gets "<3i": the step that failed (0 none), the driver's error code (0 where it
gave none) and how many GPUs passed. This has been run against a stand-in library only, never on a
GPU; NVIDIA's assembler accepts the kernel for every architecture that it knows.
"""

import ctypes
import struct
from pathlib import Path

RECORD = struct.Struct("<3i")
FAILED = 70  # exit status
NUMBERS = 1024
OUT_OF_MEMORY = 2  # CUresult
SMALLEST = 2 * 2**20  # bytes; the pages that a GPU's memory is given out in
LIBRARY, INIT, DEVICES, CONTEXT, MODULE, KERNEL, MEMORY, WRITE, LAUNCH, READ, COMPARE = range(1, 12)

# Text that the driver compiles for whatever GPU it finds, from Maxwell (2014) on.
PTX = b"""
.version 6.0
.target sm_50
.address_size 64
.visible .entry add_one(.param .u64 numbers)
{
    .reg .u32 %block, %threads, %thread, %index, %value;
    .reg .u64 %start, %offset, %address;
    ld.param.u64 %start, [numbers];
    cvta.to.global.u64 %start, %start;
    mov.u32 %block, %ctaid.x;
    mov.u32 %threads, %ntid.x;
    mov.u32 %thread, %tid.x;
    mad.lo.u32 %index, %block, %threads, %thread;
    mul.wide.u32 %offset, %index, 4;
    add.u64 %address, %start, %offset;
    ld.global.u32 %value, [%address];
    add.u32 %value, %value, 1;
    st.global.u32 [%address], %value;
    ret;
}
"""


class StepError(Exception):
    """A step that failed, with the driver's code."""

    def __init__(self, step: int, code: int = 0) -> None:
        super().__init__(f"step {step}: {code}")
        self.step = step
        self.code = code


class Driver:
    """libcuda.so.1, which the container toolkit mounts from the host."""

    def __init__(self) -> None:
        try:
            self.library = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            raise StepError(LIBRARY) from error

    def call(self, step: int, name: str, *arguments: object) -> None:
        """One function of the driver; every one of them answers with 0 or a code."""
        code = self.ask(step, name, *arguments)
        if code:
            raise StepError(step, code)

    def ask(self, step: int, name: str, *arguments: object) -> int:
        """The same, and its code."""
        try:
            function = getattr(self.library, name)
        except AttributeError as error:
            raise StepError(step) from error
        return int(function(*arguments))

    def devices(self) -> range:
        """The numbers of the GPUs that are here."""
        self.call(INIT, "cuInit", 0)
        count = ctypes.c_int()
        self.call(DEVICES, "cuDeviceGetCount", ctypes.byref(count))
        if count.value < 1:
            raise StepError(DEVICES)
        return range(count.value)

    def open(self, number: int) -> ctypes.c_void_p:
        """A context on one GPU: what the calls that follow are about."""
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self.call(DEVICES, "cuDeviceGet", ctypes.byref(device), number)
        self.call(CONTEXT, "cuCtxCreate_v2", ctypes.byref(context), 0, device)
        return context


def main(output: Path) -> int:
    """The self-test: exit status 0, or FAILED."""
    return each_gpu(output, add_one)


def scrub(output: Path) -> int:
    """What a run left in the memory of the GPUs is overwritten, as far as it can be had."""
    return each_gpu(output, overwrite)


def each_gpu(output: Path, work) -> int:  # noqa: ANN001 - a function of this module
    """Do one thing on every GPU, and write down how it ended."""
    passed, step, code = 0, 0, 0
    try:
        driver = Driver()
        for number in driver.devices():
            context = driver.open(number)
            work(driver)
            driver.call(CONTEXT, "cuCtxDestroy_v2", context)
            passed += 1
    except StepError as error:
        step, code = error.step, error.code
    with output.open("r+b", buffering=0) as out:
        out.write(RECORD.pack(step, code, passed))
    return FAILED if step else 0


def add_one(driver: Driver) -> None:
    """1,024 numbers there, a kernel over them, and back."""
    module, kernel, memory = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_uint64()
    numbers = (ctypes.c_uint32 * NUMBERS)(*range(NUMBERS))
    size = ctypes.c_size_t(ctypes.sizeof(numbers))
    driver.call(MODULE, "cuModuleLoadData", ctypes.byref(module), PTX)
    driver.call(KERNEL, "cuModuleGetFunction", ctypes.byref(kernel), module, b"add_one")
    driver.call(MEMORY, "cuMemAlloc_v2", ctypes.byref(memory), size)
    driver.call(WRITE, "cuMemcpyHtoD_v2", memory, numbers, size)
    parameters = (ctypes.c_void_p * 1)(ctypes.addressof(memory))
    grid, block = (NUMBERS // 256, 1, 1), (256, 1, 1)
    driver.call(LAUNCH, "cuLaunchKernel", kernel, *grid, *block, 0, None, parameters, None)
    driver.call(LAUNCH, "cuCtxSynchronize")
    driver.call(READ, "cuMemcpyDtoH_v2", numbers, memory, size)
    if list(numbers) != list(range(1, NUMBERS + 1)):
        raise StepError(COMPARE)
    driver.call(MEMORY, "cuMemFree_v2", memory)


def overwrite(driver: Driver) -> None:
    """All memory that the driver gives out, in pieces as large as it has, filled with zeros."""
    held = []
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    driver.call(MEMORY, "cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    size = free.value
    while size >= SMALLEST:
        memory = ctypes.c_uint64()
        code = driver.ask(MEMORY, "cuMemAlloc_v2", ctypes.byref(memory), ctypes.c_size_t(size))
        if code == OUT_OF_MEMORY:
            size //= 2
            continue
        if code:
            raise StepError(MEMORY, code)
        held.append(memory)
        driver.call(WRITE, "cuMemsetD8_v2", memory, ctypes.c_ubyte(0), ctypes.c_size_t(size))
    driver.call(WRITE, "cuCtxSynchronize")
    if not held:
        raise StepError(MEMORY)
    for memory in held:
        driver.call(MEMORY, "cuMemFree_v2", memory)
