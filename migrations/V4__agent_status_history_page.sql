-- Pages of one agent, newest first: read backwards, so that a row comparison finds where the page before ended.
CREATE INDEX agent_status_history_page ON agent_status_history (instance_uid, at, stream, seq);
