-- Where auditors fold the log anew (`points audit replay`): the one schema in which their role may
-- write. It stays, so that nobody needs CREATE on the database for an audit; its tables come and go.
CREATE SCHEMA audit_scratch AUTHORIZATION points_auditor;
COMMENT ON SCHEMA audit_scratch IS
'Scratch space of `points audit replay`: what it folds is dropped when it has been compared.';

-- Default privileges (0010) are those of the login that migrated then: another may have since.
GRANT SELECT ON ALL TABLES IN SCHEMA read TO points_auditor;
