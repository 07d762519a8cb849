"""Executor API, wire types, configuration and the jina command: the base of the jina serving framework."""
