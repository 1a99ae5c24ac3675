//! The automaton: node sets walked through retried, timed steps.
