package collector

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/speaker"
)

// speakerRig is a rig whose collector has a BGP source, and a test that calls it
// as a speaker would.
type speakerRig struct {
	*rig
	src *BGP
}

var speakerID = netip.MustParseAddr("10.255.0.1")

func newSpeaker(t *testing.T, rec *recorder, change ...func(*Config)) *speakerRig {
	t.Helper()
	name := func(c *Config) { c.Speaker = SpeakerConfig{Name: "bgp", RouterID: speakerID} }
	r := newRig(t, rec, append([]func(*Config){name}, change...)...)
	sp := &speakerRig{rig: r, src: r.c.BGP()}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- sp.src.Run(ctx, func(ctx context.Context) error { <-ctx.Done(); return nil })
	}()
	stop := r.stop
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("BGP.Run: %v", err)
		}
		stop()
	})
	t.Cleanup(r.stop)
	synctest.Wait()
	return sp
}

// fakeNeighbour calls the source as a session with a neighbour would.
type fakeNeighbour struct {
	sp       *speakerRig
	addr     string
	sent     bgp.OpenParams
	received bgp.OpenParams
	limits   []speaker.PrefixLimit
	recv     speaker.Receiver
}

// neighbour is AS 65001 with IPv4 and IPv6 unicast; ours and its capabilities are
// those of the lab's daemons. change may alter both OPENs.
func (sp *speakerRig) neighbour(addr string, change ...func(n *fakeNeighbour)) *fakeNeighbour {
	families := []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast}
	n := &fakeNeighbour{sp: sp, addr: addr}
	n.sent = bgp.OpenParams{
		AS: 65000, HoldTime: 180, BGPID: speakerID, Families: families, AS4: true, RouteRefresh: true, EnhancedRefresh: true,
		ExtendedMessage: true, GracefulRestart: &bgp.GracefulRestartParams{Notification: true}, LLGR: []bgp.GracefulFamily{},
	}
	n.received = bgp.OpenParams{
		AS: 65001, HoldTime: 90, BGPID: netip.MustParseAddr("192.0.2.10"), Families: families, AS4: true, RouteRefresh: true, EnhancedRefresh: true,
	}
	for _, f := range change {
		f(n)
	}
	return n
}

// graceful gives the neighbour a graceful restart capability of its families.
func graceful(seconds uint16, forwarding, notification bool) func(*fakeNeighbour) {
	return func(n *fakeNeighbour) {
		gr := &bgp.GracefulRestartParams{Time: seconds, Notification: notification}
		for _, f := range n.received.Families {
			gr.Families = append(gr.Families, bgp.GracefulFamily{Family: f, Forwarding: forwarding})
		}
		n.received.GracefulRestart = gr
	}
}

// longLivedOf gives it a long-lived one of IPv4 unicast.
func longLivedOf(seconds uint32, forwarding bool) func(*fakeNeighbour) {
	return func(n *fakeNeighbour) {
		n.received.LLGR = []bgp.GracefulFamily{{Family: bgp.IPv4Unicast, Forwarding: forwarding, StaleTime: seconds}}
	}
}

// session is what the speaker would know of it.
func (n *fakeNeighbour) session() *speaker.Session {
	sent, received := bgp.AppendOpen(nil, n.sent), bgp.AppendOpen(nil, n.received)
	so, _ := bgp.ParseOpen(sent)
	ro, _ := bgp.ParseOpen(received)
	return &speaker.Session{
		Peer:  &speaker.Peer{Name: "test", MaxPrefixes: n.limits},
		Local: netip.MustParseAddrPort("192.0.2.1:179"), Remote: netip.AddrPortFrom(netip.MustParseAddr(n.addr), 40000),
		Sent: sent, Received: received, LocalASN: so.AS, RemoteASN: ro.AS, LocalID: so.BGPID, RemoteID: ro.BGPID,
		Families: bgp.AppendCommonFamilies(nil, &so, &ro), Receive: bgp.Receive(&so, &ro), Transmit: bgp.Transmit(&so, &ro),
		HoldTime: 90 * time.Second, Since: time.Now(),
	}
}

// up establishes a session.
func (n *fakeNeighbour) up(change ...func(n *fakeNeighbour)) {
	n.sp.t.Helper()
	for _, f := range change {
		f(n)
	}
	var err error
	if n.recv, err = n.sp.src.Up(n.sp.t.Context(), n.session()); err != nil {
		n.sp.t.Fatalf("Up: %v", err)
	}
}

