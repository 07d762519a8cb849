"""Load generators: programs that drive one server for a while and print one JSON object.

The object holds ``operations`` (completed), ``seconds``, ``p50_ms`` and ``p99_ms`` of one operation, and ``errors``.
"""
