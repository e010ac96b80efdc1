package stream

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/bmp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/internal/load"
)

// benchBatch is what one read of a busy BMP session brings: so many messages of a
// table, and how many octets they had on the wire.
func benchBatch(b *testing.B, events int) (batch []event.Event, wire int) {
	b.Helper()
	table := load.NewTable(50_000, 10_000, 1)
	r := &event.Router{Name: "router", Address: netip.MustParseAddr("192.0.2.1"), Session: 1}
	p := &event.Peer{Router: r, Address: table.Peer.Address, ASN: table.Peer.ASN, BGPID: table.Peer.BGPID, Epoch: 1}
	rd := bmp.NewReader(bytes.NewReader(table.AppendTable(nil)), 0)
	for i := range events {
		raw, err := rd.Next()
		if err != nil {
			b.Fatal(err)
		}
		raw = bytes.Clone(raw)
		m, err := bmp.Parse(raw)
		if err != nil {
			b.Fatal(err)
		}
		rm, err := bmp.ParseRouteMonitoring(&m)
		if err != nil {
			b.Fatal(err)
		}
		batch = append(batch, event.Event{
			Kind: event.KindRoute, Source: event.SourceBMP, RIB: event.AdjRIBInPre, Router: r, Peer: p,
			Received: event.Time(1_750_000_000_000_000_000 + i*1000), Observed: event.Time(m.Peer.Time()),
			Session: bgp.Session{AS4: true}, Head: rm.Head, PDU: rm.PDU, Tail: rm.Tail, Marks: []event.Mark{event.MarkChanged | event.MarkState},
		})
		wire += len(raw)
	}
	return batch, wire
}

// benchKeep bounds what the benchmarks leave on the disk, in octets.
const benchKeep = 256 << 20

// BenchmarkWrite appends to a log in real files, and then the same messages, as
// they came, to plain files of the same size that are synced as often. of-plain
// is how fast the log is in units of the latter: a log that also numbers,
// checksums and describes what it keeps.
func BenchmarkWrite(b *testing.B) {
	for _, events := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("batch=%d", events), func(b *testing.B) {
			batch, wire := benchBatch(b, events)
			ctx, cancel := context.WithCancel(context.Background())
			cfg := DefaultConfig()
			cfg.Dir, cfg.Keep = b.TempDir(), benchKeep
			l, err := Open(cfg, quiet, nil)
			if err != nil {
				b.Fatal(err)
			}
			var runs sync.WaitGroup
			runs.Go(func() { _ = l.Run(ctx) })
			b.SetBytes(int64(wire))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if err := l.Write(ctx, batch); err != nil {
					b.Fatal(err)
				}
				n++
			}
			took := b.Elapsed()
			b.ReportMetric(float64(n*events)/took.Seconds(), "events/s")
			b.ReportMetric(float64(l.Size())/float64(l.Last()-l.First()+1)/(float64(wire)/float64(events)), "B/wire-B")
			cancel()
			runs.Wait()
			shut(b, l)
			b.ReportMetric(plainWrites(b, batch, n).Seconds()/took.Seconds(), "of-plain")
		})
	}
}

// plainWrites is the time that it takes to append a batch's octets to files so
// many times, synced in the background as the log is.
func plainWrites(b *testing.B, batch []event.Event, n int) time.Duration {
	b.Helper()
	var octets []byte
	for i := range batch {
		octets = append(append(append(octets, batch[i].Head...), batch[i].PDU...), batch[i].Tail...)
	}
	p := &plain{dir: b.TempDir()}
	defer p.close()
	ctx, cancel := context.WithCancel(context.Background())
	var runs sync.WaitGroup
	runs.Go(func() { p.run(ctx) })
	defer runs.Wait()
	defer cancel()
	begin := time.Now()
	for range n {
		if err := p.write(octets); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(begin)
}

// plain is files of a log's size without anything of a log.
type plain struct {
	dir string

	mu    sync.Mutex
	files []*os.File // the last is written
	size  int64
}

func (p *plain) write(octets []byte) error {
	if p.size == 0 || p.size > DefaultConfig().SegmentSize {
		f, err := os.Create(filepath.Join(p.dir, fmt.Sprint(time.Now().UnixNano())))
		if err != nil {
			return err
		}
		p.mu.Lock()
		p.files, p.size = append(p.files, f), 0
		p.mu.Unlock()
	}
	n, err := p.files[len(p.files)-1].Write(octets)
	p.size += int64(n)
	return err
}

// run syncs, and removes what is too much.
func (p *plain) run(ctx context.Context) {
	every := time.NewTicker(DefaultConfig().SyncInterval)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		p.mu.Lock()
		files := append([]*os.File(nil), p.files...)
		p.mu.Unlock()
		for i, f := range files {
			if i < len(files)-1-int(benchKeep/DefaultConfig().SegmentSize) {
				_ = os.Remove(f.Name())
				continue
			}
			_ = f.Sync()
		}
	}
}

func (p *plain) close() {
	for _, f := range p.files {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}
}
