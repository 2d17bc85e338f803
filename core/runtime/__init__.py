"""What every role needs to run: settings, logging, supervision, readiness, retries."""
