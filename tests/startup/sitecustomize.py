"""Makes every Python process tell on SIGUSR1 which modules it has; it is put on ``PYTHONPATH`` by the tests beside it.

Forked processes inherit the handler, fresh ones import it again.
"""

import os
import signal
import socket
import sys


def tell(*_: object) -> None:
    """Sends the process id, its name and its modules to the socket of the test."""
    with open('/proc/self/comm') as file:
        name = file.read().strip()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        channel.connect(os.environ['LOADED_MODULES_SOCKET'])
        channel.send('\n'.join((str(os.getpid()), name, *sys.modules)).encode())


if 'LOADED_MODULES_SOCKET' in os.environ:
    signal.signal(signal.SIGUSR1, tell)
