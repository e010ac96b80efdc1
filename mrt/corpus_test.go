package mrt_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/corpus"
	"github.com/ribtap/ribtap/mrt"
)

// counts is what a file holds: routes of tables, announced, withdrawn, state
// changes. The expected ones are of bgpdump -m, but for what it does not print,
// in generic: ENTRY, RIB_GENERIC, and messages of other families than unicast and
// multicast.
type counts struct{ records, rib, announce, withdraw, state, generic, reset int }

var corpusFiles = []struct {
	name string
	want counts
}{
	{"CAIDA+libbgpstream/test-dumps/ris.rrc06.updates.1401488100.gz", counts{records: 1561, announce: 3761, state: 4, withdraw: 68}},
	{"CAIDA+libbgpstream/test-dumps/routeviews.route-views.jinx.ribs.1401487200.bz2", counts{records: 497408, rib: 503590}},
	{"CAIDA+libbgpstream/test-dumps/routeviews.route-views.jinx.updates.1401493500.bz2", counts{records: 644, announce: 1238, withdraw: 116}},
	{"CAIDA+libbgpstream/test-dumps/updates.example.bz2", counts{records: 45062, announce: 126269, withdraw: 10975}},
	{"CAIDA+libbgpstream/test/ris.rrc06.updates.1427846400.gz", counts{records: 795, announce: 1435, state: 4, withdraw: 122}},
	{"CAIDA+libbgpstream/test/routeviews.route-views.jinx.updates.1427846400.bz2", counts{records: 1756, announce: 8160, withdraw: 451}},
	{"RIPE-NCC+bgpdump/test_data/bview.20020722.2337.gz", counts{records: 115521, rib: 115521}},
	{"RIPE-NCC+bgpdump/test_data/bview.64k_stream_overflow.gz", counts{records: 2, rib: 23}},
	{"RIPE-NCC+bgpdump/test_data/bview.ipv4_unicast_add_path.gz", counts{records: 32, rib: 62}},
	{"RIPE-NCC+bgpdump/test_data/bview.ipv6_unicast_add_path.gz", counts{records: 32, rib: 62}},
	{"RIPE-NCC+bgpdump/test_data/updates.20020722.2238.gz", counts{records: 1121, announce: 825, state: 93, withdraw: 2419}},
	{"RIPE-NCC+bgpdump/test_data/updates.20070211.0141.gz", counts{records: 23394, announce: 51329, withdraw: 2328}},
	{"RIPE-NCC+bgpdump/test_data/updates.20071015.1505.gz", counts{records: 4297, announce: 10111, withdraw: 385}},
	{"RIPE-NCC+bgpdump/test_data/updates.20100722.2015.gz", counts{records: 2193, announce: 5067, state: 40, withdraw: 547}},
	{"RIPE-NCC+bgpdump/test_data/updates.20160811.1600.gz", counts{records: 17406, announce: 39256, state: 22, withdraw: 1956}},
	{"RIPE-NCC+bgpdump/test_data/updates.et-header.2015.gz", counts{records: 89686, announce: 577737, state: 4, withdraw: 3}},
	{"RIPE-NCC+bgpdump/test_data/updates.long_withdrawal.gz", counts{records: 1, withdraw: 4096}},
	// Its NLRI field is cut. bgpdump prints the first prefix; RFC 7606 §5.3 has no route come of it.
	{"RIPE-NCC+bgpdump/test_data/updates.nlri_mask_trailing_bits.gz", counts{records: 1, reset: 1}},
	{"t2mune+mrtparse/samples/openbgpd_bgp", counts{records: 87, announce: 93, state: 16, generic: 6}},
	{"t2mune+mrtparse/samples/openbgpd_rib_table", counts{records: 31, rib: 31}},
	{"t2mune+mrtparse/samples/openbgpd_rib_table-mp", counts{records: 31, generic: 31}},
	{"t2mune+mrtparse/samples/openbgpd_rib_table-v2", counts{records: 24, rib: 31, generic: 2}},
	{"t2mune+mrtparse/samples/quagga_bgp", counts{records: 67, announce: 18, state: 20, generic: 16}},
	{"t2mune+mrtparse/samples/quagga_rib", counts{records: 7, rib: 9}},
}

func openCorpus(t testing.TB, name string) (io.Reader, func()) {
	t.Helper()
	f, err := os.Open(filepath.Join(corpus.Data(), "mrt", name))
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := mrt.Decompress(f)
	if err != nil {
		t.Fatal(err)
	}
	return r, func() { _ = f.Close() }
}

