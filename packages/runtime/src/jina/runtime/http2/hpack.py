"""Header compression of HTTP/2, HPACK (RFC 7541): a decoder, and literals for what the server sends.

What is sent never refers to a table of the other side. So responses of all connections have the same bytes, made once.
"""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ['TABLE_BYTES', 'HeaderDecoder', 'HpackError', 'literal']

TABLE_BYTES: Final = 4096
"""Size of a dynamic table unless settings say another."""
_ENTRY_BYTES: Final = 32
"""What an entry counts beside its name and its value (section 4.1)."""
_MOST_SHIFT: Final = 28
"""An integer with more digits than that says nothing that could be meant."""
_INDEXED: Final = 0x80
_INSERTED: Final = 0x40
_RESIZED: Final = 0x20
_HUFFMAN: Final = 0x80

_STATIC_TEXT: Final = """
:authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|:status 200|:status 204|:status 206
:status 304|:status 400|:status 404|:status 500|accept-charset|accept-encoding gzip, deflate|accept-language|accept-ranges
accept|access-control-allow-origin|age|allow|authorization|cache-control|content-disposition|content-encoding|content-language
content-length|content-location|content-range|content-type|cookie|date|etag|expect|expires|from|host|if-match|if-modified-since
if-none-match|if-range|if-unmodified-since|last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization
range|referer|refresh|retry-after|server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via
www-authenticate
"""
_STATIC: Final[tuple[tuple[bytes, bytes], ...]] = tuple(
    (name.encode(), value.encode())
    for name, _, value in (
        entry.partition(' ') for line in _STATIC_TEXT.split('\n') if line for entry in line.split('|')
    )
)
"""The table of appendix A; index 1 is its first entry."""

_CODE_LENGTHS: Final = bytes.fromhex(
    '0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c060a0a0c0d06080b0a0a080b08060606'
    '0505050606060606060607080f060c0a0d06070707070707070707070707070707070707070707070807080d130d0e06'
    '0f05060506050606060507070606060506070605050607070707070f0b0e0d1c14161414161616171617171717171817'
    '181816171817171717151617161717181615141616171715171616181516171715151615171617171416161617161617'
    '1a1a1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c1b1b1b14181415161515171616191918181a17'
    '1a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a1e'
)
"""Bits of the Huffman code of each byte, and of the end of a string (appendix B). The code is canonical, so lengths say all."""
_END_OF_STRING: Final = 256
_SHORTEST_CODE: Final = 5
_MOST_PADDING: Final = 7


class HpackError(ValueError):
    """A header block that can't be read; the connection can't go on, since its tables may differ now."""


class HeaderDecoder:
    """Reads the header blocks of one connection.

    Args:
        header_bytes: Most bytes of the names and values of a block, each entry counted with 32 more.

    Attributes:
        changed: Whether the last block has changed the table, so that blocks with the same bytes mean something else now.
    """

    def __init__(self, *, header_bytes: int = 1 << 16) -> None:
        self.changed = False
        self._most = TABLE_BYTES
        self._header_bytes = header_bytes
        self._size = 0
        self._entries: deque[tuple[bytes, bytes]] = deque()

    def decode(self, block: bytes) -> list[tuple[bytes, bytes]]:
        """Returns the names and values of a block, in their order.

        Args:
            block: The fragments of all its frames together.

        Raises:
            HpackError: It makes no sense, or holds more than is allowed.
        """
        self.changed = False
        headers: list[tuple[bytes, bytes]] = []
        position, total = 0, 0
        try:
            while position < len(block):
                first = block[position]
                if first & _INDEXED:
                    index, position = _integer(block, position, 0x7F)
                    header = self._entry(index)
                elif first & _INSERTED:
                    header, position = self._literal(block, position, 0x3F)
                    self._insert(header)
                elif first & _RESIZED:
                    size, position = _integer(block, position, 0x1F)
                    self._resize(size, allowed=not headers)
                    continue
                else:
                    header, position = self._literal(block, position, 0x0F)
                total += len(header[0]) + len(header[1]) + _ENTRY_BYTES
                if total > self._header_bytes:
                    raise HpackError(f'a block of headers has more than {self._header_bytes} bytes')
                headers.append(header)
        except IndexError:
            raise HpackError('a block of headers ends in the middle of an entry') from None
        return headers

    def _literal(self, block: bytes, position: int, mask: int) -> tuple[tuple[bytes, bytes], int]:
        index, position = _integer(block, position, mask)
        if index:
            name = self._entry(index)[0]
        else:
            name, position = _string(block, position)
        value, position = _string(block, position)
        return (name, value), position

    def _entry(self, index: int) -> tuple[bytes, bytes]:
        if 1 <= index <= len(_STATIC):
            return _STATIC[index - 1]
        place = index - len(_STATIC) - 1
        if 0 <= place < len(self._entries):
            return self._entries[place]
        raise HpackError(f'the table of headers has no entry {index}')

    def _insert(self, header: tuple[bytes, bytes]) -> None:
        self.changed = True
        size = len(header[0]) + len(header[1]) + _ENTRY_BYTES
        self._evict(self._most - size)
        if size <= self._most:
            self._entries.appendleft(header)
            self._size += size

    def _resize(self, size: int, *, allowed: bool) -> None:
        if not allowed or size > TABLE_BYTES:
            raise HpackError(f'the table of headers cannot take the size {size} here')
        self.changed = True
        self._most = size
        self._evict(size)

    def _evict(self, most: int) -> None:
        """Forgets the oldest entries until the others have no more bytes than that."""
        while self._entries and self._size > most:
            name, value = self._entries.pop()
            self._size -= len(name) + len(value) + _ENTRY_BYTES


