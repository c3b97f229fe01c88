-- Microsoft Entra principals as database roles, as Azure offers them in the database postgres. A role is mapped by a
-- security label of the provider pgaadauth, which follows the role through renames, goes with it when it is dropped and
-- comes back with a restore.
CREATE SCHEMA azure_sandbox_entra AUTHORIZATION azuresu;
GRANT USAGE ON SCHEMA azure_sandbox_entra TO azure_pg_admin;

CREATE FUNCTION azure_sandbox_entra.label(role_name text, label text) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    DELETE FROM pg_shseclabel WHERE classoid = 'pg_authid'::regclass AND provider = 'pgaadauth'
        AND objoid = (SELECT oid FROM pg_roles WHERE rolname = role_name);
    INSERT INTO pg_shseclabel (objoid, classoid, provider, label)
        SELECT oid, 'pg_authid'::regclass, 'pgaadauth', label FROM pg_roles WHERE rolname = role_name;
$$;
REVOKE ALL ON FUNCTION azure_sandbox_entra.label FROM PUBLIC;

CREATE FUNCTION pg_catalog.pgaadauth_create_principal_with_oid(
        rolename text, objectid text, objecttype text, isadmin boolean, ismfa boolean) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    IF objecttype NOT IN ('user', 'group', 'service') THEN
        RAISE EXCEPTION 'Invalid principal type "%": use user, group or service', objecttype
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF objectid !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
        RAISE EXCEPTION 'Invalid object id "%"', objectid USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = rolename) THEN
        RAISE EXCEPTION 'role "%" already exists', rolename USING ERRCODE = 'duplicate_object';
    END IF;
    EXECUTE format('CREATE ROLE %I LOGIN', rolename);
    EXECUTE format('GRANT azure_ad_user TO %I', rolename);
    IF isadmin THEN
        EXECUTE format('ALTER ROLE %I CREATEDB CREATEROLE', rolename);
        EXECUTE format('GRANT azure_pg_admin TO %I WITH ADMIN OPTION', rolename);
    END IF;
    -- The caller made the role, so it may grant it and drop it, as after CREATE ROLE.
    IF session_user <> 'azuresu' THEN
        EXECUTE format('GRANT %I TO %I WITH ADMIN OPTION, INHERIT FALSE, SET FALSE', rolename, session_user);
    END IF;
    PERFORM azure_sandbox_entra.label(rolename, 'aadauth,oid=' || lower(objectid) || ',type=' || objecttype
        || CASE WHEN isadmin THEN ',admin' ELSE '' END || CASE WHEN ismfa THEN ',mfa' ELSE '' END);
    RETURN 'Created role for ' || rolename;
END $$;
REVOKE ALL ON FUNCTION pg_catalog.pgaadauth_create_principal_with_oid FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_catalog.pgaadauth_create_principal_with_oid TO azure_pg_admin;

-- The directory as the sandbox knows it: display name -> object id and kind, kept by the engine.
CREATE TABLE azure_sandbox_entra.directory (name text PRIMARY KEY, objectid text NOT NULL, objecttype text NOT NULL);

CREATE FUNCTION pg_catalog.pgaadauth_create_principal(rolename text, isadmin boolean, ismfa boolean) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    known azure_sandbox_entra.directory;
BEGIN
    SELECT * INTO known FROM azure_sandbox_entra.directory WHERE name = rolename;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'Principal with name "%" was not found in the directory', rolename
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN pgaadauth_create_principal_with_oid(rolename, known.objectid, known.objecttype, isadmin, ismfa);
END $$;
REVOKE ALL ON FUNCTION pg_catalog.pgaadauth_create_principal FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_catalog.pgaadauth_create_principal TO azure_pg_admin;

CREATE FUNCTION pg_catalog.pgaadauth_list_principals(isadminvalue boolean)
    RETURNS TABLE (rolname text, principaltype text, objectid text, tenantid text, ismfa integer, isadmin integer)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT r.rolname::text,
           substring(l.label FROM 'type=([a-z]+)'),
           substring(l.label FROM 'oid=([0-9a-f-]+)'),
           ''::text,
           (l.label ~ ',mfa')::integer,
           (l.label ~ ',admin')::integer
    FROM pg_shseclabel l JOIN pg_roles r ON r.oid = l.objoid
    WHERE l.classoid = 'pg_authid'::regclass AND l.provider = 'pgaadauth'
      AND (l.label ~ ',admin') = isadminvalue
    ORDER BY r.rolname;
$$;
REVOKE ALL ON FUNCTION pg_catalog.pgaadauth_list_principals FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_catalog.pgaadauth_list_principals TO azure_pg_admin;
