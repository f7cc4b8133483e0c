-- How far each stream of history has got. Whoever writes a batch holds the row of its stream until the batch is
-- committed, so that what is above `seq` comes once.
CREATE TABLE history_cursor (
    stream text PRIMARY KEY,
    seq bigint NOT NULL,
    -- Of a stream of events: the number of the cluster that wrote it, see history_lineage.
    lineage bigint,
    updated_at timestamptz NOT NULL DEFAULT now()
);
