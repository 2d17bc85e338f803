"""Pure market types and rules, and the runtime base that every role shares."""
