-- The clusters that have written here, in the order in which they came. What a later one says of an agent is newer, whatever
-- fences and clocks say: a cluster that begins anew counts its fences from one.
CREATE TABLE history_lineage (
    lineage uuid PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY,
    since timestamptz NOT NULL DEFAULT now()
);