// TestCorpus reads every real file of RIBTAP_CORPUS: every record, appended
// again, is the octets of the file, and the routes are as many as bgpdump finds.
func TestCorpus(t *testing.T) {
	if corpus.Data() == "" {
		return
	}
	for _, f := range corpusFiles {
		t.Run(filepath.Base(f.name), func(t *testing.T) {
			src, done := openCorpus(t, f.name)
			defer done()
			var octets bytes.Buffer
			r := mrt.NewReader(io.TeeReader(src, &octets))
			var got counts
			v := views{t: t, got: &got}
			var again []byte
			for {
				rec, err := r.Next()
				if err != nil {
					if err != io.EOF { //nolint:errorlint // the contract says io.EOF itself
						t.Error(err)
					}
					break
				}
				got.records++
				again = mrt.AppendRecord(again[:0], &rec)
				if !bytes.HasPrefix(octets.Bytes(), again) {
					t.Fatalf("record at %d comes back otherwise", rec.Offset)
				}
				octets.Next(len(again))
				v.read(&rec)
			}
			if octets.Len() != 0 {
				t.Errorf("%d octets left", octets.Len())
			}
			if diff := cmp.Diff(f.want, got, cmp.AllowUnexported(counts{})); diff != "" {
				t.Errorf("(-bgpdump +got):\n%s", diff)
			}
		})
	}
}

// views reads records of every class and counts.
type views struct {
	t     *testing.T
	got   *counts
	peers mrt.PeerIndexTable
	rib   mrt.RIB
	u     bgp.Update
	buf   []byte
}

func (v *views) read(rec *mrt.Record) {
	v.t.Helper()
	check := func(err error, anomaly string) bool {
		if err != nil || anomaly != "" {
			v.t.Errorf("record %d/%d at %d: %v %s", rec.Type, rec.Subtype, rec.Offset, err, anomaly)
		}
		return err == nil
	}
	switch rec.Class() {
	case mrt.ClassMessage:
		var m mrt.Message
		if check(m.Parse(rec), m.Anomaly) && m.PDU[18] == 2 {
			v.update(m.PDU, m.Session())
		}
	case mrt.ClassStateChange:
		var s mrt.StateChange
		if check(s.Parse(rec), s.Anomaly) {
			v.got.state++
		}
	case mrt.ClassPeerIndex:
		check(v.peers.Parse(rec), v.peers.Anomaly)
	case mrt.ClassRIB:
		if check(v.rib.Parse(rec, &v.peers), v.rib.Anomaly) {
			for it := v.rib.Entries(); it.Next(); {
				v.entry(rec, it.Entry())
			}
		}
	case mrt.ClassTableEntry:
		var e mrt.TableEntry
		if check(e.Parse(rec), e.Anomaly) {
			v.entry(rec, &e.Entry)
		}
	case mrt.ClassOther:
		v.t.Errorf("record %d/%d at %d is read by no view", rec.Type, rec.Subtype, rec.Offset)
	}
}

func (v *views) update(pdu []byte, s bgp.Session) {
	v.u.Parse(pdu, s)
	if v.u.Verdict() == bgp.VerdictSessionReset {
		v.got.reset++
	}
	for it := v.u.Routes(); it.Next(); {
		// bgpdump knows nothing of treat-as-withdraw.
		r := it.Route()
		switch {
		case r.NLRI.Family.SAFI() > 2:
			v.got.generic++
		case r.Action == bgp.Announce || r.TreatAsWithdraw:
			v.got.announce++
		default:
			v.got.withdraw++
		}
	}
}

func (v *views) entry(rec *mrt.Record, e *mrt.Entry) {
	var err error
	if v.buf, err = mrt.AppendUpdate(v.buf[:0], e); err != nil {
		v.t.Errorf("record at %d: %v", rec.Offset, err)
		return
	}
	// A local route has an empty path or next hop 0.0.0.0: the verdict of RFC
	// 7606 on it is not asked here, only that there is one route, this one.
	n := 0
	v.u.Parse(v.buf, e.Session())
	for it := v.u.Routes(); it.Next(); n++ {
		r := it.Route()
		if e.Prefix.IsValid() && r.NLRI.Prefix != e.Prefix || r.NLRI.Family != e.Family || r.NLRI.PathID != e.PathID || r.NLRI.HasPathID != e.HasPathID {
			v.t.Errorf("record at %d: announces %v of %v", rec.Offset, r.NLRI, e)
		}
	}
	if n != 1 {
		v.t.Errorf("record at %d: %d routes: %v", rec.Offset, n, v.u.Findings())
	}
	if rec.Type == mrt.TypeBGP4MP || rec.Subtype == mrt.SubtypeRIBGeneric {
		v.got.generic++
	} else {
		v.got.rib++
	}
}

