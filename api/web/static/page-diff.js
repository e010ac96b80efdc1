import { Copy, count, Empty, Failure, Fields, flags, html, Path, picked, Prefix, query, ribs, Table, useApi } from '/lib.js';

const sides = ['at', 'to-at', 'to-rib', 'to-peer', 'to-router'];
const fields = [
  ['prefix', 'Prefix'], ['match', 'Match', ['', 'exact', 'longer']], ['family', 'Family'], ['router', 'Router'], ['to-router', 'other router'], ['peer', 'Peer'], ['to-peer', 'other peer'],
  ['rib', 'RIB', ribs], ['to-rib', 'other RIB', ribs], ['at', 'Time'], ['to-at', 'other time'],
];

export function Diff({ params, set }) {
  const asked = sides.some((s) => params[s]);
  const path = asked && '/v1/diff' + query({ ...picked(params), ...picked(params, sides), limit: 10000 });
  const diff = useApi(path);
  const rows = diff.data?.rows || [];
  const n = (change) => rows.filter((r) => r.change === change).length;
  return html`<h1>Diff</h1>
    <${Fields} fields=${fields} params=${params} onSubmit=${(v) => set(v)} />
    ${!asked && html`<${Empty} title="Compare two times, two RIBs, two peers or two routers.">
      <p><a href="/diff?at=-1h">now and an hour ago</a> · <a href="/diff?rib=adj-rib-in-pre&to-rib=adj-rib-in-post">what policy does: before and behind it</a></p></${Empty}>`}
    <${Failure} error=${diff.error} />
    ${asked && diff.loading && html`<p class="dim">Both sides are read …</p>`}
    ${diff.data && html`<div class="tiles"><div class="tile">Added<b class="up">${count(n('added'))}</b></div><div class="tile">Removed<b class="down">${count(n('removed'))}</b></div><div class="tile">Changed<b>${count(n('changed'))}</b></div></div>
      <h2>Differences</h2>
      <${Table} rows=${rows.slice(0, 1000)} more=${diff.data.more || rows.length > 1000} empty=${html`<${Empty} title="Both sides are alike."></${Empty}>`} columns=${[
        { head: 'Change', of: (r) => r.change, show: (r) => html`<span class=${{ added: 'up', removed: 'down' }[r.change] || ''}>${r.change}</span>` },
        { head: 'Prefix', of: (r) => r.prefix, show: (r) => html`<${Prefix} of=${r.prefix} />` },
        { head: 'Router', of: (r) => r.router }, { head: 'Peer', of: (r) => r.peer_address, mono: true }, { head: 'RIB', of: (r) => r.rib },
        { head: 'Differs in', of: (r) => (r.differs || []).join(', ') },
        { head: 'Old path', of: (r) => r.old_as_path, long: true, show: (r) => html`<${Path} path=${r.old_as_path} />` },
        { head: 'New path', of: (r) => r.new_as_path, long: true, show: (r) => html`<${Path} path=${r.new_as_path} old=${r.old_as_path ?? undefined} />` },
      ]} />`}
    ${asked && html`<${Copy} command=${`ribtap diff ${params.prefix || ''}${flags(params)}${flags(params, sides)}`} url=${path} />`}`;
}
