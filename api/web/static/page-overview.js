import { count, Empty, Failure, html, octets, Plot, query, State, Table, Time, useApi } from '/lib.js';
import { Strips } from '/strips.js';

export function Overview({ params, set }) {
  const status = useApi('/v1/status', 5000);
  const activity = useApi('/v1/activity', 10000);
  const routers = useApi('/v1/routers', 10000);
  if (status.error && !status.data) return html`<${Failure} error=${status.error} />`;
  const s = status.data;
  if (!s) return html`<p class="dim">…</p>`;
  const lag = Math.max(0, ...s.sinks.map((k) => k.lag_events));
  const beats = activity.data?.rows || [];
  const at = beats.map((b) => b.at);
  return html`<h1>${s.collector}</h1>
    <${Failure} error=${status.error} />
    ${s.stream.error && html`<p class="error" role="alert">The stream takes nothing: ${s.stream.error}</p>`}
    <div class="tiles">
      <div class="tile">Routers<b>${count(s.routers)}</b></div>
      <div class="tile">Peers up<b>${count(s.peers_up)}</b></div>
      <div class="tile">Routes<b>${count(s.routes)}</b></div>
      <div class="tile">Events<b>${count(s.stream.last_sequence)}</b></div>
      <div class="tile">Events a second<b>${count(beats.at(-1)?.events ?? 0)}</b></div>
      <div class="tile">Sink lag<b class=${lag > 10000 ? 'down' : ''}>${count(lag)}</b></div>
      <div class="tile">Gaps<b class=${s.gaps ? 'down' : ''}>${count(s.gaps)}</b></div>
      <div class="tile">Stream<b>${octets(s.stream.bytes)}</b></div>
    </div>
    ${s.routers === 0 && html`<${NoRouter} />`}
    <h2>Events a second, the last day <span class="dim">(since the start at most)</span></h2>
    <${Plot} at=${at} series=${[{ label: 'events/s', values: beats.map((b) => b.events), stroke: '--link' }]} />
    <h2>Routes</h2>
    <${Plot} at=${at} height=${100} series=${[{ label: 'routes', values: beats.map((b) => b.routes), stroke: '--up' }]} />
    <h2>Routers</h2>
    <${Failure} error=${routers.error} />
    ${routers.data && html`<${Table} rows=${routers.data.rows} more=${routers.data.more} columns=${[
      { head: 'Router', of: (r) => r.router, show: (r) => html`<a href=${'/sessions' + query({ router: r.router })}>${r.router}</a>` },
      { head: 'Address', of: (r) => r.router_address, mono: true },
      { head: 'State', of: (r) => r.state, show: (r) => html`<${State} of=${r.state} />` },
      { head: 'Since', of: (r) => r.since, show: (r) => html`<${Time} at=${r.since} />` },
      { head: 'Peers', of: (r) => r.peers, num: true }, { head: 'Up', of: (r) => r.peers_up, num: true },
      { head: 'Says of itself', of: (r) => r.sys_descr, long: true }, { head: 'Reason', of: (r) => r.reason, long: true },
    ]} />`}
    <h2>Sessions</h2>
    <${Strips} params=${params} set=${set} />
    <h2>Sinks</h2>
    <${Sinks} sinks=${s.sinks} />`;
}

export const Sinks = ({ sinks }) => html`<${Table} rows=${sinks} empty=${html`<${Empty} title="No sink is enabled.">Events are in the stream alone.</${Empty}>`} columns=${[
  { head: 'Sink', of: (k) => k.name },
  { head: 'State', of: (k) => k.healthy, show: (k) => html`<${State} of=${k.healthy ? 'up' : 'down'} />` },
  { head: 'Has all up to', of: (k) => k.committed_sequence, num: true },
  { head: 'Behind by', of: (k) => k.lag_events, num: true },
  { head: 'Seconds', of: (k) => k.lag_seconds, num: true },
  { head: 'Last error', of: (k) => k.last_error, long: true, show: (k) => k.last_error || '–' },
]} />`;

function NoRouter() {
  const config = useApi('/v1/config');
  const listen = config.data?.keys.find((k) => k.key === 'bmp.listen')?.value?.[0] || '127.0.0.1:11019';
  const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(listen) || [];
  return html`<${Empty} title="No router has connected yet.">Point one here, for example FRRouting (<code>ribtap snippet</code> has other vendors):
    <pre>${`router bgp 64512\n bmp targets ribtap\n  bmp connect ${host} port ${port} min-retry 1000 max-retry 10000\n  bmp monitor ipv4 unicast pre-policy\n  bmp monitor ipv6 unicast pre-policy`}</pre>
    Without one: <code>ribtap demo</code>, or <code>ribtap import FILE</code>.</${Empty}>`;
}
