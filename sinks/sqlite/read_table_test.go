package sqlite_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history/historytest"
	"github.com/ribtap/ribtap/sinks/sqlite"
)

// What Routes says of a time is what the rows of the history up to it say, however
// it is found: by one search for each NLRI and speaker where that is enough, row by
// row where a route had path identifiers or came late, by one connection or several.
func TestRoutesAtATime(t *testing.T) {
	const n = 150
	for _, kind := range []string{"plain", "paths", "late", "clock"} {
		for _, stretch := range []int{n + 100, 50} {
			t.Run(fmt.Sprintf("%s-%d", kind, stretch), func(t *testing.T) {
				s := churnedStore(t, kind, n)
				r := s.reader()
				r.Stretch(stretch)
				changes := all(t, r.History(t.Context(), sqlite.Query{}))
				first, last := changes[0].ReceivedAt, changes[0].ReceivedAt
				for _, c := range changes {
					first, last = min(first, c.ReceivedAt), max(last, c.ReceivedAt)
				}
				for _, q := range []sqlite.Query{
					{},
					{Peer: netip.MustParseAddr("198.51.100.2")},
					{Peer: netip.MustParseAddr("198.51.100.2"), ASN: 65001},
					{Peer: netip.MustParseAddr("198.51.100.3"), OriginAS: 7},
					{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Match: sqlite.MatchLonger},
					{Family: bgp.IPv6Unicast},
				} {
					for i := range 3 {
						q.At = (first + (last-first)*sqlite.Time(i)/2).Std()
						same(t, keys(all(t, r.Routes(t.Context(), q))), modelAt(changes, q))
					}
				}
			})
		}
	}
}

// churnedStore has a table from three peers and changes of it. The second peer
// comes back with another AS number half-way.
func churnedStore(t *testing.T, kind string, n int) *store {
	s := newStore(t)
	rng := rand.New(rand.NewPCG(uint64(n), 3))
	table := newTable(n, 1)
	at, seq := t0, uint64(0)
	say := func(peer int, later bool, pdu []byte) event.Event {
		seq++
		at += second
		e := routeEvent(seq, pdu)
		p := *testPeer
		p.Address = netip.AddrFrom4([4]byte{198, 51, 100, byte(1 + peer)})
		if later && peer == 1 {
			p.ASN = 65009
		}
		e.Peer, e.Received, e.Observed = &p, at, at
		return e
	}
	var batch []event.Event
	for peer := range 3 {
		for _, pdu := range table.Updates {
			batch = append(batch, say(peer, false, pdu))
		}
	}
	for i := range n / 2 {
		p := table.Prefixes[rng.IntN(n)]
		pdu := withdraw(p)
		if rng.IntN(3) > 0 {
			pdu = announce(attributes([]uint32{65001, 1 + rng.Uint32N(9)}), p)
		}
		e := say(rng.IntN(3), i > n/4, pdu)
		switch {
		case kind == "paths" && rng.IntN(3) == 0:
			q := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(rng.IntN(4)), 0, 0}), 16)
			b := []byte{0, 0, 0, byte(rng.IntN(3))}
			b = historytest.AppendPrefix(b, q)
			e.PDU = updateMessage(nil, append(attributes([]uint32{65001, 1 + rng.Uint32N(9)}), attribute(0x40, 3, []byte{198, 51, 100, 1})...), b)
			if rng.IntN(3) == 0 {
				e.PDU = updateMessage(b, nil, nil)
			}
			e.Session.AddPath = e.Session.AddPath.With(bgp.IPv4Unicast)
		case kind == "late" && rng.IntN(3) == 0:
			e.Source, e.Received = event.SourceMRT, t0+event.Time(rng.Int64N(int64(at-t0)))
		case kind == "clock" && i%50 < 5:
			e.Received -= 60 * second
		}
		batch = append(batch, e)
	}
	for part := range slices.Chunk(batch, 1000) {
		s.write(part...)
	}
	return s
}

// keys names routes by all that decides between them, sorted.
func keys(routes []sqlite.Route) (out []string) {
	for _, r := range routes {
		out = append(out, fmt.Sprintf("%s %d.%d %s", keyOf(&r.RouteKey), r.Sequence, r.Position, *r.ASPath))
	}
	slices.Sort(out)
	return out
}

func keyOf(k *sqlite.RouteKey) string {
	id := "-"
	if k.PathID != nil {
		id = fmt.Sprint(*k.PathID)
	}
	return *k.PeerAddress + " " + k.Family + " " + k.Prefix + " " + id
}

