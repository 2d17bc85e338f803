"""Load tests: locust users and the open-loop generator. A client of the gateway."""
