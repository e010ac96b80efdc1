package collector

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/speaker"
)

// brokenUpdate4 has attributes that are longer than the message; brokenUpdate6
// an IPv6 next hop of one octet.
func brokenUpdate4() []byte {
	m := update4("+10.7.0.0/16")
	m[21], m[22] = 0xff, 0xff
	return m
}

func brokenUpdate6() []byte {
	attrs := []byte{0x80, 14, 6, 0, 2, 1, 1, 0, 0, 0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9}
	m := append(slices.Clone(marker), 0, 0, 2, 0, 0, 0, byte(len(attrs)))
	m = append(m, attrs...)
	binary.BigEndian.PutUint16(m[16:], uint16(len(m)))
	return m
}

func TestUnreadableUpdateEndsTheSession(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := started(sp)
		fault := n.send(update4("+10.5.0.0/16"), brokenUpdate4())
		if fault == nil || fault.Code != bgp.ErrorUpdateMessage || fault.Subcode != 1 || fault.Reason == "" {
			t.Errorf("fault %+v", fault)
		}
		sp.want("route 192.0.2.10 +10.5.0.0/16/c/s", "route 192.0.2.10 dropped")
		if e := sp.rec.kept[len(sp.rec.kept)-1]; !slices.Equal(e.PDU, brokenUpdate4()) || e.Text != fault.Reason {
			t.Errorf("event %+v", e)
		}
		if fault := n.send(brokenUpdate6()); fault == nil || fault.Code != bgp.ErrorUpdateMessage {
			t.Errorf("fault %+v", fault)
		}
		// What RFC 7606 treats as withdrawn ends nothing.
		bad := update4("+10.0.0.0/8")
		bad[19+4+3] = 9 // ORIGIN
		if fault := n.send(bad); fault != nil {
			t.Errorf("fault %+v", fault)
		}
		sp.want("route 192.0.2.10 dropped", "route 192.0.2.10 -10.0.0.0/8/c/s")
	})
}

func TestQuarantine(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil, func(c *Config) { c.Speaker.Quarantine = true })
		n := started(sp)
		unsynced := func(four, six bool) {
			t.Helper()
			_, st4 := sp.status(peerA, bgp.IPv4Unicast)
			if _, st6 := sp.status(peerA, bgp.IPv6Unicast); st4.Unsynchronised != four || st6.Unsynchronised != six {
				t.Errorf("ipv4 %+v, ipv6 %+v", st4, st6)
			}
		}
		if fault := n.send(brokenUpdate6(), update4("+10.3.0.0/16")); fault != nil {
			t.Errorf("fault %+v", fault)
		}
		sp.want("route 192.0.2.10 dropped", "route 192.0.2.10 +10.3.0.0/16/c/s")
		unsynced(false, true)
		n.send(brokenUpdate4())
		unsynced(true, true)
		n.send(refreshOf(bgp.IPv6Unicast, 1), update6("+2001:db8:1::/48"), refreshOf(bgp.IPv6Unicast, 2))
		unsynced(true, false)
		// A refresh in which something cannot be read neither heals nor sweeps.
		n.send(refreshOf(bgp.IPv4Unicast, 1), update4("+10.0.0.0/8"), brokenUpdate4(), refreshOf(bgp.IPv4Unicast, 2))
		unsynced(true, true)
		if got := sp.rib(); len(got) != 5 {
			t.Errorf("RIB %v", got)
		}
		// Nor does the End-of-RIB of a restart.
		n.lost()
		n.up()
		sp.rec.take()
		n.send(brokenUpdate4(), eorOf(bgp.IPv4Unicast))
		sp.want("route 192.0.2.10 dropped", "route 192.0.2.10 end-of-rib ipv4-unicast")
		unsynced(true, true)
		n.send(refreshOf(bgp.IPv4Unicast, 1), update4("+10.0.0.0/8"), refreshOf(bgp.IPv4Unicast, 2))
		unsynced(false, true)
		sp.want("refresh 192.0.2.10 ipv4-unicast begin", "route 192.0.2.10 +10.0.0.0/8", "refresh 192.0.2.10 ipv4-unicast end",
			"route 192.0.2.10 stale-sweep inferred -10.1.0.0/16/c/s -10.2.0.0/16/c/s -10.3.0.0/16/c/s",
			"refresh 192.0.2.10 stale-sweep inferred ipv4-unicast end")
	})
}

func limited(limit int, action speaker.LimitAction) func(*fakeNeighbour) {
	return func(n *fakeNeighbour) {
		n.limits = []speaker.PrefixLimit{{Family: bgp.IPv4Unicast, Max: limit, Action: action}}
	}
}

