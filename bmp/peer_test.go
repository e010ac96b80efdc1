package bmp_test

import (
	"testing"

	"github.com/ribtap/ribtap/bmp"
)

func TestPeerUp(t *testing.T) {
	tests := []struct {
		name      string
		peer      string
		local     string
		sent      string
		info      string
		address   string
		table     string
		types     []uint16
		anomalies bmp.Anomalies
	}{
		{name: "plain", peer: peer4, local: localAddress, sent: openSent, address: "192.0.2.1"},
		{
			name: "FRRouting's string", peer: peer4, local: localAddress, sent: openSent,
			info: "0000 0003 766966", address: "192.0.2.1", types: []uint16{bmp.InfoString},
		},
		{
			name: "Loc-RIB with a table name", peer: peerLocRIB, local: "00000000000000000000000000000000 0000 0000", sent: openSent,
			info: "0003 0006 676c6f62616c", address: "0.0.0.0", table: "global", types: []uint16{bmp.InfoTableName},
		},
		{
			name: "admin labels and an unknown TLV", peer: peer4, local: localAddress, sent: openSent,
			info: "0004 0001 61  0004 0000  fffb 0002 0102", address: "192.0.2.1",
			types: []uint16{bmp.InfoAdminLabel, bmp.InfoAdminLabel, 65531},
		},
		{
			name: "IPv6", peer: "00 80 0000000000000000 20010db8000000000000000000000002 0000fde9 c000020a 00000000 00000000",
			local: "20010db8000000000000000000000001 00b3 9c41", sent: openSent, address: "2001:db8::1",
		},
		{
			name: "IPv6 link-local peer, local address ::", peer: "00 80 0000000000000000 fe800000000000000000000000000002 0000fde9 c000020a 00000000 00000000",
			local: "00000000000000000000000000000000 00b3 9c41", sent: openSent, address: "::",
		},
		{
			name: "a TLV overruns", peer: peer4, local: localAddress, sent: openSent,
			info: "0003 0001 61 0000 ffff 6162", address: "192.0.2.1", table: "a",
			types: []uint16{bmp.InfoTableName}, anomalies: bmp.AnomalyTLVOverrun,
		},
		{
			name: "three octets behind", peer: peer4, local: localAddress, sent: openSent,
			info: "000000", address: "192.0.2.1", anomalies: bmp.AnomalyTLVOverrun,
		},
		{
			name: "a zero marker", peer: peer4, local: localAddress,
			sent:    "00000000000000000000000000000000 001d 01 04 fde8 00b4 c0000201 00",
			address: "192.0.2.1", anomalies: bmp.AnomalyBGPMarker,
		},
		{
			name: "an OPEN of version 3", peer: peer4, local: localAddress,
			sent:    marker + " 001d 01 03 fde8 00b4 c0000201 00",
			address: "192.0.2.1", anomalies: bmp.AnomalyOpenVersion,
		},
		{
			name: "local address not zero-filled", peer: peer4, local: "ffffffffffffffffffffffff c0000201 00b3 9c41", sent: openSent,
			address: "192.0.2.1", anomalies: bmp.AnomalyLocalAddress,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := octets(t, "03 ........ 03", tt.peer, tt.local, tt.sent, openReceived, tt.info)
			up, err := bmp.ParsePeerUp(parse(t, raw))
			if err != nil {
				t.Fatal(err)
			}
			local := octets(t, tt.local)
			if up.LocalAddress != addr(tt.address) {
				t.Errorf("local address %v, want %v", up.LocalAddress, tt.address)
			}
			if up.LocalPort != uint16(local[16])<<8|uint16(local[17]) || up.RemotePort != uint16(local[18])<<8|uint16(local[19]) {
				t.Errorf("ports %d %d", up.LocalPort, up.RemotePort)
			}
			wantOctets(t, "head", up.Head, raw[:68])
			wantOctets(t, "sent", up.Sent, octets(t, tt.sent))
			wantOctets(t, "received", up.Received, octets(t, openReceived))
			wantOctets(t, "tail", up.Tail, octets(t, tt.info))
			if table, ok := up.Table(); string(table) != tt.table || ok != (tt.table != "") {
				t.Errorf("table %q %v, want %q", table, ok, tt.table)
			}
			wantTypes(t, up.Info(), tt.types)
			wantAnomalies(t, up.Anomalies, tt.anomalies)
		})
	}
}

func wantTypes(t *testing.T, info bmp.TLVs, want []uint16) {
	t.Helper()
	got := tlvs(info)
	if len(got) != len(want) {
		t.Errorf("%d TLVs, want %d", len(got), len(want))
		return
	}
	for i := range want {
		if got[i].Type != want[i] {
			t.Errorf("TLV %d has type %d, want %d", i, got[i].Type, want[i])
		}
	}
}

func TestPeerUpErrors(t *testing.T) {
	tests := []struct {
		name, body, reason string
		offset             int64
	}{
		{"nothing", "", bmp.ReasonBodyShort, 48},
		{"half a local address", "0000000000000000", bmp.ReasonBodyShort, 56},
		{"no remote port", "000000000000000000000000 c0000201 00b3 9c", bmp.ReasonBodyShort, 67},
		{"no OPEN", localAddress, bmp.ReasonNoPDU, 68},
		{"one OPEN", localAddress + openSent, bmp.ReasonNoPDU, 97},
		{"an OPEN of length 18", localAddress + marker + " 0012 01 04 fde8 00b4 c0000201 00" + openReceived, bmp.ReasonBGPLength, 68},
		{"a second OPEN that is cut", localAddress + openSent + marker + " 001e 01 04 fde8 00b4 c0000201 00", bmp.ReasonBGPOverrun, 97},
		{"an OPEN of 28", localAddress + marker + " 001c 01 04 fde8 00b4 c0000201" + openReceived, bmp.ReasonOpenShort, 68},
		{"a KEEPALIVE as second", localAddress + openSent + keepalive, bmp.ReasonNotOpen, 97},
		{"ten octets as second", localAddress + openSent + "ffffffffffffffffffff", bmp.ReasonBGPHeader, 97},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := bmp.ParsePeerUp(parse(t, octets(t, "03 ........ 03", peer4, tt.body)))
			if e := wantError(t, err, bmp.ClassDrop, tt.reason); e.Offset != tt.offset {
				t.Errorf("offset %d, want %d", e.Offset, tt.offset)
			}
		})
	}
}

