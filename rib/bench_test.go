//go:build !race

package rib_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/ribtap/ribtap/rib"
)

// bench is a full table in one view, and an id for each of its values.
type bench struct {
	table *fullTable
	db    *rib.DB
	view  *rib.View
	ids   []rib.ValueID
}

func newBench(b *testing.B) *bench {
	w := &bench{table: newFullTable(1_000_000, 230_000), db: rib.New()}
	w.view = w.db.NewView(nil)
	w.table.announce(w.db, w.view)
	for _, v := range w.table.values {
		w.ids = append(w.ids, w.db.Intern(v))
	}
	b.ReportAllocs()
	b.ResetTimer()
	return w
}

func BenchmarkIntern(b *testing.B) {
	w := newBench(b)
	for i := range b.N {
		w.db.Release(w.db.Intern(w.table.values[i%len(w.table.values)]))
	}
}

// BenchmarkAnnounceNew fills an empty DB; values are known.
func BenchmarkAnnounceNew(b *testing.B) {
	w := newBench(b)
	for i := range b.N {
		k := i % len(w.table.keys)
		if k == 0 {
			b.StopTimer()
			w.db.DropView(w.view)
			w.view = w.db.NewView(nil)
			b.StartTimer()
		}
		w.view.Announce(w.table.spaces[k], w.table.keys[k], w.ids[w.table.set[k]])
	}
}

// BenchmarkAnnounceKnown fills a second view of a known table.
func BenchmarkAnnounceKnown(b *testing.B) {
	w := newBench(b)
	var v *rib.View
	for i := range b.N {
		k := i % len(w.table.keys)
		if k == 0 {
			b.StopTimer()
			if v != nil {
				w.db.DropView(v)
			}
			v = w.db.NewView(nil)
			b.StartTimer()
		}
		v.Announce(w.table.spaces[k], w.table.keys[k], w.ids[w.table.set[k]])
	}
}

func BenchmarkAnnounceSame(b *testing.B) {
	w := newBench(b)
	for i := range b.N {
		k := i % len(w.table.keys)
		w.view.Announce(w.table.spaces[k], w.table.keys[k], w.ids[w.table.set[k]])
	}
}

func BenchmarkAnnounceChanged(b *testing.B) {
	w := newBench(b)
	for i := range b.N {
		k := i % len(w.table.keys)
		w.view.Announce(w.table.spaces[k], w.table.keys[k], w.ids[(w.table.set[k]+i+1)%len(w.ids)])
	}
}

// BenchmarkWithdraw withdraws and announces again.
func BenchmarkWithdraw(b *testing.B) {
	w := newBench(b)
	for i := range b.N {
		k := i % len(w.table.keys)
		w.view.Withdraw(w.table.spaces[k], w.table.keys[k])
		w.view.Announce(w.table.spaces[k], w.table.keys[k], w.ids[w.table.set[k]])
	}
}

// BenchmarkEnd counts one route as one operation.
func BenchmarkEnd(b *testing.B) {
	w := newBench(b)
	for i := 0; i < b.N; {
		n, done := w.view.End(v4, min(1000, b.N-i), false, false, func(_, _ []byte) {})
		if i += n; done {
			b.StopTimer()
			w.table.announce(w.db, w.view)
			b.StartTimer()
		}
	}
}

func BenchmarkSnapshot(b *testing.B) {
	w := newBench(b)
	for range b.N {
		w.db.Snapshot().Close()
	}
}

func BenchmarkEach(b *testing.B) {
	w := newBench(b)
	snap := w.db.Snapshot()
	defer snap.Close()
	b.ResetTimer()
	for range b.N {
		n := 0
		for _, s := range snap.Spaces() {
			if err := snap.Each(s, func([]byte, []rib.Entry) error { n++; return nil }); err != nil || n == 0 {
				b.Fatal(n, err)
			}
		}
	}
}

func BenchmarkWriteTo(b *testing.B) {
	w := newBench(b)
	snap := w.db.Snapshot()
	defer snap.Close()
	b.ResetTimer()
	var n int64
	for range b.N {
		n, _ = snap.WriteTo(io.Discard)
	}
	b.ReportMetric(float64(n)/float64(len(w.table.keys)), "B/route")
}

func BenchmarkLoad(b *testing.B) {
	w := newBench(b)
	file := snapshotFile(b, w.db)
	w.db, w.view = nil, nil
	b.ResetTimer()
	for range b.N {
		if _, _, err := rib.Load(bytes.NewReader(file)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParallel has four views of one DB take the full table at once.
func BenchmarkParallel(b *testing.B) {
	w := newBench(b)
	b.SetParallelism(2)
	b.RunParallel(func(pb *testing.PB) {
		v := w.db.NewView(nil)
		for i := rand.IntN(len(w.table.keys)); pb.Next(); i++ {
			k := i % len(w.table.keys)
			v.Announce(w.table.spaces[k], w.table.keys[k], w.ids[w.table.set[k]])
		}
	})
}

// BenchmarkMemory announces the table from 1, 2 and 10 peers and reports what
// each route costs and how long a garbage collection takes, with attribute sets
// that all peers share and with own ones.
func BenchmarkMemory(b *testing.B) {
	table := newFullTable(1_000_000, 230_000)
	for _, own := range []bool{false, true} {
		for _, peers := range []int{1, 2, 10} {
			b.Run(fmt.Sprintf("peers=%d/own=%t", peers, own), func(b *testing.B) {
				for range b.N {
					base := heap()
					db := rib.New()
					for p := range peers {
						t := table
						if own {
							t = table.ofPeer(uint32(p))
						}
						t.announce(db, db.NewView(nil))
					}
					grown := heap() - base
					start := time.Now()
					runtime.GC()
					b.ReportMetric(float64(time.Since(start).Milliseconds()), "gc-ms")
					b.ReportMetric(grown/float64(peers*len(table.keys)), "B/route")
					b.ReportMetric(grown/(1<<20), "MiB")
					runtime.KeepAlive(db)
				}
			})
		}
	}
	runtime.KeepAlive(table)
}
