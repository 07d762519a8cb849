"""Consensus by the Raft protocol: a log that all replicas of an Executor apply in the same order."""
