import { AS, Copy, count, Empty, Failure, Fields, flags, html, iso, Path, picked, Prefix, query, request, ribs, Table, time, Time, useApi, useEffect, useState } from '/lib.js';

const fields = [
  ['prefix', 'Prefix, address or other NLRI', 'wide'], ['match', 'Match', ['', 'exact', 'longest', 'longer', 'shorter']], ['router', 'Router'], ['peer', 'Peer'],
  ['rib', 'RIB', ribs], ['from', 'Changes from'], ['at', 'Routes at'],
];

export function PrefixPage({ params, set }) {
  const filters = picked(params);
  const from = params.from || '-24h';
  const changes = useApi(params.prefix && '/v1/history' + query({ ...filters, from, newest: true, limit: 2000 }), params.at ? 0 : 5000);
  const path = params.prefix && '/v1/routes' + query({ ...filters, at: params.at });
  const routes = useApi(path, params.at ? 0 : 5000);
  const rows = changes.data ? [...changes.data.rows].reverse() : [];
  return html`<h1>Prefix ${params.prefix && html`<span class="mono">${params.prefix}</span>`}</h1>
    <${Fields} fields=${fields} params=${params} onSubmit=${(v) => set(v)} />
    ${!params.prefix && html`<${Empty} title="Which prefix?">A prefix is looked for as it is, an address by its longest match. Choose “longer” for all inside a prefix. Some that just changed:<${Recent} /></${Empty}>`}
    ${params.prefix && html`
      <${Slider} rows=${rows} from=${from} at=${params.at} set=${set} />
      <${Lanes} rows=${rows} at=${params.at} set=${set} />
      <h2>Routes ${params.at ? html`at <${Time} at=${params.at} ms />` : 'now'}</h2>
      <${Failure} error=${routes.error} />
      ${routes.data && html`<${Origins} rows=${routes.data.rows} /><${Validity} rows=${routes.data.rows} />
        <${Table} rows=${routes.data.rows} more=${routes.data.more} empty=${html`<${Empty} title="Nobody has a route to it.">${params.match === 'longer' ? '' : html`Look for <a href=${'/prefix' + query({ ...params, match: 'longer' })}>all inside it</a>, or for what <a href=${'/prefix' + query({ ...params, match: 'shorter' })}>covers it</a>.`}</${Empty}>`} columns=${routeColumns} />`}
      <${Copy} command=${`ribtap routes ${params.prefix}${flags(params)}${params.at ? ' --at ' + params.at : ''}`} url=${path} />
      <h2>Changes since ${from}</h2>
      <${Failure} error=${changes.error} />
      ${changes.data && html`<${ChangeTable} rows=${changes.data.rows} more=${changes.data.more} set=${set} />`}
      <${Copy} command=${`ribtap history ${params.prefix}${flags(params)} --from ${from}`} url=${'/v1/history' + query({ ...filters, from })} />`}`;
}

export const routeColumns = [
  { head: 'Prefix', of: (r) => r.prefix, show: (r) => html`<${Prefix} of=${r.prefix} />` },
  { head: 'Router', of: (r) => r.router }, { head: 'Peer', of: (r) => r.peer_address, mono: true },
  { head: 'AS', of: (r) => r.peer_asn, show: (r) => html`<${AS} n=${r.peer_asn} />` }, { head: 'RIB', of: (r) => r.rib },
  { head: 'AS path', of: (r) => r.as_path, long: true, show: (r) => html`<${Path} path=${r.as_path} />` },
  { head: 'Next hop', of: (r) => r.next_hop, mono: true }, { head: 'MED', of: (r) => r.med, num: true }, { head: 'Pref', of: (r) => r.local_pref, num: true },
  { head: 'Communities', of: (r) => r.communities, long: true, show: (r) => [r.communities, r.large_communities, r.ext_communities].filter(Boolean).join(' ') || '–' },
  { head: 'Flags', of: (r) => r.flags, show: (r) => (r.flags ? r.flags.split(' ').map((f) => html`<span class="tag">${f}</span> `) : '–') },
  { head: 'Since', of: (r) => r.since, show: (r) => html`<${Time} at=${r.since} />` },
];

