//go:build integration

package integration

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// wireUpdate is an UPDATE as `ribtap stream inspect --raw` prints it, in part.
type wireUpdate struct {
	Kind     string   `json:"kind"`
	Flags    []string `json:"flags"`
	Verdict  string   `json:"verdict"`
	Findings []struct {
		Attribute uint8  `json:"attribute"`
		Verdict   string `json:"verdict"`
	} `json:"findings"`
	Routes []struct {
		Action  string   `json:"action"`
		Prefix  string   `json:"prefix"`
		RD      string   `json:"rd"`
		Family  string   `json:"family"`
		Cause   string   `json:"cause"`
		NextHop string   `json:"next_hop"`
		Labels  []uint32 `json:"labels"`
	} `json:"routes"`
	Attributes struct {
		ASPath         string   `json:"as_path"`
		LocalPref      *uint32  `json:"local_pref"`
		Communities    []string `json:"communities"`
		ExtCommunities []string `json:"ext_communities"`
		OriginatorID   string   `json:"originator_id"`
		ClusterList    []string `json:"cluster_list"`
		Other          []struct {
			Code  uint8  `json:"code"`
			Value string `json:"value"`
		} `json:"other"`
	} `json:"attributes"`
	PDU []byte `json:"pdu"`
}

// updates are the UPDATEs of a peer behind a sequence that say something of the
// routes that the arguments choose.
func (r *Ribtap) updates(addr string, after uint64, which ...string) (list []wireUpdate, err error) {
	args := append([]string{"stream", "inspect", "--raw", "--peer", addr, "--from", fmt.Sprint(after + 1), "-o", "ndjson"}, which...)
	out, err := output(r.command(args...)...)
	for d := json.NewDecoder(bytes.NewReader(out)); err == nil && d.More(); {
		var u wireUpdate
		if err = d.Decode(&u); err == nil && u.Kind == "route" {
			list = append(list, u)
		}
	}
	return list, err
}

// awaitUpdate waits for the latest UPDATE of a peer about a prefix.
func (r *Ribtap) awaitUpdate(addr, prefix string) (u wireUpdate) {
	r.l.t.Helper()
	r.l.await("an UPDATE of "+addr+" with "+prefix, 30*time.Second, func() error {
		list, err := r.updates(addr, 0, prefix)
		if err == nil && len(list) == 0 {
			err = errors.New("there is none")
		}
		if err == nil {
			u = list[len(list)-1]
		}
		return err
	})
	return u
}

// carries is nil when the message has these octets, in hexadecimal.
func (u *wireUpdate) carries(octets ...string) error {
	var errs []error
	for _, o := range octets {
		want, err := hex.DecodeString(o)
		if err == nil && !bytes.Contains(u.PDU, want) {
			err = fmt.Errorf("no %s in %x", o, u.PDU)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// plainFeed has routes without communities, each with a path behind the feeder.
func plainFeed(net byte, paths ...[]uint32) *Feed {
	f := NewFeed(net, 0, 0)
	for i, path := range paths {
		f.routes = append(f.routes, feedRoute{prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, net, byte(i), 0}), 24), path: path, origin: "IGP"})
	}
	return f
}

