-- The number of an append; see `settled.rs`. Counted on once, so that its last value is always one that was given.
CREATE SEQUENCE commits AS bigint;
SELECT nextval('commits');

CREATE TABLE events (
    -- Number of the append * 16384 + place in it, from 0.
    position bigint PRIMARY KEY,
    stream_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    event_id uuid NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    event_data bytea NOT NULL,
    metadata bytea NOT NULL,
    -- Microseconds since 1970-01-01T00:00:00Z.
    created_at bigint NOT NULL,
    -- Of those who append behind the same version, one can.
    CONSTRAINT events_stream_version UNIQUE (stream_id, version)
);
CREATE INDEX events_event_id ON events (event_id);
CREATE INDEX events_category ON events (split_part(stream_id, '-', 1), position);
CREATE INDEX events_event_type ON events (event_type, position);
CREATE INDEX events_created_at ON events USING brin (created_at);

CREATE TABLE snapshots (
    stream_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    codec bigint NOT NULL,
    state_version bigint NOT NULL,
    snapshot_data bytea NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (stream_id, version)
);

CREATE TABLE cursors (
    name text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL
);

-- Appends to one or more streams. `expected` is a version, or -1 for any, or -2 for one that is not 0; `counts` says how many of the
-- events, which follow each other, belong to each stream, `owners` to which stream each belongs; times may be null. Gives the position of the first event and the versions that the
-- streams were at; a position of null says that nothing was stored, because a condition is not met or an id may be there already.
CREATE FUNCTION factlog_append(
    streams text[], expected bigint[], counts int[], recent bigint,
    owners int[], ids uuid[], types text[], payloads bytea[], metadatas bytea[], times bigint[],
    OUT first_position bigint, OUT versions bigint[]
) LANGUAGE plpgsql AS $$
DECLARE
    store oid := 'events'::regclass;
    moment bigint := extract(epoch FROM clock_timestamp()) * 1000000;
    lock_key bigint;
    newest bigint;
    ended int := 0;
    ends int[];
BEGIN
    -- Those who append to the same streams wait here, in one order, and not at the key, where all but one would fail. The key is
    -- what decides: with very many streams it has to be enough, for the room for locks is limited.
    IF cardinality(streams) = 1 THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(streams[1], store::bigint));
    ELSIF cardinality(streams) <= 64 THEN
        FOR lock_key IN
            SELECT DISTINCT hashtextextended(name, store::bigint) AS hashed FROM unnest(streams) AS name ORDER BY hashed
        LOOP
            PERFORM pg_advisory_xact_lock(lock_key);
        END LOOP;
    END IF;
    FOR i IN 1 .. cardinality(streams) LOOP
        SELECT coalesce(max(version), 0) INTO newest FROM events WHERE stream_id = streams[i];
        versions[i] := newest;
        IF expected[i] >= 0 AND expected[i] <> newest OR expected[i] = -2 AND newest = 0 THEN
            RETURN;
        END IF;
        IF expected[i] < 0 AND newest > 0 AND EXISTS (
            SELECT FROM events
            WHERE event_id = ANY (ids[ended + 1 : ended + counts[i]])
                AND stream_id = streams[i] AND version > newest - recent
        ) THEN
            RETURN;
        END IF;
        ended := ended + counts[i];
        ends[i] := ended;
    END LOOP;
    -- First said which numbers are not wanted any more, and then taken one: see `settled.rs`.
    PERFORM pg_advisory_xact_lock_shared(store::int, (last_value & 2147483647)::int) FROM commits;
    first_position := nextval('commits') << 14;
    IF cardinality(streams) = 1 THEN
        INSERT INTO events (position, stream_id, version, event_id, event_type, event_data, metadata, created_at)
        SELECT first_position + place - 1, streams[1], newest + place, id, type, payload, meta, coalesce(time, moment)
        FROM unnest(ids, types, payloads, metadatas, times) WITH ORDINALITY AS e (id, type, payload, meta, time, place);
    ELSE
        -- In the order of the key, so that no two wait for each other.
        INSERT INTO events (position, stream_id, version, event_id, event_type, event_data, metadata, created_at)
        SELECT first_position + place - 1, name, versions[owner] + place - ends[owner] + counts[owner],
            id, type, payload, meta, coalesce(time, moment)
        FROM unnest(streams) WITH ORDINALITY AS s (name, number)
        JOIN unnest(owners, ids, types, payloads, metadatas, times) WITH ORDINALITY
            AS e (owner, id, type, payload, meta, time, place) ON owner = number
        ORDER BY name COLLATE "C", place;
    END IF;
END
$$;