const lane = (r) => `${r.router} ${r.peer_address} ${r.rib || ''}`;
/** Each change with the path that its route had before; rows are newest first. */
export function withBefore(rows) {
  const last = new Map();
  return [...rows].reverse().map((r) => { const k = `${lane(r)} ${r.prefix} ${r.path_id} ${r.rd}`; const old = last.get(k); last.set(k, r); return { ...r, before: old }; }).reverse();
}
function what(r) {
  if (r.action === 'withdraw') return r.cause === 'update' ? 'withdrawn' : `withdrawn: ${r.cause}`;
  if (!r.before || r.before.action === 'withdraw') return 'announced';
  if (r.before.origin_as !== r.origin_as) return 'another origin';
  if (r.before.as_path !== r.as_path) return 'another path';
  return 'attributes';
}

export function ChangeTable({ rows, more, set, fresh }) {
  return html`<${Table} rows=${withBefore(rows)} more=${more} rowClass=${(r) => (fresh?.has(r.sequence) ? 'new' : '')} empty=${html`<${Empty} title="No change in that time.">Try a longer one, such as -7d.</${Empty}>`} columns=${[
    { head: 'Received', of: (r) => r.sequence, show: (r) => html`<a href=${set ? query({ ...Object.fromEntries(new URLSearchParams(location.search)), at: r.received_at }) : '/prefix' + query({ prefix: r.prefix, at: r.received_at })} onClick=${set && ((e) => { e.preventDefault(); set({ at: r.received_at }); })}><${Time} at=${r.received_at} ms /></a>` },
    { head: 'Prefix', of: (r) => r.prefix, show: (r) => html`<${Prefix} of=${r.prefix} />` },
    { head: 'What', of: what, show: (r) => html`<span class=${r.action === 'withdraw' ? 'down' : 'up'}>${what(r)}</span>` },
    { head: 'Router', of: (r) => r.router }, { head: 'Peer', of: (r) => r.peer_address, mono: true }, { head: 'RIB', of: (r) => r.rib },
    { head: 'AS path', of: (r) => r.as_path, long: true, show: (r) => html`<${Path} path=${r.as_path} old=${r.before?.as_path ?? undefined} />` },
    { head: 'Next hop', of: (r) => r.next_hop, mono: true }, { head: 'MED', of: (r) => r.med, num: true }, { head: 'Pref', of: (r) => r.local_pref, num: true },
    { head: 'Communities', of: (r) => r.communities, long: true, show: (r) => r.communities || '–' },
  ]} />`;
}

/** What the validating caches say now of each origin of a prefix. */
function Validity({ rows }) {
  const pairs = [...new Set(rows.filter((r) => r.origin_as).map((r) => `${r.prefix} ${r.origin_as}`))].slice(0, 12);
  const [states, set] = useState({});
  const caches = useApi('/v1/rpki');
  const on = caches.data?.caches.length > 0;
  useEffect(() => {
    if (!on) return undefined;
    const abort = new AbortController();
    for (const p of pairs) {
      const [prefix, asn] = p.split(' ');
      request('/v1/validity' + query({ prefix, asn }), abort.signal).then((r) => r.json()).then((v) => set((old) => ({ ...old, [p]: v })), () => {});
    }
    return () => abort.abort();
  }, [on, pairs.join()]);
  if (!on || pairs.length === 0) return null;
  return html`<p class="row">RPKI now: ${pairs.map((p) => html`<span class=${'tag ' + ({ valid: 'up', invalid: 'down' }[states[p]?.validity] || '')} title=${(states[p]?.vrps || []).map((v) => `${v.prefix}-${v.max_length} AS ${v.asn}`).join('\n')}>${p.replace(' ', ' from AS ')}: ${states[p]?.validity || '…'}</span>`)}</p>`;
}

/** What share of those that have a route says which origin. */
function Origins({ rows }) {
  const by = new Map();
  for (const r of rows) by.set(r.origin_as, (by.get(r.origin_as) || 0) + 1);
  if (rows.length === 0) return null;
  return html`<p class="row">${count(rows.length)} routes; origin ${[...by].sort((a, b) => b[1] - a[1]).slice(0, 8).map(([asn, n]) => html`<span class="tag">AS <${AS} n=${asn} /> ${Math.round((100 * n) / rows.length)} %</span>`)}</p>`;
}

