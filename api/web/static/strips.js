// The session strip chart: a row a peer, up, down or no data over time.
import { AS, Empty, Failure, html, iso, query, State, time, useApi } from '/lib.js';

const spans = { '1h': 3600e3, '24h': 86400e3, '7d': 7 * 86400e3, '30d': 30 * 86400e3 };
const shownMost = 200;
const key = (r) => [r.router, r.peer_address, r.peer_distinguisher, r.peer_asn].join('|');

/** The stretches of one state that a peer's events make between two times. */
export function stretches(events, now, begin, end) {
  const out = [];
  let state = 'none', since = begin, why = '';
  const close = (to) => { if (to > since) out.push({ state, from: since, to, why }); };
  for (const e of events) {
    const at = Math.max(begin, Date.parse(e.received_at));
    if (e.event === 'state') continue;
    // The down of a peer that was up, without that up, ends a time that began before
    // the window. Routers also send downs of peers that never were up.
    if (state === 'none' && e.event === 'down' && e.epoch) state = 'up';
    close(at);
    [state, since, why] = [e.event, at, e.event === 'down' ? e.reason || e.notification || e.cause : ''];
  }
  if (events.length === 0 && now.since && now.state !== 'unknown') {
    const from = Date.parse(now.since);
    if (from > since) { close(from); since = from; }
    [state, why] = [now.state, now.reason || ''];
  }
  close(end);
  return out;
}

function Strip({ events, now, begin, end }) {
  const x = (t) => (1000 * (t - begin)) / (end - begin);
  return html`<svg class="strip" viewBox="0 0 1000 14" preserveAspectRatio="none" role="img" aria-label=${'sessions of ' + now.peer_address}>
    ${stretches(events, now, begin, end).map((s) => html`<rect class=${s.state} x=${x(s.from)} width=${Math.max(x(s.to) - x(s.from), 1)} y=${s.state === 'down' ? 5 : 1} height=${s.state === 'down' ? 8 : 12}>
      <title>${`${s.state === 'none' ? 'no data' : s.state} ${time(iso(s.from))} to ${time(iso(s.to))}${s.why ? ': ' + s.why : ''}`}</title></rect>`)}</svg>`;
}

export function Strips({ params, set, router }) {
  const span = spans[params.span] ? params.span : '24h';
  const peers = useApi('/v1/sessions' + query({ router, limit: 1000 }), 10000);
  const events = useApi('/v1/session-history' + query({ router, from: '-' + span, limit: 10000 }), 10000);
  if (peers.error || events.error) return html`<${Failure} error=${peers.error || events.error} />`;
  if (!peers.data || !events.data) return html`<p class="dim">…</p>`;
  if (peers.data.rows.length === 0) return html`<${Empty} title="No peer has been heard of yet."></${Empty}>`;
  const byPeer = new Map();
  for (const e of events.data.rows) { const k = key(e); byPeer.set(k, [...(byPeer.get(k) || []), e]); }
  const end = Date.now(), begin = end - spans[span];
  // Those that were not up all the time first.
  const rows = [...peers.data.rows].sort((a, b) => (byPeer.get(key(b))?.length || 0) - (byPeer.get(key(a))?.length || 0));
  return html`<p class="row">${Object.keys(spans).map((s) => html`<button class="plain" aria-pressed=${s === span} onClick=${() => set({ span: s })}>${s === span ? html`<b>${s}</b>` : s}</button>`)}
      <span class="dim"><span class="up">■</span> up <span class="down">▄</span> down <span>▒</span> no data; times are UTC</span></p>
    <div class="scroll"><table class="strips"><tbody>${rows.slice(0, shownMost).map((p) => html`<tr>
      <td><a href=${'/sessions' + query({ router: p.router, peer: p.peer_address })}>${p.router} ${p.peer_address}</a></td>
      <td>AS <${AS} n=${p.peer_asn} /></td><td><${State} of=${p.state} /></td>
      <td><${Strip} events=${byPeer.get(key(p)) || []} now=${p} begin=${begin} end=${end} /></td></tr>`)}</tbody></table></div>
    ${rows.length > shownMost && html`<p class="dim">Showing ${shownMost} of ${rows.length} peers, those with the most changes first.</p>`}
    ${events.data.more && html`<p class="dim">There were more than 10,000 ups and downs; the strips show the first of them. Choose a shorter time.</p>`}`;
}
