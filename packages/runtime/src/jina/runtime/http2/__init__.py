"""A server for gRPC in Python: HTTP/2 (RFC 9113), header compression (RFC 7541), and the calls of gRPC on top.

Only the server's side, without encryption; see ADR 15 for why. Clients of every language talk to it as to any server of gRPC.
"""
