package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker/speakertest"
)

// routesOf lists "PREFIX AS-PATH NEXT-HOP MED" of what the history has of a peer.
func (d *testDaemon) routesOf(t *testing.T, peer string) string {
	t.Helper()
	out := ribtap(t, "routes", "--peer", peer, "--data-dir", d.dir, "-o", "csv").must(t, exitOK).stdout
	lines := strings.Split(strings.TrimSpace(out), "\n")
	columns := strings.Split(lines[0], ",")
	var words []string
	for _, line := range lines[1:] {
		fields := strings.Split(line, ",")
		for i, c := range columns {
			switch c {
			case "prefix", "as_path", "next_hop", "med":
				words = append(words, fields[i])
			}
		}
	}
	return strings.Join(words, " ")
}

// TestTersePeer is a program that announces service addresses and has little of
// BGP: two-octet AS numbers, each capability in a parameter of its own, no route
// refresh, a hold time of 10 s; its first UPDATE follows on the KEEPALIVE at once,
// and one UPDATE has routes of both families.
func TestTersePeer(t *testing.T) {
	d, _ := startPeered(t, "bgp: {peers: [{name: vips, address: 127.0.0.2, remote_asn: 65002}]}\n")
	p := speakertest.Dial(t, d.bgp, "127.0.0.2")
	const (
		open = "04 fdea 000a 7f000002 10" + "0206 0104 00020001" + "0206 0104 00010001"
		// ORIGIN, AS_PATH of two octets a number, NEXT_HOP, MED, COMMUNITIES.
		attrs = "40010100 400204 0201 fdea 400304 7f000002 800404 0000000a c00804 fdea0001"
		reach = "800e26 0002 01 10 20010db8000000000000000000000002 00 80 20010db8000000000000000000000053"
		gone  = "800f14 0002 01 80 20010db8000000000000000000000053"
	)
	p.Send(speakertest.HexMessage(t, bgp.MessageOpen, open))
	p.Expect(bgp.MessageOpen)
	p.Send(speakertest.Keepalive(), speakertest.HexMessage(t, bgp.MessageUpdate, "0000 0049"+attrs+reach+"20 c0000235"))
	p.Expect(bgp.MessageKeepalive, bgp.MessageUpdate, bgp.MessageUpdate) // with our End-of-RIBs
	d.waitRoutes(t, "vips", 2)
	if s := d.peer(t, "vips"); *s.HoldTime != 10 || strings.Contains(*s.ReceivedCapabilities, "four-octet-as") || *s.PeerASN != 65002 {
		t.Errorf("hold time %d, AS %d, capabilities %s", *s.HoldTime, *s.PeerASN, *s.ReceivedCapabilities)
	}
	eventually(t, "the routes in the history", func() bool {
		got := d.routesOf(t, "127.0.0.2")
		return strings.Contains(got, "192.0.2.53/32 65002 127.0.0.2 10") && strings.Contains(got, "2001:db8::53/128 65002 2001:db8::2 10")
	})
	// What is withdrawn comes with all attributes, and with nothing that they are of.
	p.Send(speakertest.HexMessage(t, bgp.MessageUpdate, "0005 20 c0000235 0037"+attrs+gone))
	d.waitRoutes(t, "vips", 0)
	if s := d.peer(t, "vips"); *s.Sessions != 1 || s.LastError != nil {
		t.Errorf("%d sessions, last error %v", *s.Sessions, s.LastError)
	}
	p.Send(speakertest.HexMessage(t, bgp.MessageNotification, "06 02"))
	eventually(t, "the end in the history", func() bool {
		out := ribtap(t, "peers", "--history", "--data-dir", d.dir, "-o", "ndjson").must(t, exitOK).stdout
		return strings.Contains(out, `"notification":"Cease/Administrative Shutdown"`)
	})
}

// TestOneFamilyPeer is a program that reads the last multiprotocol capability alone
// and wants its own family there, and that always puts AS_TRANS into its OPEN.
func TestOneFamilyPeer(t *testing.T) {
	d, _ := startPeered(t, "bgp: {peers: [{name: one, address: 127.0.0.2, families: [ipv6-unicast]}]}\n")
	p := speakertest.Dial(t, d.bgp, "127.0.0.2")
	ours := p.Handshake(speakertest.HexMessage(t, bgp.MessageOpen, "04 5ba0 005a 7f000002 0e"+"020c 0104 00020001 4104 0000fdea"))
	family := speakertest.Octets(t, "0104 00020001")
	if n := bytes.Count(ours, []byte{1, 4, 0}); n != 1 || !bytes.Contains(ours, family) || !bytes.Contains(ours, speakertest.Octets(t, "4104")) {
		t.Errorf("%d multiprotocol capabilities in our OPEN, want that of IPv6 alone: % x", n, ours)
	}
	// The session is Established when the End-of-RIB of the one family comes.
	p.ExpectHex(bgp.MessageUpdate, "0000 0006 800f03 000201")
	eventually(t, "the session of AS 65002", func() bool {
		s := d.peer(t, "one")
		return s.BGPState != nil && *s.BGPState == "established" && s.PeerASN != nil && *s.PeerASN == 65002
	})
}
