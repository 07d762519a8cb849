"""A live web page about one server: its graph, its figures, and a playground. Only ``jina dashboard`` loads it."""
