package api_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/ribtap/ribtap/api"
	"github.com/ribtap/ribtap/api/apitest"
	"github.com/ribtap/ribtap/api/ribtapv1"
	"github.com/ribtap/ribtap/api/ribtapv1/ribtapv1connect"
	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/history/historytest"
	"github.com/ribtap/ribtap/stream"
)

// rig is a service over a real stream; its RIB is made of the stream's events.
type rig struct {
	t        *testing.T
	log      *stream.Log
	server   *api.Server
	http     *httptest.Server
	stopping chan struct{}

	mu     sync.Mutex
	events []event.Event // all that were written
	dumped int           // how many dumps were taken
	more   func()        // runs while a dump is taken, behind its sequence
}

func newRig(t *testing.T, change ...func(*api.Limits)) *rig {
	t.Helper()
	cfg := stream.DefaultConfig()
	cfg.Dir, cfg.SegmentSize, cfg.Keep = t.TempDir(), 64<<10, 128<<10
	l, err := stream.Open(cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var runs sync.WaitGroup
	runs.Go(func() { _ = l.Run(ctx) })
	r := &rig{t: t, log: l, stopping: make(chan struct{})}
	limits := api.DefaultLimits()
	for _, f := range change {
		f(&limits)
	}
	r.server = api.New(api.Config{
		Collector: "rt1", Stream: logStream{l}, Stopping: r.stopping, Limits: limits,
		Status: func() *ribtapv1.GetStatusResponse { return &ribtapv1.GetStatusResponse{Collector: "rt1", Routes: 7} },
		Filter: func(f *ribtapv1.Filter) (func(*event.Event) bool, error) {
			if f.GetRouter() == "?" {
				return nil, errors.New("router ?: there is none like that")
			}
			return func(e *event.Event) bool { return f.GetRouter() == "" || e.Router.Name == f.GetRouter() }, nil
		},
		Dump: func(context.Context) (api.Table, error) { return r.dump(), nil },
	}, prometheus.NewRegistry())
	mux := http.NewServeMux()
	mux.Handle(r.server.Handler())
	r.http = httptest.NewUnstartedServer(mux)
	r.http.Config.Protocols = new(http.Protocols)
	r.http.Config.Protocols.SetHTTP1(true)
	r.http.Config.Protocols.SetUnencryptedHTTP2(true)
	r.http.Start()
	t.Cleanup(func() { r.http.CloseClientConnections(); r.http.Close(); cancel(); runs.Wait() })
	return r
}

type logStream struct{ *stream.Log }

func (s logStream) NewReader(from uint64) api.Reader { return logReader{s.Log.NewReader(from)} }

type logReader struct{ *stream.Reader }

func (r logReader) Close() { _ = r.Reader.Close() } // it was only read

// client speaks gRPC over HTTP/2, or with an option another protocol.
func (r *rig) client(opts ...connect.ClientOption) ribtapv1connect.CollectorServiceClient {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	r.t.Cleanup(tr.CloseIdleConnections)
	if opts == nil {
		opts = []connect.ClientOption{connect.WithGRPC()}
	}
	return ribtapv1connect.NewCollectorServiceClient(&http.Client{Transport: tr}, r.http.URL, opts...)
}

// write appends events of 10.x.y.0/24 with a path that ends in each n; negative: a
// withdrawal.
func (r *rig) write(ns ...int) {
	r.t.Helper()
	var batch []event.Event
	for _, n := range ns {
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(max(n, -n) >> 8), byte(max(n, -n)), 0}), 24)
		pdu := historytest.Withdraw(prefix)
		if n >= 0 {
			pdu = historytest.Announce(historytest.Attributes([]uint32{65001, uint32(n)}), prefix)
		}
		e := historytest.RouteEvent(0, pdu)
		e.Received = historytest.T0 + event.Time(len(r.events)+len(batch))*historytest.Second
		batch = append(batch, e)
	}
	if err := r.log.Write(context.Background(), batch); err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, batch...)
}

