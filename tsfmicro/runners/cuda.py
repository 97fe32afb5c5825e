"""The few calls of the CUDA driver that running an engine takes, without any CUDA package.

The driver's library is all there is on every machine with a card. Pages of pinned memory are never swapped, so copies
from and to them run beside the host's own work.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsfmicro.errors import BackendError
from tsfmicro.values import UInt8Array

LIBRARY = "libcuda.so.1"
_NON_BLOCKING = 1
_THREAD_LOCAL_CAPTURE = 1
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76


@dataclass(frozen=True, slots=True)
class Card:
    """A graphics card as the driver describes it."""

    name: str
    capability: str
    """Compute capability, as in ``"8.9"``."""
    cuda: str
    """Newest CUDA version the driver knows, as in ``"13.0"``."""


class Cuda:
    """One card, its primary context (the one that other libraries of this process use as well), and its calls."""

    def __init__(self, device: int = 0, library: str = LIBRARY) -> None:
        """Open the driver.

        Raises:
            BackendError: if there is no driver or no such card.
        """
        try:
            self._library: Any = ctypes.CDLL(library)
        except OSError as error:
            raise BackendError(f"no NVIDIA driver here ({error}); engines need a card") from error
        self.call("cuInit", c_uint(0))
        count = c_int()
        self.call("cuDeviceGetCount", byref(count))
        if not 0 <= device < count.value:
            raise BackendError(f"the driver shows {count.value} cards, so there is no number {device}")
        self._device = c_int(device)
        self._context = c_void_p()
        self.call("cuDevicePrimaryCtxRetain", byref(self._context), self._device)
        self.enter()

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function of the driver.

        Raises:
            BackendError: with the driver's own words, if it does not return 0.
        """
        code = getattr(self._library, name)(*arguments)
        if code:
            text = c_char_p()
            self._library.cuGetErrorString(c_int(code), byref(text))
            raise BackendError(f"{name} failed with code {code}: {(text.value or b'unknown').decode()}")

    def enter(self) -> None:
        """Use the card in the calling thread; once in every thread."""
        self.call("cuCtxSetCurrent", self._context)

    def card(self) -> Card:
        """What the card is."""
        name, major, minor, version = ctypes.create_string_buffer(128), c_int(), c_int(), c_int()
        self.call("cuDeviceGetName", name, c_int(128), self._device)
        self.call("cuDeviceGetAttribute", byref(major), c_int(_CAPABILITY_MAJOR), self._device)
        self.call("cuDeviceGetAttribute", byref(minor), c_int(_CAPABILITY_MINOR), self._device)
        self.call("cuDriverGetVersion", byref(version))
        cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
        return Card(name.value.decode(errors="replace"), f"{major.value}.{minor.value}", cuda)

    def allocate(self, size: int) -> int:
        """Device memory: its address."""
        address = c_ulonglong()
        self.call("cuMemAlloc_v2", byref(address), c_size_t(size))
        return address.value

    def free(self, address: int) -> None:
        """Give device memory back."""
        self.call("cuMemFree_v2", c_ulonglong(address))

    def pinned(self, size: int) -> UInt8Array:
        """Host memory that is never swapped, as bytes; give it back with :meth:`free_pinned`."""
        address = c_void_p()
        self.call("cuMemAllocHost_v2", byref(address), c_size_t(size))
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address.value or 0))

    def free_pinned(self, memory: UInt8Array) -> None:
        """Give pinned memory back; no view of it may be used afterwards."""
        self.call("cuMemFreeHost", c_void_p(memory.ctypes.data))

    def stream(self) -> int:
        """A stream that does not wait for the default one."""
        stream = c_void_p()
        self.call("cuStreamCreate", byref(stream), c_uint(_NON_BLOCKING))
        return stream.value or 0

    def free_stream(self, stream: int) -> None:
        """Destroy a stream."""
        self.call("cuStreamDestroy_v2", c_void_p(stream))

    def wait(self, stream: int) -> None:
        """Until all that was put into the stream is done."""
        self.call("cuStreamSynchronize", c_void_p(stream))

    def upload(self, to_device: int, memory: UInt8Array, stream: int) -> None:
        """Copy all of ``memory`` to the card, in its turn."""
        size = c_size_t(memory.nbytes)
        self.call("cuMemcpyHtoDAsync_v2", c_ulonglong(to_device), c_void_p(memory.ctypes.data), size, c_void_p(stream))

    def download(self, memory: UInt8Array, from_device: int, stream: int) -> None:
        """Fill all of ``memory`` from the card, in its turn."""
        size = c_size_t(memory.nbytes)
        self.call(
            "cuMemcpyDtoHAsync_v2", c_void_p(memory.ctypes.data), c_ulonglong(from_device), size, c_void_p(stream)
        )

    def begin_capture(self, stream: int) -> None:
        """Record what is put into the stream instead of running it."""
        self.call("cuStreamBeginCapture_v2", c_void_p(stream), c_int(_THREAD_LOCAL_CAPTURE))

    def end_capture(self, stream: int) -> int:
        """Stop recording: a graph that can be launched."""
        graph, runnable = c_void_p(), c_void_p()
        self.call("cuStreamEndCapture", c_void_p(stream), byref(graph))
        try:
            self.call("cuGraphInstantiateWithFlags", byref(runnable), graph, c_ulonglong(0))
        finally:
            self.call("cuGraphDestroy", graph)
        return runnable.value or 0

    def launch(self, graph: int, stream: int) -> None:
        """Run a recorded graph."""
        self.call("cuGraphLaunch", c_void_p(graph), c_void_p(stream))

    def free_graph(self, graph: int) -> None:
        """Destroy a graph."""
        self.call("cuGraphExecDestroy", c_void_p(graph))

    def close(self) -> None:
        """Let go of the card. Closing twice is harmless."""
        if self._context:
            self.call("cuDevicePrimaryCtxRelease_v2", self._device)
            self._context = c_void_p()


def card_here() -> Card | None:
    """The first card, or None on a machine without one."""
    try:
        cuda = Cuda()
    except BackendError:
        return None
    try:
        return cuda.card()
    finally:
        cuda.close()
