//! File cache: priority, then least recently used; digests; references.
