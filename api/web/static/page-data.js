import { count, Empty, Failure, html, octets, Table, Time, useApi } from '/lib.js';
import { Sinks } from '/page-overview.js';

export function Data() {
  const status = useApi('/v1/status', 5000);
  const s = status.data;
  return html`<h1>Data and gaps</h1><${Failure} error=${status.error} />
    ${s && html`<h2>Event stream</h2><p>Events ${count(s.stream.first_sequence)} to ${count(s.stream.last_sequence)}, ${octets(s.stream.bytes)}. <code>ribtap stream verify</code> checks every octet.</p>
      <h2>Sinks</h2><${Sinks} sinks=${s.sinks} />`}
    <h2>Gaps</h2><${List} path="/v1/gaps?newest=true" empty="Nothing is known to be missing." columns=${[
      at, { head: 'Router', of: (r) => r.router }, { head: 'Cause', of: (r) => r.cause }, { head: 'Lost', of: (r) => r.lost, num: true },
      { head: 'From', of: (r) => r.start_at, show: (r) => html`<${Time} at=${r.start_at} />` }, { head: 'To', of: (r) => r.end_at, show: (r) => html`<${Time} at=${r.end_at} />` }, { head: 'Detail', of: (r) => r.detail, long: true }]} />
    <h2>Imports</h2><${List} path="/v1/imports?newest=true" empty="No file was imported: ribtap import FILE." columns=${[at, { head: 'Router', of: (r) => r.router }, { head: 'Detail', of: (r) => r.detail, long: true }]} />
    <h2>Anomalies</h2><${List} path="/v1/anomalies?newest=true&limit=200" empty="Every message could be read." columns=${[
      at, { head: 'Router', of: (r) => r.router }, { head: 'Peer', of: (r) => r.peer_address }, { head: 'Kind', of: (r) => r.kind }, { head: 'Reason', of: (r) => r.reason, long: true }, { head: 'Event', of: (r) => r.sequence, num: true }]} />
    <${Caches} />
    <h2>Configuration</h2><${Config} />
    <h2>For programs</h2><p>The same as JSON: <code>/v1/routes</code>, <code>/v1/history</code>, <code>/v1/diff</code>, <code>/v1/sessions</code>, <code>/v1/routers</code>, <code>/v1/stats</code>, <code>/v1/gaps</code> and the rest of <a href="/v1/openapi.json">openapi.json</a>; gRPC at <code>ribtap.v1.CollectorService</code>; <a href="/metrics">/metrics</a> for Prometheus.</p>`;
}

const at = { head: 'Received', of: (r) => r.received_at, show: (r) => html`<${Time} at=${r.received_at} ms />` };

function List({ path, columns, empty }) {
  const list = useApi(path, 15000);
  return html`<${Failure} error=${list.error} />${list.data && html`<${Table} rows=${list.data.rows} more=${list.data.more} columns=${columns} empty=${html`<${Empty} title=${empty}></${Empty}>`} />`}`;
}

function Config() {
  const config = useApi('/v1/config');
  const text = (v) => (typeof v === 'string' ? v || '–' : JSON.stringify(v));
  return html`<${Failure} error=${config.error} />${config.data && html`<${Table} rows=${config.data.keys} columns=${[
    { head: 'Key', of: (k) => k.key, mono: true }, { head: 'Value', of: (k) => text(k.value), long: true, mono: true }, { head: 'From', of: (k) => k.origin },
  ]} />`}`;
}

function Caches() {
  const rpki = useApi('/v1/rpki', 15000);
  if (!rpki.data || rpki.data.caches.length === 0) return html`<${Failure} error=${rpki.error} />`;
  return html`<h2>RPKI caches <span class="dim">${count(rpki.data.vrps)} VRPs in use</span></h2><${Table} rows=${rpki.data.caches} columns=${[
    { head: 'Cache', of: (c) => c.address, mono: true }, { head: 'Connected', of: (c) => (c.connected ? 'yes' : 'no') }, { head: 'Version', of: (c) => c.version, num: true },
    { head: 'VRPs', of: (c) => c.vrps, num: true }, { head: 'ASPAs', of: (c) => c.aspas, num: true }, { head: 'Serial', of: (c) => c.serial, num: true },
    { head: 'Updated', of: (c) => c.updated, show: (c) => html`<${Time} at=${c.updated} />` }, { head: 'Last error', of: (c) => c.last_error, long: true, show: (c) => c.last_error || '–' },
  ]} />`;
}
