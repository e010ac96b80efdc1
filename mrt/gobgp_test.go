package mrt_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"testing"

	gobgp "github.com/osrg/gobgp/v3/pkg/packet/mrt"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/corpus"
	"github.com/ribtap/ribtap/mrt"
)

// TestGoBGPAgrees hands what is written here to GoBGP's parser and has GoBGP
// write it again: the octets are the same. It covers what GoBGP v3 does right,
// which BGP4MP_ET and two-octet AS_PATHs are not among.
func TestGoBGPAgrees(t *testing.T) {
	records := map[string][]byte{}
	plain := func(b []byte) []byte { // as BGP4MP, which GoBGP knows
		rec := next(t, b)
		rec.Type = mrt.TypeBGP4MP
		return mrt.AppendRecord(nil, &rec)
	}
	pdu := update(prefix("203.0.113.0/24"), join(originIGP, asPath(4, 4200000001, 65010), nextHop4), prefix("198.51.100.0/24"))
	records["message"] = plain(mrt.AppendMessageET(nil, sec, 1, &peer4, true, false, pdu))
	records["message of an IPv6 peer"] = plain(mrt.AppendMessageET(nil, sec, 1, &peer6, true, false, pdu))
	records["state change"] = plain(mrt.AppendStateChangeET(nil, sec, 1, &peer6, mrt.Established, mrt.Idle))
	var err error
	if records["peers"], err = mrt.AppendPeerIndexTable(nil, sec, &table); err != nil {
		t.Fatal(err)
	}
	for _, c := range ribCases() {
		c.header.Seconds = sec
		as4 := true
		for i := range c.entries {
			as4 = as4 && c.entries[i].AS4
		}
		if !as4 || c.header.Family == bgp.IPv4Flowspec {
			continue // AS_PATH widened has an extended length, which GoBGP shortens; an empty next hop it refuses
		}
		if records["rib "+c.name], err = mrt.AppendRIB(nil, &c.header, c.entries); err != nil {
			t.Fatal(err)
		}
	}
	for name, ours := range records {
		t.Run(name, func(t *testing.T) {
			var h gobgp.MRTHeader
			if err := h.DecodeFromBytes(ours); err != nil {
				t.Fatal(err)
			}
			m, err := gobgp.ParseMRTBody(&h, ours[12:])
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := m.Serialize()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(ours, theirs) {
				t.Errorf("ours\n%x, GoBGP's\n%x", ours, theirs)
			}
		})
	}
}

// benchFile is a file of the corpus, or one made here without it.
func benchFile(b *testing.B, name string, made func() []byte) []byte {
	b.Helper()
	if corpus.Data() == "" {
		return made()
	}
	r, done := openCorpus(b, name)
	defer done()
	content, err := io.ReadAll(r)
	if err != nil {
		b.Fatal(err)
	}
	return content
}

func madeUpdates() []byte {
	pdu := update(nil, join(originIGP, asPath(4, 65001, 65010, 65020), nextHop4, attribute(0xc0, 8, 0xfd, 0xe9, 0, 7)), prefix("198.51.100.0/24"))
	one := mrt.AppendMessageET(nil, sec, 1, &peer4, true, false, pdu)
	one[5] = 16 // plain BGP4MP, which GoBGP reads
	one = append(one[:8:8], append([]byte{0, 0, 0, byte(len(one) - 16)}, one[16:]...)...)
	return bytes.Repeat(one, 20000)
}

func madeRIB() []byte {
	b, _ := mrt.AppendPeerIndexTable(nil, sec, &table)
	c := ribCases()[0]
	one, _ := mrt.AppendRIB(nil, &c.header, c.entries)
	return append(b, bytes.Repeat(one, 20000)...)
}

