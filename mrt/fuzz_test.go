package mrt_test

import (
	"bytes"
	"testing"

	"github.com/ribtap/ribtap/mrt"
)

func seeds() [][]byte {
	b, _ := mrt.AppendPeerIndexTable(nil, sec, &table)
	for _, c := range ribCases() {
		b, _ = mrt.AppendRIB(b, &c.header, c.entries)
	}
	m := mrt.AppendMessageET(nil, sec, 1, &peer4, true, false, update(nil, join(originIGP, asPath(4, 1), nextHop4), prefix("10.0.0.0/8")))
	m = mrt.AppendStateChangeET(m, sec, 1, &peer6, mrt.Idle, mrt.Established)
	e := record(sec, mrt.TypeTableDump, 1, join([]byte{0, 1, 0, 2, 198, 51, 100, 0, 24, 1, 0, 0, 0, 9, 192, 0, 2, 10, 0xfd, 0xe9, 0, 4}, originIGP)...)
	return [][]byte{b, m, e, join(b, m, make([]byte, 100), e), gz(m), zst(m), bz2Two}
}

// FuzzReader reads whole files: what is read, appended again, is the content.
func FuzzReader(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		importFile(bytes.NewReader(file))
		// Taken as plain, every octet is in a record, padding, or behind the end.
		r := mrt.NewReader(bytes.NewReader(file))
		for {
			rec, err := r.Next()
			if err != nil {
				return
			}
			b := mrt.AppendRecord(nil, &rec)
			if !bytes.HasPrefix(file[rec.Offset:], b) {
				t.Fatalf("record at %d comes back as %x", rec.Offset, b)
			}
		}
	})
}

// FuzzRecord reads one body as every view: entries make messages that announce
// what they say, and counted entries are there.
func FuzzRecord(f *testing.F) {
	for _, s := range seeds() {
		recs, _, _ := read(bytes.NewReader(s))
		for _, rec := range recs {
			f.Add(rec.Type, rec.Subtype, rec.Body)
		}
	}
	var index mrt.Record
	b, _ := mrt.AppendPeerIndexTable(nil, sec, &table)
	recs, _, _ := read(bytes.NewReader(b))
	index = recs[0]
	f.Fuzz(func(t *testing.T, typ, subtype uint16, body []byte) {
		rec := mrt.Record{Type: typ, Subtype: subtype, Body: body[:len(body):len(body)]}
		imp := importer{o: &outcome{}}
		if err := imp.peers.Parse(&index); err != nil {
			t.Fatal(err)
		}
		imp.record(&rec)
		var r mrt.RIB
		if err := imp.peers.Parse(&index); err != nil {
			t.Fatal(err)
		}
		if r.Parse(&rec, &imp.peers) != nil {
			return
		}
		n := 0
		for it := r.Entries(); it.Next(); n++ {
			e := it.Entry()
			msg, err := mrt.AppendUpdate(nil, e)
			if err != nil || !e.Prefix.IsValid() {
				continue
			}
			imp.u.Parse(msg, e.Session())
			for routes := imp.u.Routes(); routes.Next(); {
				if p := routes.Route().NLRI.Prefix; p != e.Prefix {
					t.Fatalf("%v announced for %v", p, e.Prefix)
				}
			}
			rewriteEntry(t, &r, e)
		}
		if n != r.Count-r.NoPeer {
			t.Fatalf("%d entries, Count %d, NoPeer %d", n, r.Count, r.NoPeer)
		}
	})
}

// rewriteEntry writes an entry as if its session had two-octet AS numbers.
func rewriteEntry(t *testing.T, r *mrt.RIB, e *mrt.Entry) {
	h := mrt.RIBHeader{Family: r.Family, AddPath: r.AddPath, NLRI: r.NLRI}
	for _, as4 := range []bool{true, false} {
		b, err := mrt.AppendRIB(nil, &h, []mrt.RIBEntry{{AS4: as4, NextHop: []byte{1, 2, 3, 4}, Attrs: e.Attrs}})
		if err != nil {
			if mrt.EntryReason(err) == "" {
				t.Fatal(err)
			}
			continue
		}
		if got := entries(t, b, 1); len(got) != 1 || got[0].Prefix != r.Prefix {
			t.Fatalf("written again: %+v", got)
		}
	}
}
