-- One row for each finished delivery. A dispatch reaches an agent once; the time tells lineages apart.
CREATE TABLE dispatch_envelopes (
    dispatch_id bigint NOT NULL,
    instance_uid uuid NOT NULL,
    queued_at timestamptz NOT NULL,
    lineage uuid NOT NULL,
    action text NOT NULL,
    created_by text NOT NULL,
    state text NOT NULL,
    error text,
    sent_at timestamptz,
    finished_at timestamptz NOT NULL,
    -- Who sent it, and under which ownership; null when it was never sent.
    node_id bigint,
    fence bigint,
    config_hash bytea,
    PRIMARY KEY (dispatch_id, instance_uid, queued_at)
);
