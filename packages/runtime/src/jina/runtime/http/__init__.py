"""The HTTP server of workers and gateways. Needs the extra ``jina-runtime[http]``."""
