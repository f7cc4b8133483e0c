//! Deterministic simulation of a whole cluster: filled with step 4.
