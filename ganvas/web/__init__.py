"""The studio: the workbench in a browser, and the REST calls behind it. A door: nothing imports it."""
