-- The highest fence under which a duty has written. A smaller one changes nothing.
CREATE TABLE history_lease (
    name text PRIMARY KEY,
    fence bigint NOT NULL
);