const relative = (from) => { const m = /^-(\d+)([smhd])$/.exec(from); return m ? Date.now() - m[1] * { s: 1e3, m: 6e4, h: 36e5, d: 864e5 }[m[2]] : Date.parse(from); };
function bounds(rows, from) {
  const end = Date.now();
  const begin = Math.min(relative(from) || end - 864e5, end - 1000);
  // Not a day of nothing in front of the first change.
  const first = rows.length ? Date.parse(rows[0].received_at) : begin;
  return [Math.max(begin, first - Math.max((end - first) / 20, 1000)), end];
}

function Slider({ rows, from, at, set }) {
  const [begin, end] = bounds(rows, from);
  const [value, setValue] = useState(null);
  useEffect(() => {
    if (value === null) return undefined;
    const t = setTimeout(() => set({ at: value >= end - 1000 ? '' : iso(value) }, true), 120);
    return () => clearTimeout(t);
  }, [value]);
  const now = value ?? (at ? Date.parse(at) : end);
  const step = (dir) => {
    const times = rows.map((r) => Date.parse(r.received_at));
    const next = dir > 0 ? times.find((t) => t > now) : times.findLast((t) => t < now - 1);
    if (next) setValue(next); else if (dir > 0) setValue(end);
  };
  return html`<div class="row"><button class="plain" title="the change before" onClick=${() => step(-1)}>◀</button>
    <label class="wide">State at ${at || value ? time(iso(now)) : 'now'} UTC<input type="range" id="at" min=${Math.floor(begin)} max=${Math.ceil(end)} step="1" value=${now} onInput=${(e) => setValue(Number(e.target.value))} /></label>
    <button class="plain" title="the change behind" onClick=${() => step(1)}>▶</button>
    <button class="plain" onClick=${() => { setValue(null); set({ at: '' }); }}>now</button></div>`;
}

/** A lane a peer and RIB with its announcements and withdrawals. */
function Lanes({ rows, at, set }) {
  if (rows.length === 0) return null;
  const lanes = [...new Set(rows.map(lane))];
  const shown = lanes.slice(0, 24);
  const [begin, end] = bounds(rows, iso(Date.parse(rows[0].received_at)));
  const left = 260, width = 1200, h = 18;
  const x = (t) => left + ((width - left - 10) * (t - begin)) / (end - begin);
  const ticks = Array.from({ length: 6 }, (_, i) => begin + ((end - begin) * i) / 5);
  const now = at ? Date.parse(at) : end;
  return html`<svg class="lanes" viewBox=${`0 0 ${width} ${shown.length * h + 22}`} role="img" aria-label="announcements and withdrawals over time">
    ${ticks.map((t, i) => html`<line x1=${x(t)} x2=${x(t)} y1="0" y2=${shown.length * h} /><text x=${x(t)} y=${shown.length * h + 15} text-anchor=${i === 5 ? 'end' : 'middle'}>${time(iso(t)).slice(5)}</text>`)}
    ${shown.map((l, i) => html`<text x="4" y=${i * h + 13}>${l}</text>`)}
    ${rows.filter((r) => shown.includes(lane(r))).map((r) => html`<rect class=${r.action} x=${x(Date.parse(r.received_at)) - 1.5} y=${shown.indexOf(lane(r)) * h + (r.action === 'withdraw' ? 9 : 3)} width="3" height=${r.action === 'withdraw' ? 8 : 12} onClick=${() => set({ at: r.received_at })}><title>${time(r.received_at)} ${r.action} ${r.as_path || r.cause}</title></rect>`)}
    <line class="now" x1=${x(now)} x2=${x(now)} y1="0" y2=${shown.length * h} /></svg>
    ${lanes.length > shown.length && html`<p class="dim">Showing ${shown.length} of ${lanes.length} lanes: name a router or a peer.</p>`}`;
}

function Recent() {
  const last = useApi('/v1/history' + query({ newest: true, limit: 200 }));
  const names = [...new Set((last.data?.rows || []).map((r) => r.prefix))].slice(0, 20);
  return html`<p>${names.map((p) => html`<${Prefix} of=${p} /> `)}</p>`;
}
