"""Synchronous and asynchronous client of the jina serving framework."""
