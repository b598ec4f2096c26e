"""Values to and from another process of ours over a socket; long bytes go through memory that both share.

A model is some ten or a hundred million bytes. Through a pipe it would be copied several times in small
pieces; here it is written once into memory of the kernel's, whose descriptor travels with the message, and
copied out once. Such memory has no name and is gone with the last process that holds it, however that ends.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import socket
import struct
import tempfile
from collections import OrderedDict
from typing import Any

_LONG = 1 << 20  # bytes; what is shorter goes with the rest
_HEAD = struct.Struct(">QI")  # length of the pickle, number of descriptors
_MOST = 64  # descriptors of one message
_PIECE = 1 << 30  # bytes that one system call writes


class Channel:
    """One end of a connection between two processes of fedcxr, neither of which mistrusts the other."""

    def __init__(self, connection: socket.socket, *, placed: int = 0, kept: int = 0) -> None:
        """Use a connected stream socket of the Unix domain, which is closed with the channel.

        Args:
            connection: to the other end.
            placed: long bytes that stay in shared memory after they were sent, because they are sent again.
            kept: long bytes that were received and stay here, because they come again.
        """
        self._connection = connection
        self._placed = _Placed(placed)
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._most_kept = kept

    def fileno(self) -> int:
        return self._connection.fileno()

    def close(self) -> None:
        self._placed.clear()
        self._kept.clear()
        self._connection.close()

    def send(self, value: Any) -> None:
        """Send a value.

        Raises:
            OSError: the other end is gone, or there is no memory to share.
        """
        stream, descriptors = io.BytesIO(), list[int]()
        placed = self._placed

        class Pickler(pickle.Pickler):
            def persistent_id(self, what: Any) -> Any:
                if type(what) is not bytes or len(what) < _LONG:
                    return None
                serial, descriptor = placed.descriptor(what)
                descriptors.append(descriptor)
                return serial, len(descriptors) - 1

        Pickler(stream, pickle.HIGHEST_PROTOCOL).dump(value)
        head = _HEAD.pack(stream.tell(), len(descriptors))
        try:
            socket.send_fds(self._connection, [head], descriptors)
            self._connection.sendall(stream.getbuffer())
        finally:
            placed.sent()

    def receive(self) -> Any:
        """The next value.

        Raises:
            EOFError: the other end is gone.
        """
        head, descriptors = self._receive_head()
        try:
            length, count = _HEAD.unpack(head)
            if count != len(descriptors):
                raise EOFError
            body = self._receive_all(length)
            kept, most = self._kept, self._most_kept

            class Unpickler(pickle.Unpickler):
                def persistent_load(self, what: Any) -> bytes:
                    serial, index = what
                    if (data := kept.get(serial)) is None:
                        data = _read(descriptors[index])
                        if most:
                            kept[serial] = data
                            while len(kept) > most:
                                kept.popitem(last=False)
                    return data

            return Unpickler(io.BytesIO(body)).load()
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _receive_head(self) -> tuple[bytes, list[int]]:
        try:
            head, descriptors, _, _ = socket.recv_fds(self._connection, _HEAD.size, _MOST)
            if head:
                head += bytes(self._receive_all(_HEAD.size - len(head)))
        except ConnectionError:
            raise EOFError from None
        if not head:
            raise EOFError
        return head, descriptors

    def _receive_all(self, length: int) -> bytearray:
        data = bytearray(length)
        view, place = memoryview(data), 0
        while place < length:
            try:
                came = self._connection.recv_into(view[place:])
            except ConnectionError:
                came = 0
            if not came:
                raise EOFError
            place += came
        return data


class _Placed:
    """Long bytes in shared memory, each under a number of its own."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._next = 0
        self._there: OrderedDict[int, tuple[bytes, int, int]] = (
            OrderedDict()
        )  # by id: bytes, number, descriptor

    def descriptor(self, data: bytes) -> tuple[int, int]:
        """Number and descriptor of these very bytes; they are held, so that no others get their id."""
        if id(data) not in self._there:
            self._there[id(data)] = data, self._next, _share(data)
            self._next += 1
        self._there.move_to_end(id(data))
        _, number, descriptor = self._there[id(data)]
        return number, descriptor

    def sent(self) -> None:
        """Let go of all but those that were placed last."""
        while len(self._there) > self._most:
            _, (_, _, descriptor) = self._there.popitem(last=False)
            os.close(descriptor)

    def clear(self) -> None:
        self._most = 0
        self.sent()


def _share(data: bytes) -> int:
    """A descriptor of memory with these bytes, which has no name."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("fedcxr")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    view, place = memoryview(data), 0
    try:
        while place < len(data):
            place += os.pwrite(descriptor, view[place : place + _PIECE], place)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _read(descriptor: int) -> bytes:
    with mmap.mmap(descriptor, 0, prot=mmap.PROT_READ) as shared:
        return shared[:]
