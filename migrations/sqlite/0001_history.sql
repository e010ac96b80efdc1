-- The views are the contract (docs/sql.md); the tables may change.
--
--   router <- peer <- rib <- speaker <- route_change -> nlri
--                      ^                     |     `--> attr
--                      `------ route ------------------^
--
-- Times are microseconds since 1970-01-01 UTC. Names in OpenBMP's schema:
-- routers, bgp_peers, base_attrs (attr), ip_rib (route), ip_rib_log
-- (route_change), peer_event_log (peer_event), stat_reports (peer_stat).

-- The one row says how far the event stream is in here.
CREATE TABLE position (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  sequence INTEGER NOT NULL
);
INSERT INTO position VALUES (1, 0);

-- Names of numbers that other tables keep.
CREATE TABLE cause (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE rib_name (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE family (id INTEGER PRIMARY KEY, name TEXT NOT NULL);

-- A monitored router, and its state now.
CREATE TABLE router (
  id INTEGER PRIMARY KEY,
  collector TEXT NOT NULL,
  name TEXT NOT NULL,
  address TEXT NOT NULL,
  up INTEGER,              -- null: never heard of its session
  since INTEGER,
  session INTEGER,
  sys_name TEXT,
  sys_descr TEXT,
  reason TEXT,
  UNIQUE (collector, name, address)
);

-- A peer of a router by what does not change over its sessions, and its state now.
CREATE TABLE peer (
  id INTEGER PRIMARY KEY,
  router INTEGER NOT NULL,
  type INTEGER NOT NULL,
  distinguisher TEXT NOT NULL,
  address TEXT NOT NULL,
  speaker INTEGER,         -- as it was last heard of
  up INTEGER,              -- one bit for each RIB view that is up; null: no Peer Up, no Peer Down
  since INTEGER,
  session INTEGER,
  epoch INTEGER,
  local_address TEXT,
  local_asn INTEGER,
  local_port INTEGER,
  remote_port INTEGER,
  table_name TEXT,
  hold_time INTEGER,
  sent_capabilities TEXT,
  received_capabilities TEXT,
  reason TEXT,
  stats INTEGER,           -- sequence of the last statistics report
  UNIQUE (router, type, distinguisher, address)
);

-- One RIB view of a peer: what a route belongs to.
CREATE TABLE rib (
  id INTEGER PRIMARY KEY,
  peer INTEGER NOT NULL,
  view INTEGER NOT NULL,
  last INTEGER NOT NULL,   -- received time of the newest route of it
  plain INTEGER NOT NULL,  -- 1: no route had a path identifier or an earlier time than one before it
  UNIQUE (peer, view)
);

-- A RIB view with the AS number and BGP identifier that the peer had at the time.
CREATE TABLE speaker (
  id INTEGER PRIMARY KEY,
  rib INTEGER NOT NULL,
  asn INTEGER NOT NULL,
  bgp_id TEXT NOT NULL,
  UNIQUE (rib, asn, bgp_id)
);

CREATE TABLE nlri (
  id INTEGER PRIMARY KEY,
  family INTEGER NOT NULL,
  prefix TEXT NOT NULL,
  rd TEXT NOT NULL,
  addr BLOB,               -- 4 or 6, then the 4 or 16 octets of the masked address
  plen INTEGER,
  key BLOB                 -- null where address and length say all
);
CREATE INDEX nlri_prefix ON nlri (prefix);
CREATE INDEX nlri_addr ON nlri (addr, plen);
CREATE UNIQUE INDEX nlri_key ON nlri (family, key) WHERE key IS NOT NULL;

-- Indexes that a sink left out while a table came in bulk, to be made again.
CREATE TABLE deferred_index (name TEXT PRIMARY KEY, sql TEXT NOT NULL);

-- A set of path attributes with its next hop, once however many routes have it.
CREATE TABLE attr (
  id INTEGER PRIMARY KEY,
  hash BLOB NOT NULL,
  origin TEXT,
  as_path TEXT,
  origin_as INTEGER,
  next_hop TEXT,
  med INTEGER,
  local_pref INTEGER,
  communities TEXT,
  large_communities TEXT,
  ext_communities TEXT,
  aggregator TEXT,
  atomic_aggregate INTEGER NOT NULL,
  otc INTEGER,
  flags TEXT,
  as4 INTEGER NOT NULL,    -- the size of AS numbers in raw
  raw BLOB NOT NULL        -- the attributes as received but MP_REACH_NLRI and MP_UNREACH_NLRI
);
CREATE UNIQUE INDEX attr_hash ON attr (hash);

-- What happened to a route; the history.
CREATE TABLE route_change (
  id INTEGER PRIMARY KEY,  -- sequence << 16 | position
  received INTEGER NOT NULL, -- since 2028-01-01: six octets up to 2032, not eight
  delta INTEGER,           -- observed - received
  speaker INTEGER NOT NULL,
  nlri INTEGER NOT NULL,
  path_id INTEGER NOT NULL, -- the identifier + 1; 0: none
  code INTEGER NOT NULL,   -- action | marks << 2 | cause << 8
  attr INTEGER,            -- null: a withdrawal
  labels TEXT
);
-- Behind the columns an index has the id by itself; named, it would be there twice.
CREATE INDEX route_change_nlri ON route_change (nlri, speaker);

-- The routes there are now; what else is to say of one, its route_change says.
CREATE TABLE route (
  nlri INTEGER NOT NULL,
  rib INTEGER NOT NULL,
  path_id INTEGER NOT NULL,
  change INTEGER NOT NULL, -- the route_change that made it
  speaker INTEGER NOT NULL,
  attr INTEGER,
  PRIMARY KEY (nlri, rib, path_id)
) WITHOUT ROWID;

-- Which times a stretch of route_change covers, so that a window of time is
-- found without an index on it.
CREATE TABLE span (
  first INTEGER PRIMARY KEY,
  last INTEGER NOT NULL,
  min_received INTEGER NOT NULL,
  max_received INTEGER NOT NULL,
  changes INTEGER NOT NULL
);

CREATE TABLE peer_event (
  id INTEGER PRIMARY KEY,  -- sequence
  received INTEGER NOT NULL,
  delta INTEGER,
  speaker INTEGER NOT NULL,
  event TEXT NOT NULL,
  cause INTEGER NOT NULL,
  inferred INTEGER NOT NULL,
  reason_code INTEGER,
  reason TEXT,
  fsm_code INTEGER,
  notification_code INTEGER,
  notification_subcode INTEGER,
  notification TEXT,
  epoch INTEGER,
  local_address TEXT,
  local_asn INTEGER,
  local_port INTEGER,
  remote_port INTEGER,
  table_name TEXT,
  hold_time INTEGER,
  sent_capabilities TEXT,
  received_capabilities TEXT,
  sent_open BLOB,
  received_open BLOB
);

CREATE TABLE router_event (
  id INTEGER PRIMARY KEY,
  received INTEGER NOT NULL,
  router INTEGER NOT NULL,
  event TEXT NOT NULL,
  cause INTEGER NOT NULL,
  inferred INTEGER NOT NULL,
  reason_code INTEGER,
  reason TEXT,
  session INTEGER,
  sys_name TEXT,
  sys_descr TEXT
);

CREATE TABLE peer_stat (
  id INTEGER PRIMARY KEY,  -- sequence << 16 | position
  received INTEGER NOT NULL,
  delta INTEGER,
  speaker INTEGER NOT NULL,
  type INTEGER NOT NULL,
  name TEXT,
  family TEXT,
  value,                   -- integer up to 2^63-1, above that text of the decimal digits
  raw BLOB
);
CREATE INDEX peer_stat_speaker ON peer_stat (speaker, id);

CREATE TABLE gap (
  id INTEGER PRIMARY KEY,
  received INTEGER NOT NULL,
  collector TEXT NOT NULL,
  router INTEGER,
  cause INTEGER NOT NULL,
  lost,                    -- as value of peer_stat; null: nobody can say
  start_at INTEGER,
  end_at INTEGER,
  detail TEXT
);

CREATE TABLE import (
  id INTEGER PRIMARY KEY,
  received INTEGER NOT NULL,
  collector TEXT NOT NULL,
  router INTEGER,
  detail TEXT
);

-- What could not be read or stored, as it came.
CREATE TABLE anomaly (
  id INTEGER PRIMARY KEY,
  sequence INTEGER NOT NULL,
  received INTEGER NOT NULL,
  collector TEXT NOT NULL,
  router TEXT,
  router_address TEXT,
  peer_address TEXT,
  kind TEXT NOT NULL,
  reason TEXT NOT NULL,
  raw BLOB
);

CREATE VIEW route_history AS
SELECT
  c.id >> 16 AS sequence,
  c.id & 65535 AS position,
  strftime('%Y-%m-%dT%H:%M:%S', (c.received + 1830297600000000) / 1000000, 'unixepoch') || printf('.%06dZ', (c.received + 1830297600000000) % 1000000) AS received_at,
  iif(c.delta IS NULL, NULL, strftime('%Y-%m-%dT%H:%M:%S', (c.received + c.delta + 1830297600000000) / 1000000, 'unixepoch') || printf('.%06dZ', (c.received + c.delta + 1830297600000000) % 1000000)) AS observed_at,
  r.collector,
  r.name AS router,
  nullif(r.address, '') AS router_address,
  nullif(p.address, '') AS peer_address,
  s.asn AS peer_asn,
  nullif(s.bgp_id, '') AS peer_bgp_id,
  nullif(p.distinguisher, '') AS peer_distinguisher,
  v.name AS rib,
  f.name AS family,
  n.prefix,
  nullif(c.path_id, 0) - 1 AS path_id,
  nullif(n.rd, '') AS rd,
  c.labels,
  iif(c.code & 3 = 1, 'announce', 'withdraw') AS action,
  k.name AS cause,
  c.code >> 2 & 1 AS changed,
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
  NULL AS rpki
FROM route_change AS c
JOIN nlri AS n ON n.id = c.nlri
LEFT JOIN attr AS a ON a.id = +c.attr
LEFT JOIN speaker AS s ON s.id = +c.speaker
LEFT JOIN rib AS b ON b.id = +s.rib
LEFT JOIN peer AS p ON p.id = +b.peer
LEFT JOIN router AS r ON r.id = +p.router
LEFT JOIN rib_name AS v ON v.id = +b.view
LEFT JOIN family AS f ON f.id = +n.family
LEFT JOIN cause AS k ON k.id = +c.code >> 8;

CREATE VIEW routes AS
SELECT
  t.change >> 16 AS sequence,
  t.change & 65535 AS position,
  strftime('%Y-%m-%dT%H:%M:%S', (c.received + 1830297600000000) / 1000000, 'unixepoch') || printf('.%06dZ', (c.received + 1830297600000000) % 1000000) AS received_at,
  iif(c.delta IS NULL, NULL, strftime('%Y-%m-%dT%H:%M:%S', (c.received + c.delta + 1830297600000000) / 1000000, 'unixepoch') || printf('.%06dZ', (c.received + c.delta + 1830297600000000) % 1000000)) AS observed_at,
  r.collector,
  r.name AS router,
  nullif(r.address, '') AS router_address,
  nullif(p.address, '') AS peer_address,
  s.asn AS peer_asn,
  nullif(s.bgp_id, '') AS peer_bgp_id,
  nullif(p.distinguisher, '') AS peer_distinguisher,
  v.name AS rib,
  f.name AS family,
  n.prefix,
  nullif(t.path_id, 0) - 1 AS path_id,
  nullif(n.rd, '') AS rd,
  c.labels,
  strftime('%Y-%m-%dT%H:%M:%S', (c.received + 1830297600000000) / 1000000, 'unixepoch') || printf('.%06dZ', (c.received + 1830297600000000) % 1000000) AS since,
  c.code >> 2 & 1 AS changed,
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
  NULL AS rpki
FROM route AS t
JOIN nlri AS n ON n.id = t.nlri
LEFT JOIN route_change AS c ON c.id = +t.change
LEFT JOIN attr AS a ON a.id = +t.attr
LEFT JOIN speaker AS s ON s.id = +t.speaker
LEFT JOIN rib AS b ON b.id = +s.rib
LEFT JOIN peer AS p ON p.id = +b.peer
LEFT JOIN router AS r ON r.id = +p.router
LEFT JOIN rib_name AS v ON v.id = +b.view
LEFT JOIN family AS f ON f.id = +n.family;

CREATE VIEW peer_history AS
SELECT
  e.id AS sequence,
  strftime('%Y-%m-%dT%H:%M:%S', e.received / 1000000, 'unixepoch') || printf('.%06dZ', e.received % 1000000) AS received_at,
  iif(e.received + e.delta IS NULL, NULL, strftime('%Y-%m-%dT%H:%M:%S', (e.received + e.delta) / 1000000, 'unixepoch') || printf('.%06dZ', (e.received + e.delta) % 1000000)) AS observed_at,
  r.collector,
  r.name AS router,
  nullif(r.address, '') AS router_address,
  nullif(p.address, '') AS peer_address,
  s.asn AS peer_asn,
  nullif(s.bgp_id, '') AS peer_bgp_id,
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
LEFT JOIN speaker AS s ON s.id = +e.speaker
LEFT JOIN rib AS b ON b.id = +s.rib
LEFT JOIN peer AS p ON p.id = +b.peer
LEFT JOIN router AS r ON r.id = +p.router
LEFT JOIN rib_name AS v ON v.id = +b.view
LEFT JOIN cause AS k ON k.id = +e.cause;

CREATE VIEW router_history AS
SELECT
  e.id AS sequence,
  strftime('%Y-%m-%dT%H:%M:%S', e.received / 1000000, 'unixepoch') || printf('.%06dZ', e.received % 1000000) AS received_at,
  r.collector,
  r.name AS router,
  nullif(r.address, '') AS router_address,
  e.event,
  k.name AS cause,
  e.inferred,
  e.reason_code,
  e.reason,
  e.session,
  e.sys_name,
  e.sys_descr
FROM router_event AS e
LEFT JOIN router AS r ON r.id = +e.router
LEFT JOIN cause AS k ON k.id = +e.cause;

-- CROSS JOIN keeps this order: a router's or a peer's reports are found without
-- reading those of all others.
CREATE VIEW peer_stats AS
SELECT
  e.id >> 16 AS sequence,
  e.id & 65535 AS position,
  strftime('%Y-%m-%dT%H:%M:%S', e.received / 1000000, 'unixepoch') || printf('.%06dZ', e.received % 1000000) AS received_at,
  iif(e.received + e.delta IS NULL, NULL, strftime('%Y-%m-%dT%H:%M:%S', (e.received + e.delta) / 1000000, 'unixepoch') || printf('.%06dZ', (e.received + e.delta) % 1000000)) AS observed_at,
  r.collector,
  r.name AS router,
  nullif(r.address, '') AS router_address,
  nullif(p.address, '') AS peer_address,
  s.asn AS peer_asn,
  nullif(s.bgp_id, '') AS peer_bgp_id,
  nullif(p.distinguisher, '') AS peer_distinguisher,
  v.name AS rib,
  e.type,
  e.name,
  e.family,
  e.value,
  e.raw
FROM router AS r
CROSS JOIN peer AS p ON p.router = r.id
CROSS JOIN rib AS b ON b.peer = p.id
CROSS JOIN speaker AS s ON s.rib = b.id
CROSS JOIN peer_stat AS e ON e.speaker = s.id
LEFT JOIN rib_name AS v ON v.id = +b.view;

-- The same for each peer's last report, found by its number: the signs keep
-- SQLite from making an index of all reports for a question about one type.
CREATE VIEW peer_stats_now AS
SELECT
  e.id >> 16 AS sequence,
  e.id & 65535 AS position,
  strftime('%Y-%m-%dT%H:%M:%S', e.received / 1000000, 'unixepoch') || printf('.%06dZ', e.received % 1000000) AS received_at,
  iif(e.received + e.delta IS NULL, NULL, strftime('%Y-%m-%dT%H:%M:%S', (e.received + e.delta) / 1000000, 'unixepoch') || printf('.%06dZ', (e.received + e.delta) % 1000000)) AS observed_at,
  r.collector,
  r.name AS router,
  nullif(r.address, '') AS router_address,
  nullif(p.address, '') AS peer_address,
  s.asn AS peer_asn,
  nullif(s.bgp_id, '') AS peer_bgp_id,
  nullif(p.distinguisher, '') AS peer_distinguisher,
  v.name AS rib,
  +e.type AS type,
  +e.name AS name,
  +e.family AS family,
  e.value,
  e.raw
FROM peer AS last
CROSS JOIN peer_stat AS e ON e.id BETWEEN last.stats << 16 AND (last.stats << 16) + 65535
LEFT JOIN speaker AS s ON s.id = +e.speaker
LEFT JOIN rib AS b ON b.id = +s.rib
LEFT JOIN peer AS p ON p.id = +b.peer
LEFT JOIN router AS r ON r.id = +p.router
LEFT JOIN rib_name AS v ON v.id = +b.view;

CREATE VIEW gaps AS
SELECT
  e.id AS sequence,
  strftime('%Y-%m-%dT%H:%M:%S', e.received / 1000000, 'unixepoch') || printf('.%06dZ', e.received % 1000000) AS received_at,
  e.collector,
  r.name AS router,
  nullif(r.address, '') AS router_address,
  k.name AS cause,
  e.lost,
  iif(e.start_at IS NULL, NULL, strftime('%Y-%m-%dT%H:%M:%S', e.start_at / 1000000, 'unixepoch') || printf('.%06dZ', e.start_at % 1000000)) AS start_at,
  iif(e.end_at IS NULL, NULL, strftime('%Y-%m-%dT%H:%M:%S', e.end_at / 1000000, 'unixepoch') || printf('.%06dZ', e.end_at % 1000000)) AS end_at,
  e.detail
FROM gap AS e
LEFT JOIN router AS r ON r.id = +e.router
LEFT JOIN cause AS k ON k.id = +e.cause;

CREATE VIEW imports AS
SELECT
  e.id AS sequence,
  strftime('%Y-%m-%dT%H:%M:%S', e.received / 1000000, 'unixepoch') || printf('.%06dZ', e.received % 1000000) AS received_at,
  e.collector,
  r.name AS router,
  nullif(r.address, '') AS router_address,
  e.detail
FROM import AS e
LEFT JOIN router AS r ON r.id = +e.router;

CREATE VIEW anomalies AS
SELECT
  e.sequence,
  strftime('%Y-%m-%dT%H:%M:%S', e.received / 1000000, 'unixepoch') || printf('.%06dZ', e.received % 1000000) AS received_at,
  e.collector,
  e.router,
  e.router_address,
  e.peer_address,
  e.kind,
  e.reason,
  e.raw
FROM anomaly AS e;

CREATE VIEW routers AS
SELECT
  r.collector,
  r.name AS router,
  nullif(r.address, '') AS router_address,
  CASE WHEN r.up IS NULL THEN 'unknown' WHEN r.up THEN 'up' ELSE 'down' END AS state,
  iif(r.since IS NULL, NULL, strftime('%Y-%m-%dT%H:%M:%S', r.since / 1000000, 'unixepoch') || printf('.%06dZ', r.since % 1000000)) AS since,
  r.session,
  r.sys_name,
  r.sys_descr,
  r.reason,
  (SELECT count(*) FROM peer AS p WHERE p.router = r.id) AS peers,
  (SELECT count(*) FROM peer AS p WHERE p.router = r.id AND p.up <> 0) AS peers_up
FROM router AS r;

CREATE VIEW peers AS
SELECT
  r.collector,
  r.name AS router,
  nullif(r.address, '') AS router_address,
  nullif(p.address, '') AS peer_address,
  s.asn AS peer_asn,
  nullif(s.bgp_id, '') AS peer_bgp_id,
  nullif(p.distinguisher, '') AS peer_distinguisher,
  CASE p.type WHEN 0 THEN 'global' WHEN 1 THEN 'rd' WHEN 2 THEN 'local' WHEN 3 THEN 'loc-rib' ELSE 'type-' || p.type END AS peer_type,
  p.table_name,
  (SELECT group_concat(v.name, ' ') FROM rib AS b JOIN rib_name AS v ON v.id = b.view
    WHERE b.peer = p.id AND b.view <> 0 AND (b.last > 0 OR p.up IS NULL OR p.up = 0 OR p.up >> b.view & 1)) AS ribs,
  CASE WHEN p.up IS NULL THEN 'unknown' WHEN p.up <> 0 THEN 'up' ELSE 'down' END AS state,
  iif(p.since IS NULL, NULL, strftime('%Y-%m-%dT%H:%M:%S', p.since / 1000000, 'unixepoch') || printf('.%06dZ', p.since % 1000000)) AS since,
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
LEFT JOIN speaker AS s ON s.id = +p.speaker;
