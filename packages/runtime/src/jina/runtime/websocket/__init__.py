"""The WebSocket server of workers and gateways. Needs the extra ``jina-runtime[websocket]``."""
