//go:build integration

package integration

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSpeakerKeepsFamilies has GoBGP send what ribtap does not look into: NLRI of
// link state and of mobile user planes, tunnel encapsulations, and a family that
// ribtap offers by number alone. None of it costs the session.
func TestSpeakerKeepsFamilies(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	const encapsulation = "afi-1-safi-7" // RFC 5512's, in no table of ours
	families := []string{"ls", "ipv4-mup", "ipv4-srpolicy", "l2vpn-evpn"}
	p := l.newPeering("gobgp", 65040, NewFeed(240, 1, 0))
	p.ribtap = []string{fmt.Sprintf("families: [ipv4-unicast, ipv6-unicast, %s, %s]", strings.Join(families, ", "), encapsulation)}
	rt := l.StartSpeaker("", p)
	g := l.StartGoBGPSpeaker(newer, p, append(families, "ipv4-encap")...)
	l.await("the session", 20*time.Second, func() error { return rt.established(p.name) })
	// rib adds a route or deletes it.
	rib := func(verb, route string) {
		l.t.Helper()
		must(g.ctl(append([]string{"global", "rib", verb}, strings.Fields(route)...)...))(l.t)
	}
	has := func(family string, want ...string) {
		l.t.Helper()
		l.await("the NLRI of "+family, 20*time.Second, func() error {
			list, err := rt.Routes("--peer", p.addr, "--family", family)
			var got []string
			for _, r := range list {
				got = append(got, r.Prefix+" "+r.RD)
			}
			return errors.Join(err, same(family, got, want))
		})
	}
	// latest is the last UPDATE of a family.
	latest := func(t *testing.T, family string) wireUpdate {
		t.Helper()
		list := must(rt.updates(p.addr, 0, "--family", family))(t)
		if len(list) == 0 || list[len(list)-1].Verdict != "" {
			t.Fatalf("UPDATEs of %s: %+v", family, list)
		}
		return list[len(list)-1]
	}

	l.Run("negotiated", func(t *testing.T) {
		s := must(rt.session(p.name))(t)
		have := map[string]bool{}
		for _, f := range s.Families {
			have[f.Family] = true
		}
		for _, f := range append(families, encapsulation) {
			if !have[f] {
				t.Errorf("%s was not negotiated: %+v", f, s.Families)
			}
		}
	})
	l.Run("link state", func(t *testing.T) {
		rib("add", "link bgp identifier 5 local-asn 65040 local-bgp-ls-id 0 local-bgp-router-id 10.0.0.40 local-bgp-confederation-member 0"+
			" remote-asn 65041 remote-bgp-ls-id 0 remote-bgp-router-id 10.0.0.41 remote-bgp-confederation-member 0"+
			" ipv4-interface-address 192.0.2.1 ipv4-neighbor-address 192.0.2.2 ipv6-interface-address 2001:db8::1 ipv6-neighbor-address 2001:db8::2"+
			" sid 100 sid-type node weight 1 -a ls")
		// RFC 9552 §5.2: a link of protocol BGP, two node descriptors, and the link's.
		node := func(code, asn, id string) string {
			return code + "0018" + "02000004" + asn + "02010004" + "00000000" + "02040004" + id
		}
		has("ls", "0x00020085"+"07"+"0000000000000005"+node("0100", "0000fe10", "0a000028")+node("0101", "0000fe11", "0a000029")+
			"01020008"+"0000000000000000"+"01030004"+"c0000201"+"01040004"+"c0000202"+
			"01050010"+"20010db8000000000000000000000001"+"01060010"+"20010db8000000000000000000000002 ")
		// RFC 9086 §4.1: the attribute has a Peer-Node SID.
		if u := latest(t, "ls"); len(u.Attributes.Other) != 1 || u.Attributes.Other[0].Code != 29 || u.Attributes.Other[0].Value != "044d0008"+"0001000000000064" {
			t.Errorf("%+v", u)
		}
	})
	l.Run("mobile user plane", func(*testing.T) {
		const route = "t1st 192.168.0.1/32 rd 100:100 rt 10:10 teid 12345 qfi 9 endpoint 10.0.0.1 -a ipv4-mup"
		rib("add", route)
		has("ipv4-mup", "0x01000318"+"0000006400000064"+"20c0a80001"+"00003039"+"09"+"200a000001"+"00 100:100")
		rib("del", route)
		has("ipv4-mup")
	})
	l.Run("tunnel encapsulation", func(t *testing.T) {
		rib("add", "macadv aa:bb:cc:dd:ee:01 10.0.0.1 esi 0 etag 100 label 201 rd 65040:1 rt 65040:1 encap vxlan -a evpn")
		has("l2vpn-evpn", "[type:macadv][rd:65040:1][etag:100][mac:aa:bb:cc:dd:ee:01][ip:10.0.0.1] 65040:1")
		if u := latest(t, "l2vpn-evpn"); u.carries("030c000000000008") != nil || !slices.Contains(u.Attributes.ExtCommunities, "encap:vxlan") {
			t.Errorf("%+v", u)
		}
	})
	l.Run("no reset", func(t *testing.T) {
		if s := must(rt.session(p.name))(t); s.Sessions != 1 || s.State != "established" {
			t.Errorf("session %d is %s (%s)", s.Sessions, s.State, s.LastError)
		}
	})
	rt.Stop()
}
