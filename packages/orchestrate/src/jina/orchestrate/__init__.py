"""Deployment and Flow: local processes of the jina serving framework."""
