package collector

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker"
)

// modelNeighbour is what a neighbour has said, and what of it RFC 4724, 7313 and
// 9494 let a receiver hold: a route, and whether it is stale. It is written to be
// obvious, not fast, and knows one family.
type modelNeighbour struct {
	*fakeNeighbour
	rng     *rand.Rand
	table   map[string]uint32 // the neighbour's own routes: prefix to MED
	held    map[string]bool   // prefix to stale
	state   string            // "down", "kept", "up"
	resync  bool              // stale routes wait for End-of-RIB
	eor     bool
	refresh bool
	until   time.Time // kept ends
	long    bool      // long-lived restart is settled
	longEnd time.Time // and ends; zero while its time does not run
	overdue bool      // it ended in a session that had not said all
}

func (m *modelNeighbour) prefix() string { return fmt.Sprintf("10.0.%d.0/24", m.rng.IntN(30)) }

// say announces a route, as it is or changed.
func (m *modelNeighbour) say(prefix string) {
	if m.rng.IntN(3) == 0 {
		m.table[prefix] = m.rng.Uint32N(3)
	}
	m.send(updateMessage(m.table[prefix], nil, "+"+prefix))
	m.held[prefix] = false
}

func (m *modelNeighbour) sweep() {
	for p, stale := range m.held {
		if stale {
			delete(m.held, p)
		}
	}
}

// allStale reports whether there are routes, and none of them came again.
func (m *modelNeighbour) allStale() bool {
	for _, stale := range m.held {
		if !stale {
			return false
		}
	}
	return len(m.held) > 0
}

func (m *modelNeighbour) mark() {
	for p := range m.held {
		m.held[p] = true
	}
}

// step does one thing that the neighbour, the network or time may do.
func (m *modelNeighbour) step() {
	if m.state != "up" {
		m.absent()
		return
	}
	defer m.ranOut()
	switch m.rng.IntN(20) {
	case 0:
		m.lose()
	case 1:
		m.notified(bgp.ErrorCease, bgp.CeaseHardReset)
		m.state, m.resync, m.refresh = "down", false, false
		clear(m.held)
	case 2:
		m.send(eorOf(bgp.IPv4Unicast))
		// One before any route is a hint, for a time that is longer than this test.
		m.overdue = false
		if m.eor = true; m.resync && !m.allStale() {
			m.resync = false
			m.sweep()
		}
	case 3:
		m.send(refreshOf(bgp.IPv4Unicast, bgp.RefreshBegin))
		if m.eor {
			m.refresh, m.resync = true, false
			m.mark()
		}
	case 4:
		m.send(refreshOf(bgp.IPv4Unicast, bgp.RefreshEnd))
		if m.refresh {
			m.refresh = false
			m.sweep()
		}
	case 5:
		time.Sleep(time.Duration(m.rng.IntN(5)) * time.Second)
	case 6, 7, 8:
		p := m.prefix()
		delete(m.table, p)
		delete(m.held, p)
		m.send(update4("-" + p))
	default:
		m.say(m.prefix())
	}
}

func (m *modelNeighbour) lose() {
	if m.resync && !m.long {
		m.sweep()
	}
	m.lost()
	m.refresh = false
	m.mark()
	if m.overdue {
		clear(m.held)
	}
	if len(m.held) == 0 {
		m.state, m.resync = "down", false
		return
	}
	m.state = "kept"
	m.until = time.Now().Add(60 * time.Second)
	switch {
	case m.resync && !m.longEnd.IsZero(): // it goes on
		if m.longEnd.Before(m.until) {
			m.until = m.longEnd
		}
	case m.long:
		m.longEnd = m.until.Add(240 * time.Second)
	default:
		m.longEnd = m.until
	}
	m.resync = false
}

// ranOut is the end of the long-lived stale time in a session, unless End-of-RIB
// was before it.
func (m *modelNeighbour) ranOut() {
	if m.state == "up" && m.resync && !m.longEnd.IsZero() && past(m.longEnd) {
		m.resync, m.overdue = false, !m.eor
		m.sweep()
	}
}

// past reports whether the collector, which looks once a second, has seen t pass.
func past(t time.Time) bool { return !time.Now().Truncate(time.Second).Before(t) }

// absent is a step of a neighbour without a session.
func (m *modelNeighbour) absent() {
	switch m.rng.IntN(3) {
	case 0:
		time.Sleep(time.Duration(m.rng.IntN(200)) * time.Second)
		time.Sleep(1500 * time.Millisecond)
		if m.state == "kept" && past(m.until) && past(m.longEnd) {
			m.state = "down"
			clear(m.held)
		}
	case 1:
		preserved := m.rng.IntN(3) > 0
		m.long = m.rng.IntN(2) == 0
		graceful(60, preserved, true)(m.fakeNeighbour)
		m.received.LLGR = nil
		if m.long {
			longLivedOf(240, preserved)(m.fakeNeighbour)
		}
		wasLong := m.state == "kept" && past(m.until)
		m.up()
		if m.state == "kept" && (!preserved || wasLong && !m.long) {
			clear(m.held)
		}
		m.state, m.eor, m.refresh, m.overdue = "up", false, false, false
		m.resync = len(m.held) > 0
		if !wasLong {
			m.longEnd = time.Time{} // only the restart time was running
		}
	}
}

// TestBGPModel: whatever happens in whichever order, the RIB holds what the
// model holds, a reader of the stream takes it for the same, and so does a
// collector that begins with the stream.
func TestBGPModel(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				sp := newSpeaker(t, nil, func(c *Config) { c.SweepCap, c.SweepQuiet = 24*time.Hour, 24*time.Hour })
				m := &modelNeighbour{
					fakeNeighbour: sp.neighbour(peerA), rng: rand.New(rand.NewPCG(seed, 4724)),
					table: map[string]uint32{}, held: map[string]bool{}, state: "down",
				}
				for i := range 400 {
					m.step()
					synctest.Wait()
					if diff := cmp.Diff(m.want(), sp.rib()); diff != "" {
						t.Fatalf("step %d: RIB state (-model +held):\n%s\n%v", i, diff, tail(sp.rec.take()))
					}
					if i%50 != 49 {
						continue
					}
					if diff := cmp.Diff(sp.rec.told(), sp.rib()); diff != "" {
						t.Fatalf("step %d: RIB state (-told +held):\n%s", i, diff)
					}
				}
				m.unchanged(t)
				if m.state == "up" {
					m.down(speaker.Down{Stop: true})
				}
				before := sp.rib()
				sp.stop()
				if diff := cmp.Diff(before, newSpeaker(t, sp.rec).rib()); diff != "" {
					t.Errorf("RIB state (-before +after a restart):\n%s", diff)
				}
			})
		})
	}
}

func tail(lines []string) string { return strings.Join(lines[max(0, len(lines)-20):], "\n") }

func (m *modelNeighbour) want() (out []string) {
	for p := range m.held {
		out = append(out, peerA+" "+p)
	}
	slices.Sort(out)
	return out
}

// unchanged says the whole table again, twice: the second time nothing changes.
func (m *modelNeighbour) unchanged(t *testing.T) {
	t.Helper()
	for m.state != "up" {
		m.absent()
	}
	for range 2 {
		m.sp.rec.take()
		for p, med := range m.table {
			m.send(updateMessage(med, nil, "+"+p))
			m.held[p] = false
		}
	}
	for _, line := range m.sp.rec.take() {
		if len(line) > 1 && line[len(line)-2] == '/' && (line[len(line)-1] == 'c' || line[len(line)-1] == 's') {
			t.Errorf("said again: %s", line)
		}
	}
}