def literal(name: bytes, value: bytes) -> bytes:
    """Returns an entry of a block that leaves no trace in any table (section 6.2.2)."""
    return b''.join((b'\0', _length(name), name, _length(value), value))


def _length(text: bytes) -> bytes:
    size = len(text)
    if size < 0x7F:
        return bytes((size,))
    digits = bytearray((0x7F,))
    size -= 0x7F
    while size > 0x7F:
        digits.append(size & 0x7F | 0x80)
        size >>= 7
    digits.append(size)
    return bytes(digits)


def _integer(block: bytes, position: int, mask: int) -> tuple[int, int]:
    """Reads an integer (section 5.1); returns it and where it ends."""
    value = block[position] & mask
    position += 1
    if value < mask:
        return value, position
    shift = 0
    while True:
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > _MOST_SHIFT:
            raise HpackError('an integer in a block of headers is too long')


def _string(block: bytes, position: int) -> tuple[bytes, int]:
    """Reads a string (section 5.2); returns it and where it ends."""
    packed = block[position] & _HUFFMAN
    size, position = _integer(block, position, 0x7F)
    end = position + size
    if end > len(block):
        raise IndexError
    raw = block[position:end]
    return (_unpack(raw) if packed else raw), end


def _make_codes() -> dict[tuple[int, int], int]:
    """Returns the bytes of all Huffman codes, by length and bits."""
    codes: dict[tuple[int, int], int] = {}
    code, last = 0, 0
    for symbol in sorted(range(len(_CODE_LENGTHS)), key=lambda symbol: (_CODE_LENGTHS[symbol], symbol)):
        length = _CODE_LENGTHS[symbol]
        code <<= length - last
        codes[length, code] = symbol
        code, last = code + 1, length
    return codes


_CODES: Final = _make_codes()
_LONGEST_CODE: Final = max(_CODE_LENGTHS)


def _unpack(raw: bytes) -> bytes:
    """Decodes a string of Huffman codes.

    Raises:
        HpackError: What is left behind the last code is no padding, or there is an end within.
    """
    found = bytearray()
    bits, count = 0, 0
    for byte in raw:
        bits, count = bits << 8 | byte, count + 8
        length = _SHORTEST_CODE
        while length <= count:
            symbol = _CODES.get((length, bits >> (count - length)))
            if symbol is None:
                length += 1
                continue
            if symbol == _END_OF_STRING:
                raise HpackError('a string of headers has an end in the middle')
            found.append(symbol)
            count -= length
            bits &= (1 << count) - 1
            length = _SHORTEST_CODE
        if count >= _LONGEST_CODE:
            raise HpackError('a string of headers has a code that nothing stands for')
    if count > _MOST_PADDING or bits != (1 << count) - 1:
        raise HpackError('a string of headers ends in the middle of a code')
    return bytes(found)
