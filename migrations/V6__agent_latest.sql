-- The newest of each kind of every agent. `state` is keyed by kind: {"at", "node", "body", "order"}, where `order` is
-- [number of the lineage, fence, milliseconds, seq, stream]: what compares greater is newer.
CREATE TABLE agent_latest (
    instance_uid uuid PRIMARY KEY,
    -- Of the newest event of all kinds: its time, its node, its kind.
    at timestamptz NOT NULL,
    node_id bigint NOT NULL,
    kind text NOT NULL,
    state jsonb NOT NULL,
    -- The document of the effective configuration, which stays while it is named here.
    document bytea,
    name text GENERATED ALWAYS AS (state #>> '{description,body,name}') STORED
) WITH (fillfactor = 60);
