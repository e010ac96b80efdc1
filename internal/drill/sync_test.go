//go:build drill

package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	rpc "connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	"github.com/ribtap/ribtap/api/apitest"
	"github.com/ribtap/ribtap/api/ribtapv1"
	"github.com/ribtap/ribtap/api/ribtapv1/ribtapv1connect"
)

// TestSync has a client of Sync keep a copy of the RIB over gRPC while routers
// change routes, the client goes and comes back, with and without its position,
// and the daemon is killed and started again. The copy must be what `ribtap
// routes` says in the end.
func TestSync(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	routers := []*flapper{newFlapper(0, scale(5_000, 50_000)), newFlapper(1, scale(5_000, 50_000))}
	rng := rand.New(rand.NewPCG(1, 1))
	copied := &copier{t: t, rng: rng}
	for kill := range scale(4, 20) {
		d := start(t, dir)
		copied.from(d)
		time.AfterFunc(time.Duration(1000+rng.IntN(2000))*time.Millisecond, func() { _ = d.cmd.Process.Kill() })
		live(d, routers)
		copied.rest()
		t.Logf("kill %d: the copy has %d routes and is at %d", kill+1, len(copied.rib.Routes), copied.rib.At.GetSequence())
	}
	d := start(t, dir)
	copied.from(d)
	for _, r := range routers {
		send(t, connect(t, d.bmp), r.table.AppendTable(r.table.AppendOpen(nil, r.name)))
	}
	st := d.settle(1, time.Minute)
	await(t, "the copy to be at the stream's end", time.Minute, func() (err error) {
		if st, err = d.status(); err != nil {
			return err
		}
		if at := copied.at(); at != st.Stream.Last {
			return fmt.Errorf("at %d of %d", at, st.Stream.Last)
		}
		return nil
	})
	copied.rest()
	st = d.settle(st.Stream.Last, time.Minute)
	if st.Stream.Last != copied.at() {
		t.Fatalf("the stream went on from %d to %d", copied.at(), st.Stream.Last)
	}
	want := listed(t, d)
	if diff := cmp.Diff(want, copied.rib.Routes); diff != "" || len(want) == 0 {
		t.Errorf("%d routes in the copy, `ribtap routes` has %d (-routes +copy):\n%.4000s", len(copied.rib.Routes), len(want), diff)
	}
	if copied.rib.Dumps < 2 || copied.rib.Resumes < 2 || copied.rib.Live == 0 {
		t.Errorf("%d dumps, %d times gone on, %d live events: not all was tried", copied.rib.Dumps, copied.rib.Resumes, copied.rib.Live)
	}
	d.stop()
	t.Logf("%d routes, %d dumps, %d times gone on where it was, %d live events", len(want), copied.rib.Dumps, copied.rib.Resumes, copied.rib.Live)
}

// copier follows one daemon after another.
type copier struct {
	t   *testing.T
	rng *rand.Rand

	mu     sync.Mutex
	rib    apitest.Replica
	cancel context.CancelFunc
	done   chan struct{}
}

func (c *copier) at() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rib.At.GetSequence()
}

// from follows a daemon until rest: each stream ends after a while, and one in four
// clients has forgotten where it was.
func (c *copier) from(d *daemon) {
	ctx, cancel := context.WithCancel(c.t.Context())
	c.cancel, c.done = cancel, make(chan struct{})
	client := ribtapv1connect.NewCollectorServiceClient(plainHTTP2(), "http://"+d.http, rpc.WithGRPC())
	go func() {
		defer close(c.done)
		for ctx.Err() == nil {
			some, stop := context.WithTimeout(ctx, time.Duration(100+c.rng.IntN(600))*time.Millisecond)
			c.once(some, client, c.rng.IntN(4) == 0)
			stop()
		}
	}()
}

func (c *copier) once(ctx context.Context, client ribtapv1connect.CollectorServiceClient, forgotten bool) {
	req := &ribtapv1.SyncRequest{After: c.rib.At}
	if forgotten {
		req.After = nil
	}
	stream, err := client.Sync(ctx, rpc.NewRequest(req))
	if err != nil {
		return
	}
	defer stream.Close()
	for stream.Receive() {
		c.mu.Lock()
		err := c.rib.Apply(stream.Msg())
		c.mu.Unlock()
		if err != nil {
			c.t.Error(err)
			return
		}
	}
	if rpc.CodeOf(stream.Err()) == rpc.CodeAborted { // the daemon found a hole
		c.mu.Lock()
		c.rib.At = nil
		c.mu.Unlock()
	}
}

func (c *copier) rest() {
	c.cancel()
	<-c.done
}

// plainHTTP2 is a client of HTTP/2 without TLS, as gRPC's are on loopback.
func plainHTTP2() *http.Client {
	t := &http.Transport{Protocols: new(http.Protocols)}
	t.Protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: t}
}

// listed are the routes of the command line, as a copy has them.
func listed(t *testing.T, d *daemon) map[string]string {
	t.Helper()
	out, err := command(t, d.dir, "routes", "-o", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]any
	dec := json.NewDecoder(bytes.NewReader(out))
	dec.UseNumber()
	if err := dec.Decode(&rows); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, r := range rows {
		k, v := apitest.Row(r)
		all[k] = v
	}
	return all
}
