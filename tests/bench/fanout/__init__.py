"""`make bench-fanout`: the gateway beside other WebSocket servers, and beside the kernel alone."""
