"""The HTTP half of the gateway: history, latest values, state, metrics and the page."""
