"""Requests that nobody sends by mistake: what a server makes of them, and what is left of it afterwards."""
