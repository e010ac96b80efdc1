package collector

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/bmp"
	"github.com/ribtap/ribtap/event"
)

// rig is a collector in virtual time, with routers that a test speaks for and a
// stream that writes down, a line an event, what the collector said.
type rig struct {
	t    *testing.T
	c    *Collector
	rec  *recorder
	reg  *prometheus.Registry
	stop func()
}

// newRig starts a collector. It must be called inside a synctest bubble.
func newRig(t *testing.T, rec *recorder, change ...func(*Config)) *rig {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Listen = nil
	for _, f := range change {
		f(&cfg)
	}
	if rec == nil {
		rec = &recorder{}
	}
	if cfg.SnapshotPath != "" {
		cfg.Position = rec.position
	}
	reg := prometheus.NewRegistry()
	c, err := New(cfg, rec, slog.New(slog.DiscardHandler), reg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Restore(rec.replay); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	r := &rig{t: t, c: c, rec: rec, reg: reg}
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// connect opens a session from an address.
func (r *rig) connect(from string) *fakeRouter {
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.c.Serve(r.t.Context(), addrConn{ours, from}); err != nil {
			r.t.Errorf("Serve: %v", err)
		}
	}()
	return &fakeRouter{r: r, conn: theirs, done: done}
}

type addrConn struct {
	net.Conn
	from string
}

func (c addrConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.from))
}

// fakeRouter is the far end of a session.
type fakeRouter struct {
	r    *rig
	conn net.Conn
	done chan struct{}
}

func (f *fakeRouter) send(messages ...[]byte) {
	f.r.t.Helper()
	for _, m := range messages {
		if _, err := f.conn.Write(m); err != nil {
			f.r.t.Fatalf("router: %v", err)
		}
	}
	synctest.Wait()
}

func (f *fakeRouter) close() {
	_ = f.conn.Close()
	<-f.done
	synctest.Wait()
}

// want compares what was said since the last call.
func (r *rig) want(lines ...string) {
	r.t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(lines, r.rec.take()); diff != "" {
		r.t.Errorf("events (-want +got):\n%s", diff)
	}
}

// recorder is a stream in memory.
type recorder struct {
	mu    sync.Mutex
	kept  []event.Event
	taken int
	fail  atomic.Bool // Write fails
}

