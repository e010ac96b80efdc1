package bmp_test

import (
	"io"
	"testing"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/bmp"
)

// sound returns one message of each type, and some of their variants, without
// an anomaly.
func sound(tb testing.TB) map[string][]byte {
	tb.Helper()
	return map[string][]byte{
		"route monitoring":   octets(tb, "03 ........ 00", peer4, update),
		"loc-rib":            octets(tb, "03 ........ 00", peerLocRIB, update),
		"statistics":         octets(tb, "03 ........ 01", peer4, "00000003 0000 0004 00000007 0009 000b 0001 01 0000000000000002 fffb 0003 010101"),
		"peer down 1":        octets(tb, "03 ........ 02", peer4, "01", notification),
		"peer down 2":        octets(tb, "03 ........ 02", peer4, "02 0000"),
		"peer down 4":        octets(tb, "03 ........ 02", peer4, "04"),
		"peer down 6":        octets(tb, "03 ........ 02", peerLocRIB, "06 0003 0006 676c6f62616c"),
		"peer up":            octets(tb, "03 ........ 03", peer4, localAddress, openSent, openReceived, "0000 0003 766966 0003 0001 61"),
		"peer up loc-rib":    octets(tb, "03 ........ 03", peerLocRIB, "00000000000000000000000000000000 0000 0000", openSent, openSent),
		"initiation":         octets(tb, "03 ........ 04  0002 0002 7872  0001 0007 20372e31302e32 0000 0000"),
		"termination":        octets(tb, "03 ........ 05  0000 0003 627965  0001 0002 0003"),
		"mirroring":          octets(tb, "03 ........ 06", peer4, "0001 0002 0000 0000 0013", keepalive),
		"unknown type":       octets(tb, "03 ........ 64 010203"),
		"version 4":          octets(tb, "04 ........ 00", peer4, update),
		"route monitoring 6": octets(tb, "03 ........ 00 01 c0 0000fde800000001 20010db8000000000000000000000002 0000fde9 c000020a 6553f100 0001e240", update),
	}
}

func TestRoundTrip(t *testing.T) {
	for name, raw := range sound(t) {
		t.Run(name, func(t *testing.T) {
			found, again, err := body(parse(t, raw))
			if err != nil {
				t.Fatal(err)
			}
			wantAnomalies(t, found, 0)
			wantOctets(t, "written again", again, raw)
		})
	}
}

// TestAppendAfterOthers checks that encoders append, and count from there.
func TestAppendAfterOthers(t *testing.T) {
	peer := bmp.PeerHeader{Address: addr("192.0.2.10"), ASN: 65001, BGPID: addr("192.0.2.10"), Seconds: 1700000000, Microseconds: 123456}
	pdu := octets(t, update)
	b := bmp.AppendInitiation(nil, bmp.TextTLV(bmp.InfoSysName, "r1"))
	b = bmp.AppendPeerUp(b, &peer, &bmp.PeerUp{
		LocalAddress: addr("192.0.2.1"), LocalPort: 179, RemotePort: 40001,
		Sent: octets(t, openSent), Received: octets(t, openReceived),
	})
	b = bmp.AppendRouteMonitoring(b, &peer, pdu)
	b = bmp.AppendStats(b, &peer, []bmp.Stat{
		{Type: 0, Value: 1},
		{Type: 7, Value: 2},
		{Type: 9, HasFamily: true, Family: bgp.IPv6Unicast, Value: 3},
		{Type: 500, Value: 4},
		{Type: 501, Gauge: true, Value: 5},
	})
	b = bmp.AppendRouteMirroring(b, &peer, bmp.TLV{Type: bmp.MirrorMessage, Value: pdu}, bmp.CodeTLV(bmp.MirrorInformation, uint16(bmp.MirrorLost)))
	b = bmp.AppendPeerDown(b, &peer, bmp.PeerDownRemoteNotification, octets(t, notification))
	b = bmp.AppendTermination(b, bmp.CodeTLV(bmp.TerminationReasonCode, uint16(bmp.TerminationPermanent)))
	want := octets(t, "03 0000000c 04 0002 0002 7231")
	for _, part := range []string{
		"03 ........ 03" + peer4 + "\n" + localAddress + openSent + openReceived,
		"03 ........ 00" + peer4 + "\n" + update,
		"03 ........ 01" + peer4 + "\n" + `00000005
			0000 0004 00000001
			0007 0008 0000000000000002
			0009 000b 0002 01 0000000000000003
			01f4 0004 00000004
			01f5 0008 0000000000000005`,
		"03 ........ 06" + peer4 + "\n 0000 0017" + update + "0001 0002 0001",
		"03 ........ 02" + peer4 + "\n 03" + notification,
		"03 ........ 05 0001 0002 0004",
	} {
		want = append(want, octets(t, part)...)
	}
	wantOctets(t, "stream", b, want)
}

