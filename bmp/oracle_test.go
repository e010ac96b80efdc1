package bmp_test

import (
	"encoding/binary"
	"math"
	"net/netip"
	"testing"

	gobmp "github.com/osrg/gobgp/v3/pkg/packet/bmp"

	"github.com/ribtap/ribtap/bmp"
)

// TestOracle compares headers, Peer Up and statistics with what gobgp reads in
// the same octets, as far as gobgp reads them.
func TestOracle(t *testing.T) {
	compared := 0
	try := func(raw []byte) {
		want, err := gobmp.ParseBMPMessage(raw)
		m := parse(t, raw)
		if err != nil || !m.Known {
			return
		}
		compared++
		if m.Type.HasPeer() {
			compareHeader(t, &m.Peer, &want.PeerHeader)
		}
		switch b := want.Body.(type) {
		case *gobmp.BMPPeerUpNotification:
			comparePeerUp(t, m, b)
		case *gobmp.BMPStatisticsReport:
			compareStats(t, m, b)
		}
	}
	for _, raw := range sound(t) {
		try(raw)
	}
	for _, name := range recordings(t) {
		r := bmp.NewReader(newFile(t, name), 0)
		for raw, err := r.Next(); err == nil; raw, err = r.Next() {
			try(raw)
		}
	}
	if compared < 10 {
		t.Errorf("gobgp read %d messages only", compared)
	}
	t.Logf("%d messages compared", compared)
}

func compareHeader(t *testing.T, got *bmp.PeerHeader, want *gobmp.BMPPeerHeader) {
	t.Helper()
	// gobgp takes the F flag of a Loc-RIB for V and reads :: where we read 0.0.0.0.
	a, _ := netip.AddrFromSlice(want.PeerAddress)
	if got.LocRIB() {
		a = netip.IPv4Unspecified()
	}
	id, _ := netip.AddrFromSlice(want.PeerBGPID)
	seconds := float64(got.Seconds) + float64(got.Microseconds)*math.Pow10(-6)
	if got.Type != want.PeerType || got.Flags != want.Flags || got.Address != a || got.ASN != want.PeerAS ||
		got.BGPID != id || seconds != want.Timestamp || binary.BigEndian.Uint64(got.Distinguisher[:]) != want.PeerDistinguisher {
		t.Errorf("header\n got %+v\nwant %+v", *got, *want)
	}
}

func comparePeerUp(t *testing.T, m *bmp.Message, want *gobmp.BMPPeerUpNotification) {
	t.Helper()
	up, err := bmp.ParsePeerUp(m)
	if err != nil {
		t.Errorf("gobgp reads a Peer Up that we do not: %v", err)
		return
	}
	local, _ := netip.AddrFromSlice(want.LocalAddress)
	if m.Peer.LocRIB() {
		local = netip.IPv4Unspecified()
	}
	if up.LocalAddress != local || up.LocalPort != want.LocalPort || up.RemotePort != want.RemotePort {
		t.Errorf("Peer Up %v %d %d, want %v %d %d", up.LocalAddress, up.LocalPort, up.RemotePort, local, want.LocalPort, want.RemotePort)
	}
	if len(up.Sent) != int(want.SentOpenMsg.Header.Len) || len(up.Received) != int(want.ReceivedOpenMsg.Header.Len) {
		t.Errorf("OPENs of %d and %d octets, want %d and %d", len(up.Sent), len(up.Received), want.SentOpenMsg.Header.Len, want.ReceivedOpenMsg.Header.Len)
	}
}

func compareStats(t *testing.T, m *bmp.Message, want *gobmp.BMPStatisticsReport) {
	t.Helper()
	report, err := bmp.ParseStatsReport(m)
	if err != nil {
		t.Errorf("gobgp reads statistics that we do not: %v", err)
		return
	}
	it := report.Stats()
	for _, w := range want.Stats {
		s, ok := it.Next()
		if !ok {
			t.Error("gobgp reads more statistics")
			return
		}
		switch w := w.(type) {
		case *gobmp.BMPStatsTLV32:
			if s.Type != w.Type || s.Value != uint64(w.Value) {
				t.Errorf("statistic %+v, want %+v", s, w)
			}
		case *gobmp.BMPStatsTLV64:
			if s.Type != w.Type || s.Value != w.Value {
				t.Errorf("statistic %+v, want %+v", s, w)
			}
		case *gobmp.BMPStatsTLVPerAfiSafi64:
			if s.Type != w.Type || s.Value != w.Value || uint16(s.Family.AFI()) != w.AFI || uint8(s.Family.SAFI()) != w.SAFI {
				t.Errorf("statistic %+v, want %+v", s, w)
			}
		}
	}
}
