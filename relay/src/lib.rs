//! Broadcast of one stream through a pipeline of nodes.
