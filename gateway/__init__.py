"""Fan-out to WebSocket clients, the HTTP API and the page."""