// table is the RIB of a rig.
type table struct {
	r      *rig
	events []event.Event
}

func (r *rig) dump() api.Table {
	r.mu.Lock()
	r.dumped++
	t := table{r, r.events}
	more := r.more
	r.mu.Unlock()
	if more != nil {
		more()
	}
	return t
}

func (t table) Sequence() uint64 { return uint64(len(t.events)) }
func (t table) Close()           {}

// Each gives the last announcement of each prefix that was not withdrawn.
func (t table) Each(fn func(e *event.Event) error) error {
	last := map[netip.Prefix]*event.Event{}
	var order []netip.Prefix
	for i := range t.events {
		e := &t.events[i]
		p, announced := prefixOf(t.r.t, e)
		if _, ok := last[p]; !ok {
			order = append(order, p)
		}
		if last[p] = e; !announced {
			last[p] = nil
		}
	}
	for _, p := range order {
		if e := last[p]; e != nil {
			c := *e
			c.Sequence, c.Received, c.Observed, c.Flags = 0, 0, 0, event.FlagSnapshot|event.FlagInferred
			if err := fn(&c); err != nil {
				return err
			}
		}
	}
	return nil
}

func prefixOf(t *testing.T, e *event.Event) (netip.Prefix, bool) {
	t.Helper()
	var u bgp.Update
	if !e.Update(&u) {
		t.Fatal("no UPDATE")
	}
	it := u.Routes()
	it.Next()
	return it.Route().NLRI.Prefix, it.Route().Action == bgp.Announce
}

func code(t *testing.T, err error, want connect.Code, text string) {
	t.Helper()
	if connect.CodeOf(err) != want || !strings.Contains(fmt.Sprint(err), text) {
		t.Errorf("%v, want %v with %q", err, want, text)
	}
}

// next receives one response.
func next[T any](t *testing.T, s *connect.ServerStreamForClient[T]) *T {
	t.Helper()
	if !s.Receive() {
		t.Fatalf("the stream ended: %v", s.Err())
	}
	return s.Msg()
}

func TestProtocols(t *testing.T) {
	r := newRig(t)
	r.write(1, 2, -1)
	var first *ribtapv1.WatchResponse
	for name, opts := range map[string][]connect.ClientOption{
		"gRPC": {connect.WithGRPC()}, "gRPC-Web": {connect.WithGRPCWeb()}, "Connect": {}, "Connect with JSON": {connect.WithProtoJSON()},
		"gRPC with JSON": {connect.WithGRPC(), connect.WithProtoJSON()},
	} {
		c := r.client(opts...)
		st, err := c.GetStatus(t.Context(), connect.NewRequest(&ribtapv1.GetStatusRequest{}))
		if err != nil || st.Msg.GetRoutes() != 7 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		w, err := c.Watch(ctx, connect.NewRequest(&ribtapv1.WatchRequest{From: 1}))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		m := next(t, w)
		if first == nil {
			first = m
		}
		if diff := cmp.Diff(first, m, protocmp.Transform()); diff != "" || len(m.GetEvents()) != 3 || len(m.ProtoReflect().GetUnknown()) != 0 {
			t.Errorf("%s: %d events, %s", name, len(m.GetEvents()), diff)
		}
		cancel()
		_ = w.Close()
	}
	if e := first.GetEvents()[2]; e.GetSequence() != 3 || e.GetCollector() != "rt1" || !e.GetRoutes()[0].GetWithdraw() || e.GetRoutes()[0].GetPrefix() != "10.0.1.0/24" {
		t.Errorf("event %v", e)
	}
}

