-- Pages of the audit, newest first, and what is older than its days.
CREATE INDEX audit_events_at ON audit_events (at, lineage, seq);