func (rec *recorder) Write(_ context.Context, batch []event.Event) error {
	if rec.fail.Load() {
		return errors.New("the stream is broken")
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for _, e := range batch {
		e.Sequence = uint64(len(rec.kept) + 1)
		e.Head, e.Sent, e.PDU, e.Tail = clone(e.Head), clone(e.Sent), clone(e.PDU), clone(e.Tail)
		e.Marks = append([]event.Mark(nil), e.Marks...)
		rec.kept = append(rec.kept, e)
	}
	return nil
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }

func (rec *recorder) position() uint64 {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return uint64(len(rec.kept))
}

func (rec *recorder) replay(from uint64, fn func([]event.Event) error) error {
	if from > uint64(len(rec.kept)) {
		return nil
	}
	return fn(rec.kept[from-1:])
}

func (rec *recorder) take() []string {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	var out []string
	for i := rec.taken; i < len(rec.kept); i++ {
		out = append(out, line(&rec.kept[i]))
	}
	rec.taken = len(rec.kept)
	return out
}

// line is an event in a few words: kind, peer, view, cause, flags, routes with
// their marks (c changed, s came or went, n noted).
func line(e *event.Event) string {
	var w strings.Builder
	w.WriteString(e.Kind.String())
	if e.Router != nil && e.Peer == nil {
		fmt.Fprintf(&w, " %s", e.Router.Name)
	}
	if e.Peer != nil {
		fmt.Fprintf(&w, " %s", e.Peer.Address)
		if e.Kind == event.KindPeerUp {
			fmt.Fprintf(&w, " epoch %d", e.Peer.Epoch)
		}
	}
	if e.Kind == event.KindRoute && e.RIB != event.AdjRIBInPre {
		fmt.Fprintf(&w, " %s", e.RIB)
	}
	if e.Cause != 0 {
		fmt.Fprintf(&w, " %s", e.Cause)
	}
	for _, row := range []struct {
		flag event.Flags
		name string
	}{
		{event.FlagPeerUnknown, "peer-unknown"},
		{event.FlagNonOwner, "non-owner"},
		{event.FlagDropped, "dropped"},
		{event.FlagRefused, "refused"},
		{event.FlagOTCLeak, "otc-leak"},
	} {
		if e.Flags&row.flag != 0 {
			fmt.Fprintf(&w, " %s", row.name)
		}
	}
	if e.Flags&event.FlagInferred != 0 {
		w.WriteString(" inferred")
	}
	if e.Kind == event.KindUnknown {
		fmt.Fprintf(&w, " %s", e.Text)
	}
	if m, err := bgp.ParseRefresh(e.PDU); e.Kind == event.KindRefresh && err == nil {
		fmt.Fprintf(&w, " %s %s", m.Family, [...]string{"request", "begin", "end"}[m.Subtype])
		if e.Text != "" {
			fmt.Fprintf(&w, " (%s)", e.Text)
		}
	}
	var u bgp.Update
	if e.Update(&u) {
		if f, ok := u.EndOfRIB(); ok {
			fmt.Fprintf(&w, " end-of-rib %s", f)
		}
		var routes []string
		it := u.Routes()
		for i := 0; it.Next(); i++ {
			routes = append(routes, routeText(it.Route(), e.Mark(i)))
		}
		if e.Flags&event.FlagInferred != 0 {
			slices.Sort(routes) // the RIB has an order of its own
		}
		w.WriteString(strings.Join(routes, ""))
	}
	return w.String()
}

func routeText(r *bgp.Route, m event.Mark) string {
	text := " +"
	if r.Action == bgp.Withdraw {
		text = " -"
	}
	text += string(r.NLRI.AppendText(nil))
	for _, row := range []struct {
		mark event.Mark
		text string
	}{{event.MarkChanged, "/c"}, {event.MarkState, "/s"}, {event.MarkNoted, "/n"}, {event.MarkRefused, "/r"}} {
		if m&row.mark != 0 {
			text += row.text
		}
	}
	return text
}

// The messages that a test's router sends.

func initiation(name string) []byte {
	return bmp.AppendInitiation(nil, bmp.TextTLV(bmp.InfoSysDescr, "test"), bmp.TextTLV(bmp.InfoSysName, name))
}

func peerHeader(addr string, flags uint8) *bmp.PeerHeader {
	a := netip.MustParseAddr(addr)
	h := &bmp.PeerHeader{Address: a, ASN: 65001, BGPID: netip.MustParseAddr("192.0.2.10"), Seconds: 1_700_000_000, Flags: flags}
	if a.Is6() {
		h.Flags |= bmp.FlagV
	}
	return h
}

// open is an OPEN with four-octet AS capability.
func open(as uint32, capabilities ...byte) []byte {
	caps := append([]byte{65, 4, byte(as >> 24), byte(as >> 16), byte(as >> 8), byte(as)}, capabilities...)
	b := append([]byte{}, marker...)
	b = append(b, 0, 0, 1, 4, byte(as>>8), byte(as), 0, 180, 192, 0, 2, 10, byte(len(caps)+2), 2, byte(len(caps)))
	b = append(b, caps...)
	binary.BigEndian.PutUint16(b[16:], uint16(len(b)))
	return b
}

var marker = []byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}

func peerUp(h *bmp.PeerHeader, capabilities ...byte) []byte {
	return bmp.AppendPeerUp(nil, h, &bmp.PeerUp{
		LocalAddress: netip.MustParseAddr("192.0.2.1"), LocalPort: 179, RemotePort: 40000,
		Sent: open(65000, capabilities...), Received: open(h.ASN, capabilities...),
	})
}

func peerDown(h *bmp.PeerHeader) []byte {
	return bmp.AppendPeerDown(nil, h, bmp.PeerDownRemoteNoData, nil)
}

// update is an UPDATE over IPv4: +prefix announces, -prefix withdraws.
func update(h *bmp.PeerHeader, med uint32, routes ...string) []byte {
	return bmp.AppendRouteMonitoring(nil, h, updateMessage(med, nil, routes...))
}

// updateMessage is the UPDATE itself, with further attributes.
func updateMessage(med uint32, more []byte, routes ...string) []byte {
	var withdrawn, nlri []byte
	for _, r := range routes {
		p := netip.MustParsePrefix(r[1:])
		item := append([]byte{byte(p.Bits())}, p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
		if r[0] == '-' {
			withdrawn = append(withdrawn, item...)
		} else {
			nlri = append(nlri, item...)
		}
	}
	var attrs []byte
	if len(nlri) > 0 {
		attrs = []byte{0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9, 0x40, 3, 4, 192, 0, 2, 10}
		attrs = append(attrs, 0x80, 4, 4, byte(med>>24), byte(med>>16), byte(med>>8), byte(med))
		attrs = append(attrs, more...)
	}
	b := append([]byte{}, marker...)
	b = append(b, 0, 0, 2)
	b = binary.BigEndian.AppendUint16(b, uint16(len(withdrawn)))
	b = append(b, withdrawn...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(attrs)))
	b = append(append(b, attrs...), nlri...)
	binary.BigEndian.PutUint16(b[16:], uint16(len(b)))
	return b
}

// endOfRIB is the IPv4 unicast one.
func endOfRIB(h *bmp.PeerHeader) []byte { return update(h, 0) }

func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

const minute = time.Minute