func TestWatch(t *testing.T) {
	r := newRig(t)
	r.write(1)
	ctx, cancel := context.WithCancel(t.Context())
	w, err := r.client().Watch(ctx, connect.NewRequest(&ribtapv1.WatchRequest{Filter: &ribtapv1.Filter{Router: historytest.Router.Name}}))
	if err != nil {
		t.Fatal(err)
	}
	r.write(2, 3)
	for want := uint64(2); want < 4; {
		for _, e := range next(t, w).GetEvents() {
			if e.GetSequence() != want {
				t.Errorf("event %d, want %d", e.GetSequence(), want)
			}
			want++
		}
	}
	cancel()
	for w.Receive() {
	}
	none, err := r.client().Watch(t.Context(), connect.NewRequest(&ribtapv1.WatchRequest{Filter: &ribtapv1.Filter{Router: "?"}}))
	if err == nil {
		none.Receive()
		err = none.Err()
	}
	code(t, err, connect.CodeInvalidArgument, "router ?: there is none like that")
}

// syncTo follows Sync from a position until the copy is at a sequence.
func (r *rig) syncTo(rep *apitest.Replica, f *ribtapv1.Filter, after *ribtapv1.Position, sequence uint64) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	s, err := r.client().Sync(ctx, connect.NewRequest(&ribtapv1.SyncRequest{Filter: f, After: after}))
	if err != nil {
		r.t.Fatal(err)
	}
	for {
		if err := rep.Apply(next(r.t, s)); err != nil {
			r.t.Fatal(err)
		}
		if rep.At.GetSequence() >= sequence {
			return
		}
	}
}

func TestSync(t *testing.T) {
	r := newRig(t)
	r.write(1, 2, 3, -2)
	once := sync.OnceFunc(func() { r.write(4, -1) })
	r.more = once // comes behind the dump, which is not sent yet
	var rep apitest.Replica
	r.syncTo(&rep, nil, nil, 6)
	want := func(paths ...string) {
		t.Helper()
		var got []string
		for _, p := range []string{"10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24", "10.0.4.0/24", "10.0.5.0/24"} {
			for k, v := range rep.Routes {
				if strings.Contains(k, p) {
					got = append(got, strings.Split(v, "|")[2])
				}
			}
		}
		if diff := cmp.Diff(paths, got); diff != "" {
			t.Errorf("routes (-want +got):\n%s", diff)
		}
	}
	want("65001 3", "65001 4")
	if rep.Dumps != 1 || rep.Live != 2 {
		t.Errorf("%d dumps, %d live events", rep.Dumps, rep.Live)
	}
	// Where it was.
	r.write(5)
	r.syncTo(&rep, nil, rep.At, 7)
	want("65001 3", "65001 4", "65001 5")
	if rep.Dumps != 1 || rep.Resumes != 1 || rep.Live != 3 {
		t.Errorf("%d dumps, %d resumes, %d live events", rep.Dumps, rep.Resumes, rep.Live)
	}
	// Not where it was: in another stream, in the future.
	for _, after := range []*ribtapv1.Position{{Sequence: 7, ReceivedAt: rep.At.GetReceivedAt() + 1}, {Sequence: 8, ReceivedAt: rep.At.GetReceivedAt()}} {
		had := rep.Dumps
		r.syncTo(&rep, nil, after, 7)
		if want("65001 3", "65001 4", "65001 5"); rep.Dumps != had+1 {
			t.Errorf("no dump for %v", after)
		}
	}
	// A client whose filter lets nothing through learns where it stands.
	var none apitest.Replica
	go func() {
		time.Sleep(1100 * time.Millisecond)
		r.write(-5)
	}()
	r.syncTo(&none, &ribtapv1.Filter{Router: "another"}, nil, 8)
	if len(none.Routes) != 0 || none.Live != 0 {
		t.Errorf("%d routes, %d events of another router", len(none.Routes), none.Live)
	}
}