// send brings messages that are read at once, trashing each as a reader's
// buffer would, and returns the first fault.
func (n *fakeNeighbour) send(messages ...[]byte) (fault *speaker.Fault) {
	n.sp.t.Helper()
	for _, m := range messages {
		buf := slices.Clone(m)
		fault = n.recv.Message(time.Now(), buf)
		clear(buf)
		if fault != nil {
			break
		}
	}
	if err := n.recv.Flush(n.sp.t.Context()); err != nil {
		n.sp.t.Errorf("Flush: %v", err)
	}
	return fault
}

func (n *fakeNeighbour) down(d speaker.Down) {
	n.sp.t.Helper()
	d.At = time.Now()
	if err := n.recv.Down(n.sp.t.Context(), d); err != nil {
		n.sp.t.Errorf("Down: %v", err)
	}
}

// lost is TCP's end.
func (n *fakeNeighbour) lost() { n.sp.t.Helper(); n.down(speaker.Down{Reason: speaker.DownRemote}) }

// notified is a NOTIFICATION that the neighbour sends.
func (n *fakeNeighbour) notified(code, subcode uint8) {
	n.sp.t.Helper()
	n.down(speaker.Down{
		Reason:       speaker.DownRemoteNotification,
		Notification: bgp.AppendNotification(nil, bgp.Notification{Code: code, Subcode: subcode}),
	})
}

func eorOf(f bgp.Family) []byte { return bgp.AppendEndOfRIB(nil, f) }

func refreshOf(f bgp.Family, subtype uint8) []byte {
	return bgp.AppendRefresh(nil, bgp.Refresh{Family: f, Subtype: subtype})
}

// update4 is updateMessage without MED.
func update4(routes ...string) []byte { return updateMessage(1, nil, routes...) }

// update6 is an UPDATE over IPv6 of one route: +prefix or -prefix.
func update6(route string) []byte {
	n := bgp.NLRI{Family: bgp.IPv6Unicast, Prefix: netip.MustParsePrefix(route[1:])}
	if route[0] == '-' {
		var w bgp.WithdrawBuilder
		w.Reset(bgp.IPv6Unicast, bgp.MaxMessageLen)
		w.Add(&n)
		return slices.Clone(w.Message())
	}
	v := bgp.Value{AS4: true, NextHop: netip.MustParseAddr("2001:db8::1").AsSlice(), Attrs: []byte{0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9}}
	return bgp.AppendAnnounce(nil, &n, &v)
}

// status returns a family's.
func (sp *speakerRig) status(addr string, f bgp.Family) (up bool, fs FamilyStatus) {
	sp.t.Helper()
	for _, st := range sp.src.Status() {
		if st.Peer.Address != netip.MustParseAddr(addr) {
			continue
		}
		for _, fs := range st.Families {
			if fs.Family == f {
				return st.Up, fs
			}
		}
		return st.Up, fs
	}
	sp.t.Errorf("no status of %s", addr)
	return false, fs
}

// rib lists what the RIB state of all peers holds, as text.
func (sp *speakerRig) rib() (out []string) {
	sp.t.Helper()
	d, err := sp.c.Dump()
	if err != nil {
		sp.t.Fatal(err)
	}
	defer d.Close()
	for _, space := range d.Spaces() {
		err := d.Each(space, func(n *bgp.NLRI, entries []DumpEntry) error {
			for _, e := range entries {
				out = append(out, d.Peers[e.Peer].Peer.Address.String()+" "+string(n.AppendText(nil)))
			}
			return nil
		})
		if err != nil {
			sp.t.Fatal(err)
		}
	}
	slices.Sort(out)
	return out
}

// told is what somebody who reads the stream takes the RIBs for.
func (rec *recorder) told() (out []string) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	have := map[string]bool{}
	var u bgp.Update
	for i := range rec.kept {
		e := &rec.kept[i]
		if e.Flags&event.FlagNonOwner != 0 || !e.Update(&u) {
			continue
		}
		it := u.Routes()
		for j := 0; it.Next(); j++ {
			r := it.Route()
			key := e.Peer.Address.String() + " " + string(r.NLRI.AppendText(nil))
			switch {
			case e.Mark(j)&event.MarkRefused != 0:
			case r.Action == bgp.Announce:
				have[key] = true
			default:
				delete(have, key)
			}
		}
	}
	for key := range have {
		out = append(out, key)
	}
	slices.Sort(out)
	return out
}
