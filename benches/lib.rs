//! Benches and load programs: each answers one written question.
