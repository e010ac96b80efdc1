package bmp_test

import (
	"testing"

	"github.com/ribtap/ribtap/bmp"
)

func TestRouteMonitoring(t *testing.T) {
	tests := []struct {
		name      string
		peer      string
		pdu, tail string
		anomalies bmp.Anomalies
	}{
		{"End-of-RIB", peer4, update, "", 0},
		{"Loc-RIB without a time", peerLocRIB, update, "", 0},
		{"octets behind the UPDATE", peer4, update, "00010203", bmp.AnomalyTrailing},
		{"a second UPDATE", peer4, update, update, bmp.AnomalyTrailing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := octets(t, "03 ........ 00", tt.peer, tt.pdu, tt.tail)
			rm, err := bmp.ParseRouteMonitoring(parse(t, raw))
			if err != nil {
				t.Fatal(err)
			}
			wantOctets(t, "head", rm.Head, raw[:48])
			wantOctets(t, "PDU", rm.PDU, octets(t, tt.pdu))
			wantOctets(t, "tail", rm.Tail, octets(t, tt.tail))
			wantAnomalies(t, rm.Anomalies, tt.anomalies)
		})
	}
}

func TestRouteMonitoringErrors(t *testing.T) {
	tests := []struct{ name, body, reason string }{
		{"no PDU", "", bmp.ReasonNoPDU},
		{"18 octets", marker + " 0017", bmp.ReasonBGPHeader},
		{"a zero marker", "00000000000000000000000000000000 0017 02 0000 0000", bmp.ReasonBGPMarker},
		{"one bit of the marker", "fffffffffffffffffffffffffffffffe 0017 02 0000 0000", bmp.ReasonBGPMarker},
		{"length 18", marker + " 0012 02 0000 0000", bmp.ReasonBGPLength},
		{"length one too many", marker + " 0018 02 0000 0000", bmp.ReasonBGPOverrun},
		{"length 65535", marker + " ffff 02 0000 0000", bmp.ReasonBGPOverrun},
		{"a KEEPALIVE", keepalive, bmp.ReasonNotUpdate},
		{"an OPEN", openSent, bmp.ReasonNotUpdate},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := bmp.ParseRouteMonitoring(parse(t, octets(t, "03 ........ 00", peer4, tt.body)))
			e := wantError(t, err, bmp.ClassDrop, tt.reason)
			if e.Type != bmp.TypeRouteMonitoring || e.Offset != 48 {
				t.Errorf("%v: type %s offset %d", err, e.Type, e.Offset)
			}
		})
	}
}

func TestRouteMirroring(t *testing.T) {
	tests := []struct {
		name      string
		body      string
		pdu       string
		code      bmp.MirrorCode
		hasCode   bool
		tlvs      int
		anomalies bmp.Anomalies
	}{
		{"a message", "0000 0017 " + update, update, 0, false, 1, 0},
		{"a message that is none", "0000 0003 010203", "010203", 0, false, 1, 0},
		{"an errored one", "0001 0002 0000 0000 0013 " + keepalive, keepalive, bmp.MirrorErrored, true, 2, 0},
		{"messages lost", "0001 0002 0001", "", bmp.MirrorLost, true, 1, 0},
		{"unknown type and code", "fffb 0001 aa 0001 0002 0007", "", 7, true, 2, 0},
		{"nothing", "", "", 0, false, 0, bmp.AnomalyMirrorEmpty},
		{"a code of one octet", "0001 0001 00", "", 0, false, 1, bmp.AnomalyCodeLength},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mir, err := bmp.ParseRouteMirroring(parse(t, octets(t, "03 ........ 06", peer4, tt.body)))
			if err != nil {
				t.Fatal(err)
			}
			wantOctets(t, "PDU", mir.PDU, octets(t, tt.pdu))
			if mir.HasCode != tt.hasCode || mir.HasCode && mir.Code != tt.code {
				t.Errorf("code %d %v, want %d %v", mir.Code, mir.HasCode, tt.code, tt.hasCode)
			}
			if n := len(tlvs(mir.Info())); n != tt.tlvs {
				t.Errorf("%d TLVs, want %d", n, tt.tlvs)
			}
			wantAnomalies(t, mir.Anomalies, tt.anomalies)
		})
	}
	_, err := bmp.ParseRouteMirroring(parse(t, octets(t, "03 ........ 06", peer4, "0001 0002 0000 0000 0018", update)))
	if e := wantError(t, err, bmp.ClassDrop, bmp.ReasonTLVOverrun); e.Offset != 54 {
		t.Errorf("offset %d, want 54", e.Offset)
	}
	if bmp.MirrorErrored.String() == "" || bmp.MirrorLost.String() == "" || bmp.MirrorCode(2).String() != "" {
		t.Error("names of mirroring codes")
	}
}
