"""The HTTP server of workers and gateways. Needs the extra ``jina-runtime[http]``."""

from jina.runtime.http.server import HttpServer

__all__ = ['HttpServer']