// again is a source that repeats a stream for ever.
type again struct {
	stream []byte
	at     int
}

func (a *again) Read(p []byte) (int, error) {
	n := copy(p, a.stream[a.at:])
	a.at = (a.at + n) % len(a.stream)
	return n, nil
}

var _ io.Reader = (*again)(nil)

// TestAllocations runs every message type through reading, both parsing steps,
// iterating and writing.
func TestAllocations(t *testing.T) {
	var stream []byte
	n := 0
	for _, raw := range sound(t) {
		stream = append(stream, raw...)
		n++
	}
	r := bmp.NewReader(&again{stream: stream}, 0)
	dst := make([]byte, 0, 4096)
	statsBuf := make([]bmp.Stat, 0, 8)
	run := func() {
		for range n {
			raw, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			r.Buffered()
			m, err := bmp.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			use(t, &m, dst, statsBuf)
		}
	}
	for range 2000 { // until the buffer has its final size
		run()
	}
	if got := testing.AllocsPerRun(1000, run); got != 0 {
		t.Errorf("%v allocations for %d messages, want none", got, n)
	}
}

// use reads the body of m as a collector does.
func use(tb testing.TB, m *bmp.Message, dst []byte, stats []bmp.Stat) {
	var err error
	switch {
	case !m.Known:
	case m.Type == bmp.TypeRouteMonitoring:
		var v bmp.RouteMonitoring
		v, err = bmp.ParseRouteMonitoring(m)
		bmp.AppendRouteMonitoring(dst, &m.Peer, v.PDU)
	case m.Type == bmp.TypeStatistics:
		var v bmp.StatsReport
		v, err = bmp.ParseStatsReport(m)
		it := v.Stats()
		for s, ok := it.Next(); ok; s, ok = it.Next() {
			stats = append(stats, s)
		}
		bmp.AppendStats(dst, &m.Peer, stats)
	case m.Type == bmp.TypePeerDown:
		var v bmp.PeerDown
		v, err = bmp.ParsePeerDown(m)
		v.Table()
		bmp.AppendPeerDown(dst, &m.Peer, v.Reason, v.Data)
	case m.Type == bmp.TypePeerUp:
		var v bmp.PeerUp
		v, err = bmp.ParsePeerUp(m)
		v.Table()
		bmp.AppendPeerUp(dst, &m.Peer, &v)
	case m.Type == bmp.TypeInitiation:
		var v bmp.Initiation
		v, err = bmp.ParseInitiation(m)
		it, n := v.Info(), 0
		for _, ok := it.Next(); ok; _, ok = it.Next() {
			n++
		}
		if n == 0 {
			tb.Fatal("an Initiation without TLVs")
		}
	case m.Type == bmp.TypeTermination:
		_, err = bmp.ParseTermination(m)
	case m.Type == bmp.TypeRouteMirroring:
		_, err = bmp.ParseRouteMirroring(m)
	}
	if err != nil {
		tb.Fatal(err)
	}
}
