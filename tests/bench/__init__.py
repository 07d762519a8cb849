"""The benchmark harness: the system beside bare stacks and the original, driven with the same prepared bytes.

``python -m tests.bench`` (or ``hatch run bench:run``) runs everything, ``--quick`` a smoke run. The parts:

- ``payload``: the bytes that are sent, prepared once
- ``sides``: what serves them, each a program in ``servers/`` run by an interpreter of its own
- ``load``: what drives them, each a program that prints one JSON object
- ``scenarios``: which sides meet which load, one entry per row of the report
- ``usage``: CPU time and memory of a server's whole process tree
- ``codec``: documents to bytes and back without servers, a program of its own
- ``endurance``: many callers, long chains, many requests, many idle clients; a program of its own
- ``runner`` and ``report``: interleaved rounds, medians, ratios
"""