// modelAt is what a query gives, from all changes.
func modelAt(changes []sqlite.Change, q sqlite.Query) (out []string) {
	last := map[string]*sqlite.Change{}
	for i := range changes {
		c := &changes[i]
		p := netip.MustParsePrefix(c.Prefix)
		if c.ReceivedAt.Std().After(q.At) || q.Peer.IsValid() && *c.PeerAddress != q.Peer.String() ||
			q.Family != 0 && c.Family != q.Family.String() || q.Prefix.IsValid() && (!q.Prefix.Overlaps(p) || p.Bits() < q.Prefix.Bits()) {
			continue
		}
		old := last[keyOf(&c.RouteKey)]
		if old == nil || cmp.Or(cmp.Compare(c.ReceivedAt, old.ReceivedAt), cmp.Compare(c.Sequence, old.Sequence), cmp.Compare(c.Position, old.Position)) > 0 {
			last[keyOf(&c.RouteKey)] = c
		}
	}
	for k, c := range last {
		if c.Action == "withdraw" || q.ASN != 0 && c.PeerASN != q.ASN || q.OriginAS != 0 && *c.OriginAS != q.OriginAS {
			continue
		}
		out = append(out, fmt.Sprintf("%s %d.%d %s", k, c.Sequence, c.Position, *c.ASPath))
	}
	slices.Sort(out)
	return out
}

// Routes and changes of an origin are those of all that have it.
func TestOfAnOrigin(t *testing.T) {
	s := churnedStore(t, "paths", 300)
	r := s.reader()
	r.Stretch(50)
	of := func(routes []sqlite.Route, changes []sqlite.Change) (out []string) {
		for _, k := range routes {
			if k.OriginAS != nil && *k.OriginAS == 7 {
				out = append(out, fmt.Sprint(k.Sequence, k.Position, " now"))
			}
		}
		for _, k := range changes {
			if k.OriginAS != nil && *k.OriginAS == 7 {
				out = append(out, fmt.Sprint(k.Sequence, k.Position))
			}
		}
		return out
	}
	q := sqlite.Query{OriginAS: 7}
	want := of(all(t, r.Routes(t.Context(), sqlite.Query{})), all(t, r.History(t.Context(), sqlite.Query{})))
	if len(want) < 10 {
		t.Fatalf("only %d", len(want))
	}
	got := of(all(t, r.Routes(t.Context(), q)), all(t, r.History(t.Context(), q)))
	same(t, got, want)
	q.From = after(10)
	if n, all := len(all(t, r.History(t.Context(), q))), len(of(nil, all(t, r.History(t.Context(), sqlite.Query{From: after(10)})))); n != all || n == 0 {
		t.Errorf("%d changes in a window, want %d", n, all)
	}
}

// A reader that stops or whose context ends in the middle of a table leaves
// nothing behind: the next one finds all of it, in the same order.
func TestWholeTableStops(t *testing.T) {
	s := churnedStore(t, "plain", 600)
	r := s.reader()
	r.Stretch(100)
	want := all(t, r.Routes(t.Context(), sqlite.Query{}))
	for _, stop := range []int{1, 300, len(want) - 1} {
		n := 0
		for _, err := range r.Routes(t.Context(), sqlite.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == stop {
				break
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		n = 0
		var failed error
		for _, err := range r.Routes(ctx, sqlite.Query{}) {
			if failed = err; err != nil {
				break
			}
			if n++; n == stop {
				cancel()
			}
		}
		cancel()
		if stop < len(want)/2 && !errors.Is(failed, context.Canceled) {
			t.Errorf("cancelled at %d: %d routes, %v", stop, n, failed)
		}
		same(t, keys(all(t, r.Routes(t.Context(), sqlite.Query{}))), keys(want))
	}
}

// Connections that do not see the same state of the store do not read together.
func TestReadersSeeOneState(t *testing.T) {
	s := newStore(t)
	s.write(routeEvent(0, announce(attributes([]uint32{65001}), prefixes("10.0.0.0/8")...)))
	r := s.reader()
	for _, c := range []struct {
		between func()
		want    int
	}{
		{func() {}, 2},
		{func() { s.write(routeEvent(0, withdraw(prefixes("10.0.0.0/8")...))) }, 1},
	} {
		if same, err := r.Begin(t.Context(), c.between); same != c.want || err != nil {
			t.Errorf("%d connections see the same, want %d; %v", same, c.want, err)
		}
	}
}

// What several connections read while a sink writes is of one state: all routes
// change with each commit, so two states would differ in all.
func TestWholeTableWhileWriting(t *testing.T) {
	const n = 500
	s := newStore(t)
	table := newTable(n, 1)
	write := func() {
		var batch []event.Event
		for _, pdu := range table.Updates {
			batch = append(batch, routeEvent(0, pdu))
		}
		s.write(batch...)
	}
	write()
	r := s.reader()
	r.Stretch(50)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 30 {
			write()
		}
	}()
	for range 30 {
		count := 0
		var low, high uint64 = 1 << 62, 0
		for _, route := range all(t, r.Routes(t.Context(), sqlite.Query{})) {
			low, high = min(low, route.Sequence), max(high, route.Sequence)
			count++
		}
		if high-low != uint64(len(table.Updates)-1) || count != n {
			t.Errorf("%d routes of the events %d to %d; one state has those of %d", count, low, high, len(table.Updates))
		}
	}
	<-done
}
