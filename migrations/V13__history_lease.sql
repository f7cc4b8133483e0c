-- The highest fence under which a duty of a lineage has written. A smaller one changes nothing. Fences of one lineage
-- say nothing of another's: a cluster that begins anew begins at one.
CREATE TABLE history_lease (
    lineage uuid NOT NULL,
    name text NOT NULL,
    fence bigint NOT NULL,
    PRIMARY KEY (lineage, name)
);