func TestMaxPrefixesWarn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := sp.neighbour(peerA, limited(2, speaker.LimitWarn))
		n.up()
		for range 3 {
			if fault := n.send(update4("+10.0.0.0/8", "+10.1.0.0/16", "+10.2.0.0/16", "+10.3.0.0/16")); fault != nil {
				t.Errorf("fault %+v", fault)
			}
		}
		sp.want("router-up bgp", "peer-up 192.0.2.10 epoch 1", "route 192.0.2.10 +10.0.0.0/8/c/s +10.1.0.0/16/c/s +10.2.0.0/16/c/s +10.3.0.0/16/c/s",
			"route 192.0.2.10 +10.0.0.0/8 +10.1.0.0/16 +10.2.0.0/16 +10.3.0.0/16", "route 192.0.2.10 +10.0.0.0/8 +10.1.0.0/16 +10.2.0.0/16 +10.3.0.0/16")
		if n := gather(t, sp.rig)["anomalies"]; n != 1 {
			t.Errorf("warned %v times", n)
		}
	})
}

func TestMaxPrefixesDiscard(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := sp.neighbour(peerA, limited(2, speaker.LimitDiscard), graceful(120, true, false))
		n.up()
		n.send(update4("+10.0.0.0/8", "+10.1.0.0/16", "+10.2.0.0/16"), updateMessage(7, nil, "+10.1.0.0/16"), update6("+2001:db8:1::/48"),
			update4("-10.2.0.0/16"), update4("-10.0.0.0/8"), update4("+10.3.0.0/16"), eorOf(bgp.IPv4Unicast))
		sp.want("router-up bgp", "peer-up 192.0.2.10 epoch 1", "route 192.0.2.10 refused +10.0.0.0/8/c/s +10.1.0.0/16/c/s +10.2.0.0/16/r",
			"route 192.0.2.10 +10.1.0.0/16/c", "route 192.0.2.10 +2001:db8:1::/48/c/s", "route 192.0.2.10 -10.2.0.0/16", "route 192.0.2.10 -10.0.0.0/8/c/s",
			"route 192.0.2.10 +10.3.0.0/16/c/s", "route 192.0.2.10 end-of-rib ipv4-unicast")
		if _, st := sp.status(peerA, bgp.IPv4Unicast); !st.Unsynchronised {
			t.Errorf("status %+v", st)
		}
		if diff := cmp.Diff(sp.rec.told(), sp.rib()); diff != "" {
			t.Errorf("RIB state (-told +held):\n%s", diff)
		}
		// After a restart of the neighbour those of its last session do not count.
		n.lost()
		n.up()
		sp.rec.take()
		n.send(update4("+10.5.0.0/16", "+10.6.0.0/16", "+10.7.0.0/16"), eorOf(bgp.IPv4Unicast))
		sp.want("route 192.0.2.10 refused +10.5.0.0/16/c/s +10.6.0.0/16/c/s +10.7.0.0/16/r", "route 192.0.2.10 end-of-rib ipv4-unicast",
			"route 192.0.2.10 stale-sweep inferred -10.1.0.0/16/c/s -10.3.0.0/16/c/s", "refresh 192.0.2.10 stale-sweep inferred ipv4-unicast end")
		// A refresh below the limit makes it good.
		n.send(refreshOf(bgp.IPv4Unicast, 1), update4("+10.5.0.0/16"), refreshOf(bgp.IPv4Unicast, 2))
		if _, st := sp.status(peerA, bgp.IPv4Unicast); st.Unsynchronised || st.Routes != 1 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestMaxPrefixesTerminate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := sp.neighbour(peerA, limited(3, speaker.LimitTerminate))
		n.up()
		// Every message is taken without a Flush: the fault is known at once.
		for _, m := range [][]byte{update4("+10.0.0.0/8"), update4("+10.1.0.0/16", "+10.2.0.0/16"), update4("+10.0.0.0/8"), update6("+2001:db8:1::/48")} {
			if fault := n.recv.Message(time.Now(), m); fault != nil {
				t.Fatalf("fault %+v", fault)
			}
		}
		want := &speaker.Fault{
			Code: bgp.ErrorCease, Subcode: bgp.CeaseMaxPrefixes, Data: []byte{0, 1, 1, 0, 0, 0, 3}, Reason: "maximum number of prefixes reached",
		}
		if diff := cmp.Diff(want, n.recv.Message(time.Now(), update4("+10.0.0.0/8", "+10.3.0.0/16"))); diff != "" {
			t.Errorf("fault (-want +got):\n%s", diff)
		}
		sp.rec.take()
		n.down(speaker.Down{
			Reason:       speaker.DownLocalNotification,
			Notification: bgp.AppendNotification(nil, bgp.Notification{Code: want.Code, Subcode: want.Subcode, Data: want.Data}),
		})
		sp.want("peer-down 192.0.2.10 peer-down", "route 192.0.2.10 peer-down inferred -10.0.0.0/8/c/s -10.1.0.0/16/c/s -10.2.0.0/16/c/s",
			"route 192.0.2.10 peer-down inferred -2001:db8:1::/48/c/s")
	})
}

