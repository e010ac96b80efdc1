-- The views are the contract (docs/sql.md); the tables may change. Columns are
-- those of the SQLite store's views with PostgreSQL's own types, and nlri.
--
--   collector <- router <- peer <- rib <- speaker <- route_change -> attr
--                                   ^---- route -----------------------^
--
-- Names in OpenBMP's schema: collectors, routers, bgp_peers, base_attrs (attr),
-- ip_rib (route), ip_rib_log (route_change), peer_event_log (peer_event),
-- stat_reports (peer_stat).

-- A collector, and how far its event stream is in here. Writer is who may write
-- for it: the last that opened the store. With a topic, consumers of that topic
-- do, and what is in here up to sequence came before them.
CREATE TABLE collector (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE,
  sequence bigint NOT NULL DEFAULT 0,
  writer text,
  topic text COLLATE "C"
);

-- A partition of a Kafka topic: from which offset on its records are not in
-- here, who reads it, and with which server process.
CREATE TABLE kafka_partition (
  topic text COLLATE "C" NOT NULL,
  partition integer NOT NULL,
  next_offset bigint NOT NULL DEFAULT 0, -- 0: nothing was read
  writer text,
  pid integer,
  started timestamptz,
  PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

-- The last event of each collector that came out of a partition: one that is
-- not behind it was in the partition twice.
CREATE TABLE kafka_sequence (
  topic text COLLATE "C" NOT NULL,
  partition integer NOT NULL,
  collector integer NOT NULL REFERENCES collector,
  sequence bigint NOT NULL,
  PRIMARY KEY (topic, partition, collector),
  FOREIGN KEY (topic, partition) REFERENCES kafka_partition
) WITH (fillfactor = 50);

-- Names of numbers that other tables keep.
CREATE TABLE cause (id integer PRIMARY KEY, name text COLLATE "C" NOT NULL);
CREATE TABLE rib_name (id integer PRIMARY KEY, name text COLLATE "C" NOT NULL);
CREATE TABLE family (id integer PRIMARY KEY, name text COLLATE "C" NOT NULL);

-- A monitored router, and its state now.
CREATE TABLE router (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  collector integer NOT NULL REFERENCES collector,
  name text COLLATE "C" NOT NULL,
  address inet,
  up boolean,              -- null: never heard of its session
  since timestamptz,
  session bigint,
  sys_name text COLLATE "C",
  sys_descr text COLLATE "C",
  reason text COLLATE "C",
  UNIQUE NULLS NOT DISTINCT (collector, name, address)
);

-- A peer of a router by what does not change over its sessions, and its state now.
CREATE TABLE peer (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  router integer NOT NULL REFERENCES router,
  type smallint NOT NULL,
  distinguisher text COLLATE "C" NOT NULL,
  address inet,
  speaker integer,         -- as it was last heard of
  up bigint,               -- one bit for each RIB view that is up; null: no Peer Up, no Peer Down
  since timestamptz,
  session bigint,
  epoch bigint,
  local_address inet,
  local_asn bigint,
  local_port integer,
  remote_port integer,
  table_name text COLLATE "C",
  hold_time integer,
  sent_capabilities text COLLATE "C",
  received_capabilities text COLLATE "C",
  reason text COLLATE "C",
  stats bigint,            -- sequence of the last statistics report
  stats_speaker integer,   -- and who it was from
  UNIQUE NULLS NOT DISTINCT (router, type, distinguisher, address)
);

-- One RIB view of a peer for one address family: what a route belongs to.
CREATE TABLE rib (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  peer integer NOT NULL REFERENCES peer,
  view smallint NOT NULL,
  family integer NOT NULL, -- AFI << 8 | SAFI; 0: what is said of all of them
  last timestamptz,        -- received time of the newest route of it; null: none
  UNIQUE (peer, view, family)
);

-- A RIB view with the AS number and BGP identifier that the peer had at the time.
CREATE TABLE speaker (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  rib integer NOT NULL REFERENCES rib,
  asn bigint NOT NULL,
  bgp_id inet,
  UNIQUE NULLS NOT DISTINCT (rib, asn, bgp_id)
);

-- A set of path attributes with its next hop, once however many routes have it.
-- The number is the beginning of the SHA-256 of its content, so writers need not
-- agree on it; with tail it is half of that. A set whose number another one has
-- gets the next of its own (sinks/postgres/attr.go).
CREATE TABLE attr (
  id bigint PRIMARY KEY,
  tail bigint NOT NULL,
  origin_as bigint,
  med bigint,
  local_pref bigint,
  otc bigint,
  seen date NOT NULL DEFAULT current_date, -- a writer that takes it for stored has made sure on this day or the next
  atomic_aggregate boolean NOT NULL,
  as4 boolean NOT NULL,    -- the size of AS numbers in raw
  origin text COLLATE "C",
  as_path text COLLATE "C",
  next_hop text COLLATE "C",
  communities text COLLATE "C",
  large_communities text COLLATE "C",
  ext_communities text COLLATE "C",
  aggregator text COLLATE "C",
  flags text COLLATE "C",
  raw bytea NOT NULL       -- the attributes as received but MP_REACH_NLRI and MP_UNREACH_NLRI
);

-- The tail of a set that is stored already. A writer that gave its number to
-- another one learns it by this error, whose detail is the number.
CREATE FUNCTION same_attr(id bigint, stored bigint, given bigint) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF stored <> given THEN
    RAISE EXCEPTION 'another attribute set has the number %', id USING ERRCODE = 'RT001', DETAIL = id::text;
  END IF;
  RETURN stored;
END $$;

-- What few routes have. A row without any of it has null.
CREATE TYPE route_more AS (
  path_id bigint,
  observed timestamptz,    -- where it is too far from received for delay
  nlri text COLLATE "C",   -- null: prefix says it all
  rd text COLLATE "C",
  key bytea,               -- null: prefix is the whole identity within the family
  labels text COLLATE "C"
);

-- What happened to a route; the history. A partition for each day (UTC), and one
-- for what no other takes. No foreign keys: a COPY would look up each of its rows.
--
-- A row of an IPv4 prefix has 64 octets with its header. That needs all of this:
-- eight columns at most (a ninth makes the header longer), the wide ones first
-- (no padding), and a code of one octet.
CREATE TABLE route_change (
  received timestamptz NOT NULL,
  event bigint NOT NULL,   -- sequence << 16 | position
  attr bigint,             -- null: a withdrawal
  speaker integer NOT NULL,
  delay integer,           -- received - observed in microseconds; null: not observed, or in more
  code "char" NOT NULL,    -- announced | marks << 1 | cause << 3
  prefix cidr,             -- null: a family without
  more route_more
) PARTITION BY RANGE (received);
-- Of prefix alone, because equal keys are stored once. Within a day the changes of
-- a prefix stand in the order in which they were written.
CREATE INDEX route_change_prefix ON route_change (prefix);
CREATE INDEX route_change_received ON route_change USING brin (received) WITH (pages_per_range = 32);
CREATE TABLE route_change_default PARTITION OF route_change DEFAULT;

-- The routes there were at the horizon: what was before it is no longer in
-- route_change. routes_at reads it, and nothing else. path_id and key are those in
-- more, for the index.
CREATE TABLE route_base (
  received timestamptz NOT NULL,
  event bigint NOT NULL,
  attr bigint,
  path_id bigint,
  rib integer NOT NULL,
  speaker integer NOT NULL,
  delay integer,
  code "char" NOT NULL,
  prefix cidr,
  key bytea,
  more route_more,
  UNIQUE NULLS NOT DISTINCT (prefix, rib, path_id, key)
);
CREATE TABLE horizon (
  id integer PRIMARY KEY CHECK (id = 1),
  at timestamptz NOT NULL
);
INSERT INTO horizon VALUES (1, '-infinity');

-- The routes there are now. key is path_id and key of more in one, empty where
-- both are null.
CREATE TABLE route (
  received timestamptz NOT NULL,
  event bigint NOT NULL,
  attr bigint,
  rib integer NOT NULL,
  speaker integer NOT NULL,
  delay integer,
  code "char" NOT NULL,
  prefix cidr,
  key bytea NOT NULL,
  more route_more,
  UNIQUE NULLS NOT DISTINCT (prefix, rib, key)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX route_rib ON route (rib);

CREATE TABLE peer_event (
  collector integer NOT NULL REFERENCES collector,
  sequence bigint NOT NULL,
  received timestamptz NOT NULL,
  observed timestamptz,
  speaker integer NOT NULL,
  event text COLLATE "C" NOT NULL,
  cause integer NOT NULL,
  inferred boolean NOT NULL,
  reason_code integer,
  reason text COLLATE "C",
  fsm_code integer,
  notification_code integer,
  notification_subcode integer,
  notification text COLLATE "C",
  epoch bigint,
  local_address inet,
  local_asn bigint,
  local_port integer,
  remote_port integer,
  table_name text COLLATE "C",
  hold_time integer,
  sent_capabilities text COLLATE "C",
  received_capabilities text COLLATE "C",
  sent_open bytea,
  received_open bytea,
  PRIMARY KEY (collector, sequence)
);
CREATE INDEX peer_event_received ON peer_event (received);

CREATE TABLE router_event (
  collector integer NOT NULL REFERENCES collector,
  sequence bigint NOT NULL,
  received timestamptz NOT NULL,
  router integer NOT NULL,
  event text COLLATE "C" NOT NULL,
  cause integer NOT NULL,
  inferred boolean NOT NULL,
  reason_code integer,
  reason text COLLATE "C",
  session bigint,
  sys_name text COLLATE "C",
  sys_descr text COLLATE "C",
  PRIMARY KEY (collector, sequence)
);

CREATE TABLE peer_stat (
  received timestamptz NOT NULL,
  sequence bigint NOT NULL,
  observed timestamptz,
  speaker integer NOT NULL,
  position integer NOT NULL,
  type integer NOT NULL,
  name text COLLATE "C",
  family text COLLATE "C",
  value numeric,
  raw bytea,
  PRIMARY KEY (speaker, sequence, position)
);
CREATE INDEX peer_stat_received ON peer_stat USING brin (received);

CREATE TABLE gap (
  collector integer NOT NULL REFERENCES collector,
  sequence bigint NOT NULL,
  received timestamptz NOT NULL,
  router integer,
  cause integer NOT NULL,
  lost numeric,            -- null: nobody can say
  start_at timestamptz,
  end_at timestamptz,
  detail text COLLATE "C",
  PRIMARY KEY (collector, sequence)
);

CREATE TABLE import (
  collector integer NOT NULL REFERENCES collector,
  sequence bigint NOT NULL,
  received timestamptz NOT NULL,
  router integer,
  detail text COLLATE "C",
  PRIMARY KEY (collector, sequence)
);

-- What could not be read or stored, as it came.
CREATE TABLE anomaly (
  id bigint GENERATED ALWAYS AS IDENTITY,
  collector integer NOT NULL REFERENCES collector,
  sequence bigint NOT NULL,
  received timestamptz NOT NULL,
  router text COLLATE "C",
  router_address inet,
  peer_address inet,
  kind text COLLATE "C" NOT NULL,
  reason text COLLATE "C" NOT NULL,
  raw bytea,
  PRIMARY KEY (collector, id)
);

CREATE VIEW route_history AS
SELECT
  c.event >> 16 AS sequence,
  (c.event & 65535)::integer AS position,
  c.received AS received_at,
  coalesce(c.received - c.delay * interval '1 microsecond', (c.more).observed) AS observed_at,
  k0.name AS collector,
  r.name AS router,
  r.address AS router_address,
  p.address AS peer_address,
  s.asn AS peer_asn,
  s.bgp_id AS peer_bgp_id,
  nullif(p.distinguisher, '') AS peer_distinguisher,
  v.name AS rib,
  f.name AS family,
  c.prefix,
  (c.more).path_id,
  (c.more).rd,
  (c.more).labels,
  CASE WHEN c.code::integer & 1 = 1 THEN 'announce' ELSE 'withdraw' END AS action,
  k.name AS cause,
  c.code::integer & 2 <> 0 AS changed,
  a.origin,
  a.as_path,
  a.origin_as,
  a.next_hop,
  a.med,
  a.local_pref,
  a.communities,
  a.large_communities,
  a.ext_communities,
  a.aggregator,
  a.atomic_aggregate,
  a.otc,
  a.flags,
  NULL::text AS rpki,
  coalesce((c.more).nlri, c.prefix::text) AS nlri
FROM route_change AS c
JOIN speaker AS s ON s.id = c.speaker
JOIN rib AS b ON b.id = s.rib
JOIN peer AS p ON p.id = b.peer
JOIN router AS r ON r.id = p.router
JOIN collector AS k0 ON k0.id = r.collector
LEFT JOIN rib_name AS v ON v.id = b.view
LEFT JOIN attr AS a ON a.id = c.attr
LEFT JOIN family AS f ON f.id = b.family
LEFT JOIN cause AS k ON k.id = c.code::integer >> 3 & 15;

CREATE VIEW routes AS
SELECT
  c.event >> 16 AS sequence,
  (c.event & 65535)::integer AS position,
  c.received AS received_at,
  coalesce(c.received - c.delay * interval '1 microsecond', (c.more).observed) AS observed_at,
  k0.name AS collector,
  r.name AS router,
  r.address AS router_address,
  p.address AS peer_address,
  s.asn AS peer_asn,
  s.bgp_id AS peer_bgp_id,
  nullif(p.distinguisher, '') AS peer_distinguisher,
  v.name AS rib,
  f.name AS family,
  c.prefix,
  (c.more).path_id,
  (c.more).rd,
  (c.more).labels,
  c.received AS since,
  c.code::integer & 2 <> 0 AS changed,
  a.origin,
  a.as_path,
  a.origin_as,
  a.next_hop,
  a.med,
  a.local_pref,
  a.communities,
  a.large_communities,
  a.ext_communities,
  a.aggregator,
  a.atomic_aggregate,
  a.otc,
  a.flags,
  NULL::text AS rpki,
  coalesce((c.more).nlri, c.prefix::text) AS nlri
FROM route AS c
JOIN rib AS b ON b.id = c.rib
JOIN peer AS p ON p.id = b.peer
JOIN router AS r ON r.id = p.router
JOIN collector AS k0 ON k0.id = r.collector
JOIN speaker AS s ON s.id = c.speaker
LEFT JOIN rib_name AS v ON v.id = b.view
LEFT JOIN attr AS a ON a.id = c.attr
LEFT JOIN family AS f ON f.id = b.family;

CREATE VIEW peer_history AS
SELECT
  e.sequence,
  e.received AS received_at,
  e.observed AS observed_at,
  k0.name AS collector,
  r.name AS router,
  r.address AS router_address,
  p.address AS peer_address,
  s.asn AS peer_asn,
  s.bgp_id AS peer_bgp_id,
  nullif(p.distinguisher, '') AS peer_distinguisher,
  v.name AS rib,
  e.event,
  k.name AS cause,
  e.inferred,
  e.reason_code,
  e.reason,
  e.fsm_code,
  e.notification_code,
  e.notification_subcode,
  e.notification,
  e.epoch,
  e.local_address,
  e.local_asn,
  e.local_port,
  e.remote_port,
  e.table_name,
  e.hold_time,
  e.sent_capabilities,
  e.received_capabilities,
  e.sent_open,
  e.received_open
FROM peer_event AS e
JOIN speaker AS s ON s.id = e.speaker
JOIN rib AS b ON b.id = s.rib
JOIN peer AS p ON p.id = b.peer
JOIN router AS r ON r.id = p.router
JOIN collector AS k0 ON k0.id = r.collector
LEFT JOIN rib_name AS v ON v.id = b.view
LEFT JOIN cause AS k ON k.id = e.cause;

CREATE VIEW router_history AS
SELECT
  e.sequence,
  e.received AS received_at,
  k0.name AS collector,
  r.name AS router,
  r.address AS router_address,
  e.event,
  k.name AS cause,
  e.inferred,
  e.reason_code,
  e.reason,
  e.session,
  e.sys_name,
  e.sys_descr
FROM router_event AS e
JOIN router AS r ON r.id = e.router
JOIN collector AS k0 ON k0.id = r.collector
LEFT JOIN cause AS k ON k.id = e.cause;

CREATE VIEW peer_stats AS
SELECT
  e.sequence,
  e.position,
  e.received AS received_at,
  e.observed AS observed_at,
  k0.name AS collector,
  r.name AS router,
  r.address AS router_address,
  p.address AS peer_address,
  s.asn AS peer_asn,
  s.bgp_id AS peer_bgp_id,
  nullif(p.distinguisher, '') AS peer_distinguisher,
  v.name AS rib,
  e.type,
  e.name,
  e.family,
  e.value,
  e.raw
FROM peer_stat AS e
JOIN speaker AS s ON s.id = e.speaker
JOIN rib AS b ON b.id = s.rib
JOIN peer AS p ON p.id = b.peer
JOIN router AS r ON r.id = p.router
JOIN collector AS k0 ON k0.id = r.collector
LEFT JOIN rib_name AS v ON v.id = b.view;

-- The same for each peer's last report.
CREATE VIEW peer_stats_now AS
SELECT
  e.sequence,
  e.position,
  e.received AS received_at,
  e.observed AS observed_at,
  k0.name AS collector,
  r.name AS router,
  r.address AS router_address,
  p.address AS peer_address,
  s.asn AS peer_asn,
  s.bgp_id AS peer_bgp_id,
  nullif(p.distinguisher, '') AS peer_distinguisher,
  v.name AS rib,
  e.type,
  e.name,
  e.family,
  e.value,
  e.raw
FROM peer AS p
JOIN peer_stat AS e ON e.speaker = p.stats_speaker AND e.sequence = p.stats
JOIN speaker AS s ON s.id = e.speaker
JOIN rib AS b ON b.id = s.rib
JOIN router AS r ON r.id = p.router
JOIN collector AS k0 ON k0.id = r.collector
LEFT JOIN rib_name AS v ON v.id = b.view;

CREATE VIEW gaps AS
SELECT
  e.sequence,
  e.received AS received_at,
  k0.name AS collector,
  r.name AS router,
  r.address AS router_address,
  k.name AS cause,
  e.lost,
  e.start_at,
  e.end_at,
  e.detail
FROM gap AS e
JOIN collector AS k0 ON k0.id = e.collector
LEFT JOIN router AS r ON r.id = e.router
LEFT JOIN cause AS k ON k.id = e.cause;

CREATE VIEW imports AS
SELECT
  e.sequence,
  e.received AS received_at,
  k0.name AS collector,
  r.name AS router,
  r.address AS router_address,
  e.detail
FROM import AS e
JOIN collector AS k0 ON k0.id = e.collector
LEFT JOIN router AS r ON r.id = e.router;

CREATE VIEW anomalies AS
SELECT
  e.sequence,
  e.received AS received_at,
  k0.name AS collector,
  e.router,
  e.router_address,
  e.peer_address,
  e.kind,
  e.reason,
  e.raw
FROM anomaly AS e
JOIN collector AS k0 ON k0.id = e.collector;

CREATE VIEW routers AS
SELECT
  k0.name AS collector,
  r.name AS router,
  r.address AS router_address,
  CASE WHEN r.up IS NULL THEN 'unknown' WHEN r.up THEN 'up' ELSE 'down' END AS state,
  r.since,
  r.session,
  r.sys_name,
  r.sys_descr,
  r.reason,
  (SELECT count(*) FROM peer AS p WHERE p.router = r.id) AS peers,
  (SELECT count(*) FROM peer AS p WHERE p.router = r.id AND p.up <> 0) AS peers_up
FROM router AS r
JOIN collector AS k0 ON k0.id = r.collector;

CREATE VIEW peers AS
SELECT
  k0.name AS collector,
  r.name AS router,
  r.address AS router_address,
  p.address AS peer_address,
  s.asn AS peer_asn,
  s.bgp_id AS peer_bgp_id,
  nullif(p.distinguisher, '') AS peer_distinguisher,
  CASE p.type WHEN 0 THEN 'global' WHEN 1 THEN 'rd' WHEN 2 THEN 'local' WHEN 3 THEN 'loc-rib' ELSE 'type-' || p.type END AS peer_type,
  p.table_name,
  (SELECT string_agg(v.name, ' ' ORDER BY v.id) FROM rib_name AS v WHERE v.id <> 0 AND EXISTS (SELECT FROM rib AS b
    WHERE b.peer = p.id AND b.view = v.id AND (b.last IS NOT NULL OR p.up IS NULL OR p.up = 0 OR p.up >> b.view & 1 = 1))) AS ribs,
  CASE WHEN p.up IS NULL THEN 'unknown' WHEN p.up <> 0 THEN 'up' ELSE 'down' END AS state,
  p.since,
  p.epoch,
  p.local_address,
  p.local_asn,
  p.local_port,
  p.remote_port,
  p.hold_time,
  p.sent_capabilities,
  p.received_capabilities,
  p.reason,
  p.stats AS stats_sequence
FROM peer AS p
JOIN router AS r ON r.id = p.router
JOIN collector AS k0 ON k0.id = r.collector
LEFT JOIN speaker AS s ON s.id = p.speaker;

-- The routes as they were at a time: of each route the last change before,
-- unless it is a withdrawal. All that says whose route it is stands in DISTINCT
-- ON, so that a condition on it (a prefix, a peer, a router) is applied to the
-- changes, by their index or before they are sorted.
CREATE FUNCTION routes_at(at timestamptz) RETURNS SETOF routes
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
SELECT
  c.event >> 16 AS sequence,
  (c.event & 65535)::integer AS position,
  c.received AS received_at,
  coalesce(c.received - c.delay * interval '1 microsecond', (c.more).observed) AS observed_at,
  c.collector,
  c.router,
  c.router_address,
  c.peer_address,
  s.asn AS peer_asn,
  s.bgp_id AS peer_bgp_id,
  c.peer_distinguisher,
  c.rib,
  f.name AS family,
  c.prefix,
  (c.more).path_id,
  (c.more).rd,
  (c.more).labels,
  c.received AS since,
  c.code::integer & 2 <> 0 AS changed,
  a.origin,
  a.as_path,
  a.origin_as,
  a.next_hop,
  a.med,
  a.local_pref,
  a.communities,
  a.large_communities,
  a.ext_communities,
  a.aggregator,
  a.atomic_aggregate,
  a.otc,
  a.flags,
  NULL::text AS rpki,
  coalesce((c.more).nlri, c.prefix::text) AS nlri
FROM (
  SELECT DISTINCT ON (c.prefix, s.rib, (c.more).path_id, (c.more).key, k0.name, r.name, r.address, p.address, nullif(p.distinguisher, ''), v.name)
    c.*, b.family AS family, k0.name AS collector, r.name AS router, r.address AS router_address, p.address AS peer_address,
    nullif(p.distinguisher, '') AS peer_distinguisher, v.name AS rib
  FROM (
    SELECT received, event, attr, speaker, delay, code, prefix, more FROM route_change
    UNION ALL
    SELECT received, event, attr, speaker, delay, code, prefix, more FROM route_base
  ) AS c
  JOIN speaker AS s ON s.id = c.speaker
  JOIN rib AS b ON b.id = s.rib
  JOIN peer AS p ON p.id = b.peer
  JOIN router AS r ON r.id = p.router
  JOIN collector AS k0 ON k0.id = r.collector
  LEFT JOIN rib_name AS v ON v.id = b.view
  WHERE c.received <= at AND c.code::integer & 6 <> 0
  ORDER BY c.prefix, s.rib, (c.more).path_id, (c.more).key, k0.name, r.name, r.address, p.address, nullif(p.distinguisher, ''), v.name,
    c.received DESC, c.event DESC
) AS c
JOIN speaker AS s ON s.id = c.speaker
LEFT JOIN attr AS a ON a.id = c.attr
LEFT JOIN family AS f ON f.id = c.family
WHERE c.code::integer & 1 = 1;
END;

-- Every prefix that covers an address or a prefix, itself included: prefix =
-- ANY (covering('8.8.8.8')) is a few searches of an index.
CREATE FUNCTION covering(inet) RETURNS cidr[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (SELECT array_agg(network(set_masklen($1, n)) ORDER BY n) FROM generate_series(0, masklen($1)) AS n);

-- Partitions are made and dropped by functions of the owner, so that a writer
-- need not own the tables. add_partition says whether there is one now.
CREATE FUNCTION add_partition(day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  name text := 'route_change_p' || to_char(day, 'YYYYMMDD');
  first timestamptz := day::timestamp AT TIME ZONE 'UTC';
  behind timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
  made boolean;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('ribtap partitions'));
  SELECT relispartition INTO made FROM pg_class WHERE oid = to_regclass(name);
  IF FOUND THEN
    RETURN made;
  END IF;
  -- What the default partition holds already stays there.
  IF EXISTS (SELECT FROM route_change_default WHERE received >= first AND received < behind) THEN
    RETURN false;
  END IF;
  -- ATTACH, unlike PARTITION OF, lets others write meanwhile.
  EXECUTE format('CREATE TABLE %I (LIKE route_change INCLUDING DEFAULTS)', name);
  EXECUTE format('ALTER TABLE %I ADD CONSTRAINT bounds CHECK (received >= %L AND received < %L)', name, first, behind);
  EXECUTE format('ALTER TABLE route_change ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, first, behind);
  EXECUTE format('ALTER TABLE %I DROP CONSTRAINT bounds', name);
  RETURN true;
END $$;

-- The days that have a partition.
CREATE FUNCTION partitions() RETURNS SETOF date
LANGUAGE sql STABLE
BEGIN ATOMIC
SELECT to_date(right(c.relname::text, 8), 'YYYYMMDD')
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'route_change'::regclass AND c.relname ~ '^route_change_p[0-9]{8}$'
ORDER BY 1;
END;

-- Takes a day out of route_change; drop_partitions then gives its room back.
-- Two steps, because only the first one stops writers, for an instant.
CREATE FUNCTION detach_partition(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  EXECUTE format('ALTER TABLE route_change DETACH PARTITION %I', 'route_change_p' || to_char(day, 'YYYYMMDD'));
END $$;

CREATE FUNCTION drop_partitions() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  t regclass;
  n integer := 0;
BEGIN
  FOR t IN
    SELECT c.oid FROM pg_class AS c
    WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'route_change'::regclass)
      AND c.relkind = 'r' AND NOT c.relispartition AND c.relname ~ '^route_change_p[0-9]{8}$'
  LOOP
    EXECUTE format('DROP TABLE %s', t);
    n := n + 1;
  END LOOP;
  RETURN n;
END $$;

-- Functions that run as the owner look for names in this schema alone, and only
-- who is given the right may call them.
DO $$
DECLARE
  f text;
BEGIN
  FOREACH f IN ARRAY ARRAY['add_partition(date)', 'detach_partition(date)', 'drop_partitions()'] LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', f, current_schema());
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
  END LOOP;
END $$;