// TestCorpusRewritten writes the messages and tables of real files anew with
// the append encoders and compares what bgpdump prints of both.
func TestCorpusRewritten(t *testing.T) {
	if corpus.Data() == "" {
		return
	}
	for _, f := range corpusFiles {
		if f.want.generic > 0 || f.want.records > 50000 {
			continue // bgpdump prints nothing of ENTRY, and takes minutes for the largest
		}
		t.Run(filepath.Base(f.name), func(t *testing.T) {
			src, done := openCorpus(t, f.name)
			defer done()
			plain, err := io.ReadAll(src)
			if err != nil {
				t.Fatal(err)
			}
			rewritten := rewrite(t, plain)
			want, ok := bgpdump(t, plain)
			got, _ := bgpdump(t, rewritten)
			if !ok {
				return
			}
			if len(want) != len(got) {
				t.Fatalf("%d lines, want %d", len(got), len(want))
			}
			for i := range want {
				if a, b := comparable(want[i]), comparable(got[i]); a != b {
					t.Fatalf("line %d (-original +rewritten):\n%s", i, cmp.Diff(a, b))
				}
			}
		})
	}
}

// comparable is a line of bgpdump without the record type, which becomes ET,
// with whole seconds, and with one word for a next hop that is not there: the
// original has none, the rewritten file the unspecified address.
func comparable(line string) string {
	fields := strings.SplitN(line, "|", 3)
	if len(fields) < 3 {
		return line
	}
	stamp, _, _ := strings.Cut(fields[1], ".")
	rest := strings.NewReplacer("|255.255.255.255|", "|none|", "|0.0.0.0|", "|none|", "|::|", "|none|").Replace(fields[2])
	return stamp + "|" + rest
}

func rewrite(t *testing.T, plain []byte) []byte {
	t.Helper()
	var out []byte
	var peers mrt.PeerIndexTable
	var rib mrt.RIB
	recs, _, _ := read(bytes.NewReader(plain))
	for i := range recs {
		rec := &recs[i]
		var err error
		switch rec.Class() {
		case mrt.ClassMessage:
			var m mrt.Message
			if err = m.Parse(rec); err == nil {
				out = mrt.AppendMessageET(out, rec.Timestamp, rec.Microseconds, &m.PeerHeader, m.AS4, m.AddPath, m.PDU)
			}
		case mrt.ClassStateChange:
			var s mrt.StateChange
			if err = s.Parse(rec); err == nil {
				out = mrt.AppendStateChangeET(out, rec.Timestamp, rec.Microseconds, &s.PeerHeader, s.Old, s.New)
			}
		case mrt.ClassPeerIndex:
			if err = peers.Parse(rec); err == nil {
				out, err = mrt.AppendPeerIndexTable(out, rec.Timestamp, &peers)
			}
		case mrt.ClassRIB:
			if err = rib.Parse(rec, &peers); err == nil {
				out, err = rewriteRIB(t, out, rec, &rib)
			}
		default:
			out = mrt.AppendRecord(out, rec)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func rewriteRIB(t *testing.T, out []byte, rec *mrt.Record, rib *mrt.RIB) ([]byte, error) {
	var es []mrt.RIBEntry
	for it := rib.Entries(); it.Next(); {
		e := it.Entry()
		msg, err := mrt.AppendUpdate(nil, e)
		if err != nil {
			return out, err
		}
		n := binary.BigEndian.Uint16(msg[21:])
		hop, _, _ := takeApart(t, msg, e.HasPathID)
		es = append(es, mrt.RIBEntry{
			PeerIndex: e.PeerIndex, Originated: e.Originated, PathID: e.PathID, AS4: true,
			NextHop: hop, Attrs: msg[23 : 23+n],
		})
	}
	h := mrt.RIBHeader{Seconds: rec.Timestamp, Sequence: rib.Sequence, Family: rib.Family, AddPath: rib.AddPath, NLRI: rib.NLRI}
	return mrt.AppendRIB(out, &h, es)
}