// TestSpeakerKeepsAttributes looks at what is told of path attributes, and at their
// octets: nothing is rewritten, and what is odd is a flag.
func TestSpeakerKeepsAttributes(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	peer := func(name string, asn uint32, feed *Feed, ribtap ...string) *peering {
		p := l.newPeering(name, asn, feed)
		p.ribtap = ribtap
		return p
	}
	birdP := peer("bird2", 65020, plainFeed(230, nil, nil))
	birdP.feed.routes[0].communities, birdP.feed.routes[0].large = []string{"65002:5"}, []string{"65002:1:2"}
	oldP := peer("old", 65021, plainFeed(231, []uint32{4200000001, 65010}))
	const large = 4200000001
	gshutP := peer("gshut", 65030, plainFeed(232, nil), fmt.Sprintf("local_asn: %d", large))
	exaP := peer("exabgp", 65050, plainFeed(233, nil, nil))
	loopP := peer("loop", ribtapAS, plainFeed(234))
	rsP := peer("rs", 65023, nil)
	rrP := peer("rr", 65035, nil, "local_asn: 65035")
	rt := l.StartSpeaker("", birdP, oldP, gshutP, exaP, loopP, rsP, rrP)

	exa, loop := l.StartExaBGP(exaP), l.StartExaBGP(loopP)
	l.StartBirdSpeaker(bird2, birdP, birdMore{only4: true, filter4: fmt.Sprintf("if net = %s then bgp_community.add((65535,65281));", birdP.feed.routes[1].prefix)})
	l.StartBirdSpeaker(bird2, oldP, birdMore{only4: true, session: "enable as4 off;"})
	l.StartFRRSpeaker(installed, gshutP, frrMore{only4: true, router: []string{"bgp graceful-shutdown", fmt.Sprintf("neighbor 127.0.0.1 remote-as %d", uint32(large))}})
	// client is a BIRD behind another daemon.
	client := func(p *peering, asn uint32, net byte) *peering {
		q := l.newPeering(fmt.Sprintf("client%d", net), asn, plainFeed(net, nil, []uint32{65200}))
		return q.towards(p)
	}
	rs1, rs2 := client(rsP, 65111, 235), client(rsP, 65112, 236)
	var top strings.Builder
	for i, q := range []*peering{rs1, rs2} {
		fmt.Fprintf(&top, "protocol bgp up%d { local %s port %d as %d; neighbor %s as %d; passive on; multihop 2; rs client; ipv4 { import all; export none; }; }\n",
			i, rsP.addr, rsP.port, rsP.asn, q.addr, q.asn)
	}
	l.StartBirdSpeaker(bird2, rsP, birdMore{only4: true, top: top.String(), session: "rs client;"})
	rrClient := client(rrP, rrP.asn, 237)
	l.StartFRRSpeaker(installed, rrP, frrMore{
		only4: true,
		router: []string{
			"bgp cluster-id 10.9.9.9", "neighbor 127.0.0.1 remote-as 65035",
			fmt.Sprintf("neighbor %s remote-as 65035", rrClient.addr), fmt.Sprintf("neighbor %s passive", rrClient.addr), fmt.Sprintf("neighbor %s update-source %s", rrClient.addr, rrP.addr),
			"address-family ipv4 unicast", " neighbor " + rrClient.addr + " activate", " neighbor " + rrClient.addr + " route-reflector-client", "exit-address-family",
		},
		family: []string{"neighbor 127.0.0.1 route-reflector-client"},
	})
	for _, q := range []*peering{rs1, rs2, rrClient} {
		l.StartBirdSpeaker(bird2, q, birdMore{only4: true})
	}
	prefix := func(p *peering, i int) string { return p.feed.routes[i].prefix.String() }
	// check reports what is wrong with an UPDATE, and shows it.
	check := func(t *testing.T, u *wireUpdate, ok bool, octets ...string) {
		t.Helper()
		if err := u.carries(octets...); err != nil || !ok {
			t.Errorf("%v: %+v", err, *u)
		}
	}

	l.Run("communities", func(t *testing.T) {
		u := rt.awaitUpdate(birdP.addr, prefix(birdP, 0))
		check(t, &u, slices.Equal(u.Attributes.Communities, []string{"65002:5"}), "c00804fdea0005", "c0200c0000fdea0000000100000002")
		// What must not leave the AS is kept like the rest.
		u = rt.awaitUpdate(birdP.addr, prefix(birdP, 1))
		check(t, &u, len(u.Attributes.Communities) == 1 && len(u.Flags) == 0, "c00804ffffff01")
	})
	l.Run("two-octet AS numbers", func(t *testing.T) {
		u := rt.awaitUpdate(oldP.addr, prefix(oldP, 0))
		// AS_PATH of two-octet numbers with AS_TRANS, and AS4_PATH.
		check(t, &u, u.Attributes.ASPath == "65021 4200000001 65010", "400208"+"0203"+"fdfd"+"5ba0"+"fdf2", "fa56ea01")
		if i := bytes.Index(u.PDU, []byte{0xc0, 17}); i < 0 {
			t.Errorf("no AS4_PATH in %x", u.PDU)
		}
	})
	l.Run("graceful shutdown, to an AS number of four octets", func(t *testing.T) {
		u := rt.awaitUpdate(gshutP.addr, prefix(gshutP, 0))
		check(t, &u, slices.Equal(u.Flags, []string{"gshut"}) && u.Attributes.LocalPref == nil, "c00804ffff0000")
	})
	l.Run("extended communities", func(t *testing.T) {
		const at = "10.233.9.0/24"
		exa.order("announce route %s next-hop 192.0.2.1 extended-community [ target:65000:1.1.1.1 0x4a4b010203040506 ]", at)
		u := rt.awaitUpdate(exaP.addr, at)
		check(t, &u, slices.Contains(u.Attributes.ExtCommunities, "rt:65000:16843009") && len(u.Attributes.ExtCommunities) == 2 && u.Verdict == "", "0002fde801010101", "4a4b010203040506")
	})
	l.Run("bad ORIGIN", func(t *testing.T) {
		bad := prefix(exaP, 1)
		rt.awaitUpdate(exaP.addr, bad)
		before := rt.settle()
		exa.order("announce route %s next-hop %s attribute [ 0x01 0x40 0x03 ]", bad, exaP.feed.nextHop4)
		var list []wireUpdate
		l.await("the malformed UPDATE", 20*time.Second, func() (err error) {
			if list, err = rt.updates(exaP.addr, before.sequence, bad); err == nil && len(list) == 0 {
				err = errors.New("there is none")
			}
			return err
		})
		u := &list[0]
		check(t, u, u.Verdict == "treat-as-withdraw" && len(u.Findings) == 1 && u.Findings[0].Attribute == 1 && u.Findings[0].Verdict == "treat-as-withdraw", "40010103")
		if err := withdrawnWith("treat-as-withdraw", of(must(rt.changes(before.sequence))(t), exaP.addr), []string{bad}); err != nil {
			t.Error(err)
		}
		if err := rt.established(exaP.name); err != nil {
			t.Error(err)
		}
	})
	l.Run("route server", func(t *testing.T) {
		for _, q := range []*peering{rs1, rs2} {
			for i, want := range []string{fmt.Sprint(q.asn), fmt.Sprintf("%d 65200", q.asn)} {
				u := rt.awaitUpdate(rsP.addr, prefix(q, i))
				check(t, &u, u.Attributes.ASPath == want && slices.Equal(u.Flags, []string{"first-as"}) && u.Routes[0].NextHop == q.feed.nextHop4.String())
			}
		}
		if rows := must(rt.Routes("--peer", rsP.addr))(t); len(rows) != 4 {
			t.Errorf("%d routes of the route server, want 4", len(rows))
		}
	})
	l.Run("route reflector", func(t *testing.T) {
		u := rt.awaitUpdate(rrP.addr, prefix(rrClient, 1))
		check(t, &u, u.Attributes.OriginatorID == "10.0.0.20" && slices.Equal(u.Attributes.ClusterList, []string{"10.9.9.9"}) && u.Attributes.ASPath == "65200" &&
			u.Attributes.LocalPref != nil && len(u.Flags) == 0, "8009040a000014", "800a040a090909")
	})
	l.Run("reflected to where it came from", func(t *testing.T) {
		const at = "10.234.0.0/24"
		loop.order("announce route %s next-hop 192.0.2.1 local-preference 100 originator-id %s cluster-list [ 10.9.9.9 %s ]", at, speakerID, speakerID)
		u := rt.awaitUpdate(loopP.addr, at)
		check(t, &u, u.Attributes.OriginatorID == speakerID && slices.Equal(u.Attributes.ClusterList, []string{"10.9.9.9", speakerID}) &&
			slices.Contains(u.Flags, "cluster-loop"), "8009040a000063", "800a080a0909090a000063")
		if rows := must(rt.Routes(at, "--peer", loopP.addr))(t); len(rows) != 1 {
			t.Errorf("%d routes, want the one that is looped", len(rows))
		}
	})
	rt.Stop()
}