// A hole in the stream ends the copy, and a position that is not kept any more
// begins with a dump.
func TestSyncBehindGap(t *testing.T) {
	r := newRig(t)
	r.write(1)
	var rep apitest.Replica
	r.syncTo(&rep, nil, nil, 1)
	if err := r.log.Write(t.Context(), []event.Event{{Kind: event.KindGap, Received: 1, Lost: 5, Cause: event.CauseOverflow}}); err != nil {
		t.Fatal(err)
	}
	s, err := r.client().Sync(t.Context(), connect.NewRequest(&ribtapv1.SyncRequest{After: rep.At}))
	if err != nil {
		t.Fatal(err)
	}
	for s.Receive() {
	}
	code(t, s.Err(), connect.CodeAborted, "begin again without a position")
	if r.cuts("gap") == 0 {
		t.Error("no stream was cut behind a gap")
	}
	for i := 0; r.log.First() < 3; i++ { // until nothing before is kept
		r.write(i % 60_000)
	}
	dumps := rep.Dumps
	if r.syncTo(&rep, nil, rep.At, r.log.Last()); rep.Dumps != dumps+1 {
		t.Error("no dump although the position is gone")
	}
}

func (r *rig) cuts(reason string) float64 { return testutil.ToFloat64(r.server.Cut(reason)) }

func TestLimits(t *testing.T) {
	r := newRig(t, func(l *api.Limits) { l.Streams = 1 })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := r.client().Watch(ctx, connect.NewRequest(&ribtapv1.WatchRequest{})); err != nil {
		t.Fatal(err)
	}
	w, err := r.client().Watch(t.Context(), connect.NewRequest(&ribtapv1.WatchRequest{}))
	if err == nil {
		w.Receive()
		err = w.Err()
	}
	code(t, err, connect.CodeResourceExhausted, "1 clients have a stream already")
	_, err = r.client().GetStatus(t.Context(), connect.NewRequest(&ribtapv1.GetStatusRequest{}))
	if err != nil {
		t.Errorf("a status while all streams are taken: %v", err)
	}
	w, err = r.client().Watch(t.Context(), connect.NewRequest(&ribtapv1.WatchRequest{Filter: &ribtapv1.Filter{Router: strings.Repeat("x", 100_000)}}))
	if err == nil {
		w.Receive()
		err = w.Err()
	}
	code(t, err, connect.CodeResourceExhausted, "larger than configured max")
}

func TestDumpsAtOnce(t *testing.T) {
	r := newRig(t, func(l *api.Limits) { l.Dumps = 1 })
	r.write(1)
	inside, goOn := make(chan struct{}), make(chan struct{})
	r.more = sync.OnceFunc(func() { close(inside); <-goOn })
	done := make(chan struct{})
	go func() {
		defer close(done)
		var rep apitest.Replica
		r.syncTo(&rep, nil, nil, 1)
	}()
	<-inside
	s, err := r.client().Sync(t.Context(), connect.NewRequest(&ribtapv1.SyncRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	for s.Receive() {
	}
	code(t, s.Err(), connect.CodeResourceExhausted, "try again")
	close(goOn)
	<-done
}

func TestStopping(t *testing.T) {
	r := newRig(t)
	r.write(1)
	s, err := r.client().Sync(t.Context(), connect.NewRequest(&ribtapv1.SyncRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	next(t, s)
	close(r.stopping)
	for s.Receive() {
	}
	code(t, s.Err(), connect.CodeUnavailable, "the collector is stopping")
}

// A client that reads nothing is cut, and holds nothing up meanwhile.
func TestStalledClient(t *testing.T) {
	r := newRig(t, func(l *api.Limits) { l.Write = 300 * time.Millisecond })
	c, err := net.Dial("tcp", r.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const body = "\x00\x00\x00\x00\x00" // an empty SyncRequest
	fmt.Fprintf(c, "POST /ribtap.v1.CollectorService/Sync HTTP/1.1\r\nHost: x\r\nContent-Type: application/connect+proto\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	for i := 0; r.cuts("slow") == 0; i++ {
		if i > 500_000 {
			t.Fatal("not cut")
		}
		r.write(i % 60_000)
	}
}
