"""Who calls the gateway, what they may, and how much of it."""
