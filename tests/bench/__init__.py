"""The benchmark harness: the system beside bare stacks, the original and other frameworks, driven with the same bytes.

``python -m tests.bench`` (or ``hatch run bench:run``) runs everything, ``--quick`` a smoke run. The parts:

- ``payload``: the bytes that are sent, prepared once
- ``sides``: what serves them, each a program in ``servers/`` run by an interpreter of its own
- ``load``: what drives them, each a program that prints one JSON object
- ``scenarios``: which sides meet which load, one entry per row of the report
- ``usage``: CPU time and memory of a server's whole process tree
- ``codec``, ``large`` and ``stages``: documents to bytes and back, large arrays, the stages of a request; ``programs`` runs them
- ``endurance``: many callers, long chains, many requests, many idle clients; a program of its own
- ``runner`` and ``report``: interleaved rounds, medians, ratios
- ``targets``: what has to be reached, checked at the end of a run
- ``results``, ``plots`` and ``publish``: from a run's figures to ``docs/benchmarks.md``
"""
