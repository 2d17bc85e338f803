"""The obvious server on each in-process library; they differ in nothing but the library."""
