package mrt_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/corpus"
	"github.com/ribtap/ribtap/mrt"
)

// outcome is what came of a file.
type outcome struct {
	announced, withdrawn []netip.Prefix
	dropped, warned      int
	skipped              uint64
	end                  error
}

// class is the word of the manifest for it.
func (o *outcome) class() string {
	var e *mrt.Error
	switch {
	case errors.As(o.end, &e) && e.Verdict == mrt.Truncated:
		return "partial"
	case errors.As(o.end, &e) && e.Reason == mrt.ReasonPadding:
		return "limit"
	case errors.As(o.end, &e):
		return "stop"
	case o.dropped > 0:
		return "drop"
	case o.warned > 0:
		return "warn"
	case o.skipped > 0:
		return "skip"
	}
	return "ok"
}

// importFile does with a file what an importer does, and keeps no record.
func importFile(r io.Reader) *outcome {
	o := &outcome{}
	content, _, err := mrt.Decompress(r)
	if err != nil {
		o.end = err
		return o
	}
	rd := mrt.NewReader(content)
	imp := importer{o: o}
	for {
		rec, err := rd.Next()
		if err != nil {
			o.skipped += rd.Padding()
			if err != io.EOF { //nolint:errorlint // the contract says io.EOF itself
				o.end = err
			}
			return o
		}
		imp.record(&rec)
	}
}

type importer struct {
	o     *outcome
	peers mrt.PeerIndexTable
	rib   mrt.RIB
	u     bgp.Update
	buf   []byte
}

func (i *importer) record(rec *mrt.Record) {
	var anomaly string
	var err error
	switch rec.Class() {
	case mrt.ClassMessage:
		var m mrt.Message
		if err = m.Parse(rec); err == nil && m.PDU[18] == 2 {
			i.update(m.PDU, m.Session())
		}
		anomaly = m.Anomaly
	case mrt.ClassStateChange:
		var s mrt.StateChange
		err = s.Parse(rec)
		anomaly = s.Anomaly
	case mrt.ClassPeerIndex:
		err = i.peers.Parse(rec)
		anomaly = i.peers.Anomaly
	case mrt.ClassRIB:
		if err = i.rib.Parse(rec, &i.peers); err == nil {
			anomaly = i.rib.Anomaly
			for it := i.rib.Entries(); it.Next(); {
				i.entry(it.Entry())
			}
		}
	case mrt.ClassTableEntry:
		var e mrt.TableEntry
		if err = e.Parse(rec); err == nil {
			i.entry(&e.Entry)
		}
		anomaly = e.Anomaly
	case mrt.ClassOther:
		i.o.skipped++
	}
	switch {
	case err != nil:
		i.o.dropped++
	case anomaly != "":
		i.o.warned++
	}
}

func (i *importer) entry(e *mrt.Entry) {
	var err error
	if i.buf, err = mrt.AppendUpdate(i.buf[:0], e); err != nil {
		i.o.dropped++
		return
	}
	i.update(i.buf, e.Session())
}

func (i *importer) update(pdu []byte, s bgp.Session) {
	i.u.Parse(pdu, s)
	if i.u.Verdict() == bgp.VerdictSessionReset {
		i.o.dropped++
		return
	}
	for it := i.u.Routes(); it.Next(); {
		if r := it.Route(); r.Action == bgp.Announce {
			i.o.announced = append(i.o.announced, r.NLRI.Prefix)
		} else {
			i.o.withdrawn = append(i.o.withdrawn, r.NLRI.Prefix)
		}
	}
}

type manifest struct {
	SentinelPrefix string `json:"sentinel_prefix"`
	Cases          []struct {
		ID, Proto, File string
		Expect          struct {
			Class, Basis               string
			Sentinel                   bool
			Announce, Withdraw, Absent []netip.Prefix
		}
	}
}

// policy names the cases where another class than the manifest's was chosen,
// and why.
var policy = map[string]string{
	"mrt-raw-bmp":  "partial", // the manifest allows it
	"mrt-b4mp-taw": "ok",      // the record is in order; the verdict on its UPDATE is bgp's and checked by prefix
}

func TestHostile(t *testing.T) {
	if corpus.Hostile() == "" {
		return
	}
	b, err := os.ReadFile(filepath.Join(corpus.Hostile(), "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	sentinel := netip.MustParsePrefix(m.SentinelPrefix)
	n := 0
	for _, c := range m.Cases {
		if c.Proto != "mrt" {
			continue
		}
		n++
		t.Run(c.ID, func(t *testing.T) {
			file, err := os.ReadFile(filepath.Join(corpus.Hostile(), c.File))
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			o := importFile(bytes.NewReader(file))
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("took %v", d)
			}
			want := c.Expect.Class
			if p, ok := policy[c.ID]; ok {
				want = p
			}
			if got := o.class(); got != want {
				t.Errorf("class %s, want %s: %+v", got, want, o)
			}
			if slices.Contains(o.announced, sentinel) != c.Expect.Sentinel {
				t.Errorf("sentinel %v, want %v", !c.Expect.Sentinel, c.Expect.Sentinel)
			}
			allowed := append(slices.Clone(c.Expect.Announce), sentinel)
			for _, p := range c.Expect.Announce {
				if !slices.Contains(o.announced, p) {
					t.Errorf("%v is not announced", p)
				}
			}
			for _, p := range c.Expect.Withdraw {
				if !slices.Contains(o.withdrawn, p) || slices.Contains(o.announced, p) {
					t.Errorf("%v is not withdrawn", p)
				}
			}
			for _, p := range c.Expect.Absent {
				if slices.Contains(o.announced, p) {
					t.Errorf("%v is announced", p)
				}
			}
			if class := c.Expect.Class; class == "drop" || class == "partial" {
				for _, p := range o.announced {
					if !slices.Contains(allowed, p) {
						t.Errorf("%v is announced", p)
					}
				}
			}
		})
	}
	if n == 0 {
		t.Error("no mrt case in the manifest")
	}
}

// TestHostileMemory bounds what reading a damaged file may allocate.
func TestHostileMemory(t *testing.T) {
	if corpus.Hostile() == "" {
		return
	}
	names, err := filepath.Glob(filepath.Join(corpus.Hostile(), "mrt-*"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		importFile(bytes.NewReader(file))
		runtime.ReadMemStats(&after)
		n := after.TotalAlloc - before.TotalAlloc
		// bzip2's decoder needs four megabytes for one block.
		if limit := uint64(64*len(file) + 5<<20); n > limit {
			t.Errorf("%s: %d octets allocated for %d", filepath.Base(name), n, len(file))
		}
	}
}