func TestPeerDown(t *testing.T) {
	tests := []struct {
		name         string
		body         string
		reason       bmp.PeerDownReason
		notification string
		fsm          uint16
		tail         string
		table        string
		anomalies    bmp.Anomalies
	}{
		{name: "NOTIFICATION sent", body: "01" + notification, reason: bmp.PeerDownLocalNotification, notification: notification},
		{name: "NOTIFICATION received", body: "03" + notification, reason: bmp.PeerDownRemoteNotification, notification: notification},
		{name: "FSM event", body: "02 0012", reason: bmp.PeerDownLocalFSM, fsm: 18, tail: "0012"},
		{name: "FRRouting, at connect, a peer that was never up", body: "02 0000", reason: bmp.PeerDownLocalFSM, tail: "0000"},
		{name: "remote, no data", body: "04", reason: bmp.PeerDownRemoteNoData},
		{name: "de-configured", body: "05", reason: bmp.PeerDownDeconfigured},
		{name: "Loc-RIB", body: "06 0003 0006 676c6f62616c", reason: bmp.PeerDownLocalTLV, tail: "0003 0006 676c6f62616c", table: "global"},
		{name: "Loc-RIB without a TLV", body: "06", reason: bmp.PeerDownLocalTLV},
		{name: "no reason", body: "", anomalies: bmp.AnomalyPeerDownReason},
		{name: "reason 0", body: "00", anomalies: bmp.AnomalyPeerDownReason},
		{name: "reason 7 with data", body: "07 0102", reason: 7, tail: "0102", anomalies: bmp.AnomalyPeerDownReason},
		{name: "no NOTIFICATION", body: "01", reason: 1, anomalies: bmp.AnomalyNotification},
		{name: "NOTIFICATION that is cut", body: "03" + marker + " 0016 03 0602", reason: 3, tail: marker + " 0016 03 0602", anomalies: bmp.AnomalyNotification},
		{name: "NOTIFICATION without a code", body: "03" + marker + " 0013 03", reason: 3, tail: marker + " 0013 03", anomalies: bmp.AnomalyNotification},
		{name: "UPDATE for a NOTIFICATION", body: "03" + update, reason: 3, tail: update, anomalies: bmp.AnomalyNotification},
		{
			name: "NOTIFICATION with a zero marker", body: "03 00000000000000000000000000000000 0015 03 0602", reason: 3,
			notification: "00000000000000000000000000000000 0015 03 0602", anomalies: bmp.AnomalyBGPMarker,
		},
		{name: "octets behind the NOTIFICATION", body: "01" + notification + "aa", reason: 1, notification: notification, tail: "aa", anomalies: bmp.AnomalyTrailing},
		{name: "FSM event of one octet", body: "02 12", reason: 2, tail: "12", anomalies: bmp.AnomalyFSMCode},
		{name: "FSM event of three octets", body: "02 001200", reason: 2, fsm: 18, tail: "001200", anomalies: bmp.AnomalyTrailing},
		{name: "data where none belongs", body: "04 00", reason: 4, tail: "00", anomalies: bmp.AnomalyTrailing},
		{name: "TLV overruns", body: "06 0003 0007 67", reason: 6, tail: "0003 0007 67", anomalies: bmp.AnomalyTLVOverrun},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := octets(t, "03 ........ 02", peer4, tt.body)
			down, err := bmp.ParsePeerDown(parse(t, raw))
			if err != nil {
				t.Fatal(err)
			}
			if down.Reason != tt.reason || down.FSMCode != tt.fsm {
				t.Errorf("reason %d FSM %d, want %d %d", down.Reason, down.FSMCode, tt.reason, tt.fsm)
			}
			wantOctets(t, "notification", down.Notification, octets(t, tt.notification))
			wantOctets(t, "tail", down.Tail, octets(t, tt.tail))
			wantOctets(t, "data", down.Data, octets(t, tt.notification, tt.tail))
			wantOctets(t, "parts", append(append(append([]byte(nil), down.Head...), down.Notification...), down.Tail...), raw)
			if table, _ := down.Table(); string(table) != tt.table {
				t.Errorf("table %q, want %q", table, tt.table)
			}
			wantAnomalies(t, down.Anomalies, tt.anomalies)
			if words := down.Reason.String(); (words == "") != (tt.anomalies == bmp.AnomalyPeerDownReason) {
				t.Errorf("reason %d in words: %q", down.Reason, words)
			}
		})
	}
}

func TestFSMEvent(t *testing.T) {
	for code, want := range map[uint16]string{0: "", 1: "ManualStart", 10: "HoldTimer_Expires", 18: "TcpConnectionFails", 28: "UpdateMsgErr", 29: "", 65535: ""} {
		if got := bmp.FSMEvent(code); got != want {
			t.Errorf("event %d is called %q, want %q", code, got, want)
		}
	}
}
