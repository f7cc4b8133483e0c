//! Benches and load programs: each answers one written question. What they found is in `docs/capacity.md`.
