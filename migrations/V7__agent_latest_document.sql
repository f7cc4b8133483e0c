-- Which agents still run what a document says.
CREATE INDEX agent_latest_document ON agent_latest (document) WHERE document IS NOT NULL;
