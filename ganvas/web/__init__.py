"""The studio: the browser interface and its REST API. Nothing imports this package."""
