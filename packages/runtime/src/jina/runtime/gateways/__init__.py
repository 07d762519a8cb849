"""Gateways that users write: their base classes, the built-in ones, and what loads, starts and watches them."""
