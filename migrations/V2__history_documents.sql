-- Bodies that many events name, each once. Redacted. `hash` is that of the bytes as the agent sent them.
CREATE TABLE history_documents (
    hash bytea PRIMARY KEY,
    body jsonb NOT NULL,
    -- The time of the newest event that names it, to a day: what is older than history goes.
    last_at timestamptz NOT NULL
);
