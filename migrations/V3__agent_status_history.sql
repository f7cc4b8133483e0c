-- What happened to agents, a partition for each day (UTC). There is no unique key on purpose: rows come in exactly
-- once because the cursor of their stream moves in the transaction that writes them.
CREATE TABLE agent_status_history (
    at timestamptz NOT NULL,
    stream uuid NOT NULL,
    seq bigint NOT NULL,
    node_id bigint NOT NULL,
    instance_uid uuid NOT NULL,
    kind text NOT NULL,
    body jsonb NOT NULL,
    -- The ownership under which it was said: orders the events of one agent across nodes.
    fence bigint NOT NULL,
    -- The row of history_documents that belongs to it.
    document bytea
) PARTITION BY RANGE (at);