// TestMaxPrefixesTerminateInTime: whatever the sizes of messages and batches,
// the session ends at the first route above the limit.
func TestMaxPrefixesTerminateInTime(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		for limit := range 40 {
			n := sp.neighbour(peerA, limited(limit*7, speaker.LimitTerminate))
			n.up()
			sent := 0
			for fault := (*speaker.Fault)(nil); fault == nil; sent++ {
				fault = n.recv.Message(time.Now(), update4("+10."+string('0'+rune(sent/100))+"."+string('0'+rune(sent/10%10))+"."+string('0'+rune(sent%10))+"/32"))
			}
			if sent != limit*7+1 {
				t.Errorf("limit %d: %d routes taken", limit*7, sent)
			}
			n.notified(bgp.ErrorCease, bgp.CeaseAdminReset)
		}
	})
}

// TestFamilyNotNegotiated: the routes are told and not held, and the session goes on.
func TestFamilyNotNegotiated(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := sp.neighbour(peerA, func(n *fakeNeighbour) { n.sent.Families = n.sent.Families[:1] })
		n.up()
		if fault := n.send(update6("+2001:db8:1::/48"), update4("+10.0.0.0/8"), update6("-2001:db8:1::/48"), eorOf(bgp.IPv6Unicast)); fault != nil {
			t.Errorf("fault %+v", fault)
		}
		sp.want("router-up bgp", "peer-up 192.0.2.10 epoch 1", "route 192.0.2.10 refused +2001:db8:1::/48/r", "route 192.0.2.10 +10.0.0.0/8/c/s",
			"route 192.0.2.10 refused -2001:db8:1::/48/r", "route 192.0.2.10 end-of-rib ipv6-unicast")
		if got := sp.rib(); !slices.Equal(got, []string{"192.0.2.10 10.0.0.0/8"}) {
			t.Errorf("RIB %v", got)
		}
		// A restart of the collector reads the refusal back.
		sp2 := newSpeaker(t, sp.rec)
		if diff := cmp.Diff(sp.rib(), sp2.rib()); diff != "" {
			t.Errorf("RIB state (-before +after):\n%s", diff)
		}
	})
}

func TestOTCLeak(t *testing.T) {
	role := func(r bgp.Role) *bgp.Role { return &r }
	otc := func(asn byte) []byte { return []byte{0xc0, 35, 4, 0, 0, 0xfd, asn} }
	for _, c := range []struct {
		name         string
		ours, theirs *bgp.Role
		otc          []byte
		leak         bool
	}{
		{"from a customer", nil, role(bgp.RoleCustomer), otc(0xea), true},
		{"from a customer, by our role", role(bgp.RoleProvider), nil, otc(0xea), true},
		{"from a client", role(bgp.RoleRS), role(bgp.RoleRSClient), otc(0xe9), true},
		{"from a peer, another's", role(bgp.RolePeer), role(bgp.RolePeer), otc(0xea), true},
		{"from a peer, its own", role(bgp.RolePeer), role(bgp.RolePeer), otc(0xe9), false},
		{"from a provider", role(bgp.RoleCustomer), role(bgp.RoleProvider), otc(0xea), false},
		{"from a customer, without", nil, role(bgp.RoleCustomer), nil, false},
		{"no roles", nil, nil, otc(0xea), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				sp := newSpeaker(t, nil)
				n := sp.neighbour(peerA, func(n *fakeNeighbour) { n.sent.Role, n.received.Role = c.ours, c.theirs })
				n.up()
				n.send(updateMessage(1, c.otc, "+10.0.0.0/8"))
				e := sp.rec.kept[len(sp.rec.kept)-1]
				if got := e.Flags&event.FlagOTCLeak != 0; got != c.leak || len(sp.rib()) != 1 {
					t.Errorf("leak %t, RIB %v", got, sp.rib())
				}
			})
		})
	}
}

// TestUnknownMessage: whatever a speaker hands over is kept.
func TestUnknownMessage(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sp := newSpeaker(t, nil)
		n := started(sp)
		n.send(bgp.AppendKeepalive(nil))
		sp.want("unknown 192.0.2.10 unknown-type")
	})
}
