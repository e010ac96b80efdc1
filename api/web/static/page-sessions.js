import { AS, Copy, count, Empty, Failure, Fields, html, Plot, query, State, Table, Time, useApi } from '/lib.js';
import { Strips } from '/strips.js';

const fields = [['router', 'Router'], ['peer', 'Peer'], ['asn', 'AS'], ['state', 'State', ['', 'up', 'down', 'unknown']]];

export function Sessions({ params, set }) {
  const { router, peer, asn } = params;
  const path = '/v1/sessions' + query({ router, peer, asn, limit: 10000 });
  const list = useApi(path, 10000);
  const rows = (list.data?.rows || []).filter((p) => !params.state || p.state === params.state);
  const one = peer && rows.length > 0;
  return html`<h1>Sessions</h1>
    <${Fields} fields=${fields} params=${params} onSubmit=${(v) => set(v)} />
    <${Failure} error=${list.error} />
    ${list.data && html`<${Table} rows=${rows} more=${list.data.more} empty=${html`<${Empty} title="No such session.">See <code>ribtap peers</code>, or clear the fields.</${Empty}>`} onRow=${(p) => set({ router: p.router, peer: p.peer_address })} columns=${[
      { head: 'Router', of: (p) => p.router },
      { head: 'Peer', of: (p) => p.peer_address, mono: true },
      { head: 'AS', of: (p) => p.peer_asn, show: (p) => html`<${AS} n=${p.peer_asn} />` },
      { head: 'State', of: (p) => p.state, show: (p) => html`<${State} of=${p.state} />` },
      { head: 'Since', of: (p) => p.since, show: (p) => html`<${Time} at=${p.since} />` },
      { head: 'RIBs', of: (p) => p.ribs },
      { head: 'Table', of: (p) => p.table_name },
      { head: 'Ups', of: (p) => p.epoch, num: true },
      { head: 'Hold', of: (p) => p.hold_time, num: true },
      { head: 'Reason', of: (p) => p.reason, long: true },
    ]} />`}
    <${Copy} command=${'ribtap peers' + (router ? ' --router ' + router : '') + (peer ? ' --peer ' + peer : '')} url=${path} />
    ${one && rows.slice(0, 3).map((p) => html`<${Capabilities} peer=${p} />`)}
    ${one && html`<${Counters} router=${router} peer=${peer} /><${Past} router=${router} peer=${peer} />`}
    ${!one && html`<h2>Over time</h2><${Strips} params=${params} set=${set} router=${router} />`}`;
}

function Capabilities({ peer }) {
  const words = (t) => new Set((t || '').split(', ').filter(Boolean));
  const sent = words(peer.sent_capabilities), received = words(peer.received_capabilities);
  if (sent.size + received.size === 0) return null;
  const all = [...new Set([...sent, ...received])].sort().map((name) => ({ name, sent: sent.has(name), received: received.has(name) }));
  return html`<h2>Capabilities <span class="dim">${peer.local_address || ''} AS ${peer.local_asn ?? '–'} to ${peer.peer_address}, BGP identifier ${peer.peer_bgp_id || '–'}</span></h2>
    <${Table} rows=${all} columns=${[
      { head: 'Capability', of: (c) => c.name, mono: true }, { head: 'Router sent', of: (c) => (c.sent ? 'yes' : '–') }, { head: 'Router received', of: (c) => (c.received ? 'yes' : '–') },
      { head: '', of: (c) => (c.sent && c.received ? 'both' : 'one side') },
    ]} />`;
}

/** Statistics reports as small plots, a line a counter. */
function Counters({ router, peer }) {
  const past = useApi('/v1/stats-history' + query({ router, peer, from: '-24h', newest: true, limit: 10000 }));
  const rows = past.data?.rows || [];
  const byName = new Map();
  for (const r of [...rows].reverse()) {
    const k = `${r.name || 'type ' + r.type}${r.family ? ' ' + r.family : ''}`;
    byName.set(k, [...(byName.get(k) || []), r]);
  }
  return html`<h2>Statistics reports, the last day</h2>
    <${Failure} error=${past.error} />
    ${past.data && byName.size === 0 && html`<${Empty} title="No report yet.">Routers send them if they are told to: <code>bmp stats interval</code>.</${Empty}>`}
    ${[...byName].map(([name, list]) => html`<div class="row"><span style=${{ minWidth: '22rem' }}>${name}</span><b>${count(list.at(-1).value)}</b></div>
      ${list.length > 1 && html`<${Plot} height=${70} at=${list.map((r) => Date.parse(r.received_at) / 1000)} series=${[{ label: name, values: list.map((r) => r.value), stroke: '--link' }]} />`}`)}`;
}

function Past({ router, peer }) {
  const past = useApi('/v1/session-history' + query({ router, peer, newest: true, limit: 500 }), 10000);
  return html`<h2>Ups and downs</h2><${Failure} error=${past.error} />
    ${past.data && html`<${Table} rows=${past.data.rows} more=${past.data.more} columns=${[
      { head: 'Received', of: (e) => e.received_at, show: (e) => html`<${Time} at=${e.received_at} ms />` },
      { head: 'Event', of: (e) => e.event, show: (e) => html`<${State} of=${e.event} />` },
      { head: 'Cause', of: (e) => e.cause }, { head: 'Reason', of: (e) => e.reason, long: true },
      { head: 'NOTIFICATION', of: (e) => e.notification, long: true }, { head: 'Up number', of: (e) => e.epoch, num: true },
      { head: 'Seen or concluded', of: (e) => (e.inferred ? 'concluded' : 'seen') },
    ]} />`}`;
}