// BenchmarkRead compares reading a file with GoBGP's parser, record by record:
// frame only, all views and entries, and all views with UPDATE messages parsed.
func BenchmarkRead(b *testing.B) {
	for _, f := range []struct {
		name, file string
		made       func() []byte
	}{
		{"rib", "CAIDA+libbgpstream/test-dumps/routeviews.route-views.jinx.ribs.1401487200.bz2", madeRIB},
		{"updates", "RIPE-NCC+bgpdump/test_data/updates.20160811.1600.gz", madeUpdates},
	} {
		file := benchFile(b, f.file, f.made)
		for _, r := range []struct {
			name string
			read func(rec *mrt.Record)
		}{
			{"frame", func(*mrt.Record) {}},
			{"views", viewsOnly()},
			{"routes", everything()},
			{"gobgp", withGoBGP},
		} {
			b.Run(f.name+"/"+r.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(file)))
				n := 0
				for b.Loop() {
					rd := mrt.NewReader(bytes.NewReader(file))
					var rec mrt.Record
					var err error
					for {
						if rec, err = rd.Next(); err != nil {
							break
						}
						n++
						r.read(&rec)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
			})
		}
	}
}

func viewsOnly() func(rec *mrt.Record) {
	var peers mrt.PeerIndexTable
	var rib mrt.RIB
	return func(rec *mrt.Record) {
		switch rec.Class() {
		case mrt.ClassMessage:
			var m mrt.Message
			_ = m.Parse(rec)
		case mrt.ClassPeerIndex:
			_ = peers.Parse(rec)
		case mrt.ClassRIB:
			if rib.Parse(rec, &peers) == nil {
				n := 0
				for it := rib.Entries(); it.Next(); {
					n += len(it.Entry().Attrs)
				}
				runtime.KeepAlive(n)
			}
		default:
		}
	}
}

func everything() func(rec *mrt.Record) {
	imp := importer{o: &outcome{}}
	return func(rec *mrt.Record) {
		imp.record(rec)
		imp.o.announced, imp.o.withdrawn = imp.o.announced[:0], imp.o.withdrawn[:0]
	}
}

func withGoBGP(rec *mrt.Record) {
	b := mrt.AppendRecord(nil, rec)
	var h gobgp.MRTHeader
	if h.DecodeFromBytes(b) == nil {
		_, _ = gobgp.ParseMRTBody(&h, b[12:])
	}
}

func BenchmarkAppend(b *testing.B) {
	buf := make([]byte, 0, 4096)
	pdu := update(nil, join(originIGP, asPath(4, 65001, 65010, 65020), nextHop4, attribute(0xc0, 8, 0xfd, 0xe9, 0, 7)), prefix("198.51.100.0/24"))
	b.Run("message", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = mrt.AppendMessageET(buf[:0], sec, 1, &peer4, true, false, pdu)
		}
	})
	b.Run("message/gobgp", func(b *testing.B) {
		b.ReportAllocs()
		m := gobgp.NewBGP4MPMessage(65001, 64512, 0, "192.0.2.10", "192.0.2.1", true, nil)
		for b.Loop() {
			m.BGPMessagePayload = pdu
			msg, err := gobgp.NewMRTMessage(sec, gobgp.BGP4MP, gobgp.MESSAGE_AS4, m)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := msg.Serialize(); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, c := range ribCases()[:3] {
		b.Run(fmt.Sprintf("rib/%s/%d", c.name, len(c.entries)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buf, _ = mrt.AppendRIB(buf[:0], &c.header, c.entries)
			}
		})
	}
	var e mrt.Entry
	one, _ := mrt.AppendRIB(nil, &ribCases()[2].header, ribCases()[2].entries[:1])
	peers := mrt.PeerIndexTable{}
	index, _ := mrt.AppendPeerIndexTable(nil, sec, &table)
	recs, _, _ := read(bytes.NewReader(join(index, one)))
	_ = peers.Parse(&recs[0])
	var rib mrt.RIB
	_ = rib.Parse(&recs[1], &peers)
	it := rib.Entries()
	it.Next()
	e = *it.Entry()
	b.Run("update of an entry", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf, _ = mrt.AppendUpdate(buf[:0], &e)
		}
	})
}
