package historytest

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
)

// A large history is of some peers that announce the same table on the first of
// some days; the rest are changes of it.
const (
	ChurnPeers = 4
	ChurnDays  = 5
)

// Churn makes the events of a large history. The same number of rows gives the
// same events.
type Churn struct {
	Table *Table
	Peers []*event.Peer
	Rows  int // how many changes in all
	Made  int // so far

	start event.Time
	rng   *rand.Rand
	seq   uint64
	view  bgp.Update
}

// NewChurn makes a history of so many rows that begins at a time.
func NewChurn(rows int, start event.Time) *Churn {
	g := &Churn{Table: NewTable(min(1_230_000, rows/(2*ChurnPeers)), 1), Rows: rows, start: start, rng: rand.New(rand.NewPCG(7, 7))}
	for i := range ChurnPeers {
		p := *Peer
		p.Address = netip.AddrFrom4([4]byte{198, 51, 100, byte(1 + i)})
		g.Peers = append(g.Peers, &p)
	}
	return g
}

// Busy returns the prefixes that half of all changes are of.
func (g *Churn) Busy() []netip.Prefix {
	var out []netip.Prefix
	for _, pdu := range g.Table.Updates[:len(g.Table.Updates)/50+1] {
		out = append(out, g.prefixes(pdu)...)
	}
	return out
}

// At is when the change of a number was received.
func (g *Churn) At(n int) event.Time {
	return g.start + event.Time(float64(ChurnDays*24*time.Hour)*float64(n)/float64(g.Rows))
}

// Continue makes the events behind a sequence without an end.
func (g *Churn) Continue(last uint64) {
	g.Rows, g.Made = 1<<62, 0
	g.seq = max(last, uint64(ChurnPeers*len(g.Table.Updates)))
}

// Next is a batch of about n changes: the table of each peer, then changes of
// updates of the table, most of them of a few, one in ten a withdrawal.
func (g *Churn) Next(n int) []event.Event {
	var out []event.Event
	for rows := 0; rows < n && g.Made < g.Rows; {
		updates := len(g.Table.Updates)
		i := int(g.seq)
		peer, pdu := g.Peers[i/updates%ChurnPeers], []byte(nil)
		if i < ChurnPeers*updates {
			i %= updates
			pdu = g.Table.Updates[i]
		} else {
			peer = g.Peers[g.rng.IntN(ChurnPeers)]
			if i = g.rng.IntN(updates); g.rng.IntN(2) == 0 {
				i %= updates/50 + 1
			}
			pdu = g.change(g.Table.Updates[i])
		}
		g.seq++
		e := RouteEvent(g.seq, pdu)
		e.Peer, e.Received = peer, g.At(g.Made)
		e.Observed = e.Received - 1500*1000
		e.Marks = slices.Repeat(Changed, g.Table.Counts[i])
		rows += g.Table.Counts[i]
		g.Made += g.Table.Counts[i]
		out = append(out, e)
	}
	return out
}

func (g *Churn) change(pdu []byte) []byte {
	list := g.prefixes(pdu)
	if g.rng.IntN(10) == 0 {
		return Withdraw(list...)
	}
	if g.rng.IntN(3) == 0 {
		return pdu // comes back
	}
	return Announce(Attributes([]uint32{65001, 1 + g.rng.Uint32N(500), 1 + g.rng.Uint32N(80_000)}, Communities(g.rng.Uint32N(64))), list...)
}

func (g *Churn) prefixes(pdu []byte) (list []netip.Prefix) {
	g.view.Parse(pdu, AS4)
	for it := g.view.Routes(); it.Next(); {
		list = append(list, it.Route().NLRI.Prefix)
	}
	return list
}
