-- Who changed what. The chain: `previous` is the hash of the record before, `hash` is over all that stands before it.
CREATE TABLE audit_events (
    hash bytea PRIMARY KEY,
    lineage uuid NOT NULL,
    seq bigint NOT NULL,
    log_index bigint NOT NULL,
    at timestamptz NOT NULL,
    deadline_ms bigint NOT NULL,
    actor text NOT NULL,
    from_address text NOT NULL,
    request_id text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    before jsonb NOT NULL,
    after jsonb NOT NULL,
    previous bytea NOT NULL
);
