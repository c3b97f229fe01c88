-- In template1, so that every database has it: Azure's allow-list of extensions.
ALTER SCHEMA public OWNER TO azure_pg_admin;
CREATE SCHEMA azure_sandbox AUTHORIZATION azuresu;
CREATE FUNCTION azure_sandbox.check_extension() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    created record;
    part record;
    allowed text[] := string_to_array(lower(replace(coalesce(current_setting('azure.extensions', true), ''), ' ', '')), ',');
BEGIN
    FOR created IN SELECT object_identity, objid FROM pg_event_trigger_ddl_commands() WHERE object_type = 'extension' LOOP
        IF NOT (lower(replace(created.object_identity, '"', '')) = ANY (allowed)) AND session_user <> 'azuresu' THEN
            RAISE EXCEPTION 'extension "%" is not allow-listed for users in Azure Database for PostgreSQL',
                replace(created.object_identity, '"', '')
                USING ERRCODE = 'insufficient_privilege',
                      HINT = 'to learn how to allow an extension or see the list of allowed extensions, please refer to '
                             'the server parameter azure.extensions';
        END IF;
        -- Trusted extensions belong to the superuser; Azure lets its administrators run amcheck.
        IF created.object_identity = 'amcheck' THEN
            FOR part IN SELECT objid::regprocedure AS name FROM pg_depend
                WHERE refclassid = 'pg_extension'::regclass AND refobjid = created.objid
                    AND classid = 'pg_proc'::regclass LOOP
                EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO azure_pg_admin', part.name);
            END LOOP;
        END IF;
    END LOOP;
END $$;
CREATE EVENT TRIGGER azure_extension_allow_list ON ddl_command_end WHEN TAG IN ('CREATE EXTENSION')
    EXECUTE FUNCTION azure_sandbox.check_extension();
